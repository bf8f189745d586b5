package sqlconfig_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/configsvc/driver"
	"github.com/goswale/swale/configsvc/server"
	"github.com/goswale/swale/configsvc/sqlconfig"
	"github.com/goswale/swale/configsvc/store"
)

// Set in the environment of the process that is to be killed.
const (
	victimDSN  = "SWALE_CONFIG_VICTIM_DSN"
	victimSQL  = "SWALE_CONFIG_VICTIM_SQL"
	victimStep = "SWALE_CONFIG_VICTIM_STEP"
)

var pair = []string{"a", "b", "c"}

// victim is the service: it is sent changes of every key of the pair to the same
// number, again and again, and says which were answered. It stops at a step, to
// be killed there, or goes on until it is.
func victim() {
	dialect := sqlconfig.SQLite
	if os.Getenv(victimSQL) == "pgx" {
		dialect = sqlconfig.PostgreSQL
	}
	db, err := sql.Open(os.Getenv(victimSQL), os.Getenv(victimDSN))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	d := sqlconfig.New(db, dialect, nil)
	count := 0
	d.SetFault(func(step string) error {
		if count++; step == os.Getenv(victimStep) && count > 17 {
			fmt.Fprintln(os.Stdout, "at "+step)
			select {}
		}
		return nil
	})
	h := server.New(store.New(d, nil), &server.Options{Allow: server.Grants{{Who: "*", Action: server.Write}}.Allow})
	for i := 1; ; i++ {
		var edits []string
		for _, key := range pair {
			edits = append(edits, fmt.Sprintf(`{"key":"%s","value":%d,"overwrite":true}`, key, i))
		}
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/changes", strings.NewReader(`{"edits":[`+strings.Join(edits, ",")+`]}`))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusCreated {
			fmt.Fprintln(os.Stderr, w.Code, w.Body)
			os.Exit(4)
		}
		fmt.Fprintln(os.Stdout, "committed", strings.TrimPrefix(w.Header().Get("Location"), "/changes/"))
	}
}

// TestKilledInTheMiddleOfWrites kills the service with SIGKILL at each step of a
// commit, and at moments that nobody chose. What it has answered must be there
// afterwards, and no change in part.
func TestKilledInTheMiddleOfWrites(t *testing.T) {
	everywhere(t, func(t *testing.T, on database) {
		for _, step := range []string{"numbered", "edit", "commit", "committed", "any", "any", "any"} {
			t.Run(step, func(t *testing.T) { killAt(t, on, step) })
		}
	})
}

func killAt(t *testing.T, on database, step string) {
	t.Helper()
	d := on.driver(t, nil)
	before, err := d.Read(t.Context(), nil, driver.Latest)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dsn, name := on.dsn, fmt.Sprintf("victim_%d_%d", os.Getpid(), time.Now().UnixNano())
	if on.sqlDriver == "pgx" {
		dsn += "&application_name=" + name
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), victimDSN+"="+dsn, victimSQL+"="+on.sqlDriver, victimStep+"="+step)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	returned, patience := before.Revision, 5+rand.IntN(30)
	for lines.Scan() {
		if rev, ok := strings.CutPrefix(lines.Text(), "committed "); ok {
			if returned, err = strconv.ParseInt(rev, 10, 64); err != nil {
				t.Fatal(err)
			}
		}
		if patience--; strings.HasPrefix(lines.Text(), "at ") || step == "any" && patience <= 0 {
			break
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // what it said before it died
		if rev, ok := strings.CutPrefix(lines.Text(), "committed "); ok {
			returned, _ = strconv.ParseInt(rev, 10, 64)
		}
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the process was to be killed: %v", err)
	}
	if returned == before.Revision {
		t.Fatal("the process committed nothing; the test says too little")
	}
	if on.sqlDriver == "pgx" {
		awaitEnd(t, on, name)
	}
	checkWhole(t, on, returned)
}

// awaitEnd waits until the server has done the last that a process asked it for,
// which may be a commit, although the process is dead.
func awaitEnd(t *testing.T, on database, name string) {
	t.Helper()
	db := on.open(t)
	for end := time.Now().Add(time.Minute); ; <-time.After(5 * time.Millisecond) {
		var n int
		if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE application_name = $1`, name).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the server keeps the connection of a process that is dead")
		}
	}
}

// checkWhole reads everything with another connection, and goes on to write.
func checkWhole(t *testing.T, on database, returned int64) {
	t.Helper()
	d := on.driver(t, nil)
	snap, err := d.Read(t.Context(), pair, driver.Latest)
	if err != nil {
		t.Fatal(err)
	}
	if snap.Revision < returned || snap.Revision > returned+1 {
		t.Errorf("commit %d had returned and no more than one was under way; the log is at %d", returned, snap.Revision)
	}
	var values []string
	for _, v := range snap.Versions {
		values = append(values, fmt.Sprintf("%s@%d", v.Value, v.Revision))
	}
	if len(values) != len(pair) || values[0] != values[1] || values[1] != values[2] || snap.Versions[0].Revision != snap.Revision {
		t.Errorf("a commit is there in part: %v in revision %d", values, snap.Revision)
	}
	log, err := d.Log(t.Context(), driver.Query{Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if len(log) != int(snap.Revision) {
		t.Errorf("the log has %d commits in revision %d; there must be no holes", len(log), snap.Revision)
	}
	for i, c := range log {
		if c.Revision != snap.Revision-int64(i) || len(c.Edits) != len(pair) {
			t.Fatalf("commit %d is there in part, or out of order: %+v", c.Revision, c)
		}
	}
	if _, err := d.Commit(t.Context(), driver.Commit{Time: time.Now(), Edits: []driver.Edit{
		{Key: "a", Value: []byte(`0`), Expect: snap.Revision}, {Key: "b", Value: []byte(`0`), Expect: snap.Revision}, {Key: "c", Value: []byte(`0`), Expect: snap.Revision},
	}}); err != nil {
		t.Errorf("after the crash the log goes on: %v", err)
	}
}

var errInTx = errors.New("the outbox is full")

// TestInTx proves that what InTx writes stands and falls with the commit.
func TestInTx(t *testing.T) {
	everywhere(t, func(t *testing.T, on database) {
		fail := false
		d := on.driver(t, &sqlconfig.Options{InTx: func(ctx context.Context, tx *sql.Tx, c driver.Commit) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO notices (revision) VALUES ($1)`, c.Revision)
			if fail {
				return errInTx
			}
			return err
		}})
		db := on.open(t)
		if _, err := db.ExecContext(t.Context(), `CREATE TABLE notices (revision bigint)`); err != nil {
			t.Fatal(err)
		}
		write := func() error {
			_, err := d.Commit(t.Context(), driver.Commit{Time: time.Now(), Edits: []driver.Edit{{Key: "a", Value: []byte(`1`), Expect: driver.Any}}})
			return err
		}
		if err := write(); err != nil {
			t.Fatal(err)
		}
		fail = true
		if err := write(); !errors.Is(err, errInTx) {
			t.Fatalf("the error of InTx is the commit's: %v", err)
		}
		fail = false
		if err := write(); err != nil {
			t.Fatal(err)
		}
		rows, err := db.QueryContext(t.Context(), `SELECT revision FROM notices ORDER BY revision`)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		var got []int
		for rows.Next() {
			var n int
			if err := rows.Scan(&n); err != nil {
				t.Fatal(err)
			}
			got = append(got, n)
		}
		if diff := cmp.Diff([]int{1, 2}, got); diff != "" || rows.Err() != nil {
			t.Errorf("what InTx wrote must stand and fall with the commit (-want +got): %v\n%s", rows.Err(), diff)
		}
	})
}
