package sqlauth_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goswale/swale/auth/driver"
	"github.com/goswale/swale/auth/sqlauth"
)

// announce writes what is announced to a table beside.
func announce(table string) func(context.Context, *sql.Tx, []driver.Announcement) error {
	return func(ctx context.Context, tx *sql.Tx, all []driver.Announcement) error {
		for _, a := range all {
			if _, err := tx.ExecContext(ctx, "INSERT INTO "+table+"_notice (href) VALUES ($1)", a.Href); err != nil {
				return err
			}
		}
		return nil
	}
}

// TestMainOfTheKilled is the process that TestKilledInTheMiddle kills: it ends
// a session and changes its account in one write, again and again.
func TestMainOfTheKilled(t *testing.T) {
	name, dsn, table := os.Getenv("KILL_DRIVER"), os.Getenv("KILL_DSN"), os.Getenv("KILL_TABLE")
	if name == "" {
		t.Skip("it is run by TestKilledInTheMiddle")
	}
	db := open(t, name, dsn)
	s, err := sqlauth.New(db, &sqlauth.Options{Table: table, Announce: announce(table)})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for i := int64(0); ; i++ {
		id := fmt.Sprint(i)
		ops := []driver.Op{
			{Record: driver.Record{Kind: "session", ID: id, Keys: []string{"a"}, Data: []byte("{}")}},
			{Record: driver.Record{Kind: "account", ID: "a", Version: i, Data: []byte(id)}},
		}
		if err := s.Write(t.Context(), ops, []driver.Announcement{{Href: "https://login.example/sessions/" + id}}, now); err != nil {
			t.Fatal(err)
		}
		fmt.Println("written", i)
	}
}

func TestKilledInTheMiddle(t *testing.T) {
	for name, setup := range map[string]func(t *testing.T) (driverName, dsn string){
		"SQLite": func(t *testing.T) (string, string) {
			t.Helper()
			return "sqlite", sqliteDSN(filepath.Join(t.TempDir(), "auth.db"))
		},
		"PostgreSQL": func(t *testing.T) (string, string) {
			t.Helper()
			postgres(t)
			return "pgx", os.Getenv("SWALE_TEST_POSTGRES")
		},
	} {
		t.Run(name, func(t *testing.T) {
			driverName, dsn := setup(t)
			db := open(t, driverName, dsn)
			prefix := table()
			s, err := sqlauth.New(db, &sqlauth.Options{Table: prefix})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := db.ExecContext(t.Context(), "CREATE TABLE "+prefix+"_notice (href TEXT NOT NULL)"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				for _, suffix := range []string{"_key", "_record", "_notice"} {
					_, _ = db.ExecContext(context.Background(), "DROP TABLE "+prefix+suffix)
				}
			})
			acknowledged := runAndKill(t, driverName, dsn, prefix)
			check(t, s, db, prefix, acknowledged)
		})
	}
}

// runAndKill runs the other process until it has written some, kills it, and
// returns the number of the last write that it was told of.
func runAndKill(t *testing.T, driverName, dsn, prefix string) int64 {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMainOfTheKilled$")
	cmd.Env = append(os.Environ(), "KILL_DRIVER="+driverName, "KILL_DSN="+dsn, "KILL_TABLE="+prefix)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last := int64(-1)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if n, ok := strings.CutPrefix(lines.Text(), "written "); ok {
			if _, err := fmt.Sscan(n, &last); err != nil {
				t.Fatal(err)
			}
			if last == 40 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	_ = cmd.Wait() // it was killed
	if last < 40 {
		t.Fatalf("the process ended by itself after write %d", last)
	}
	return last
}

// check reads until nothing was written meanwhile: a server that was told to commit
// does so although who told it is dead.
func check(t *testing.T, s *sqlauth.Store, db *sql.DB, prefix string, acknowledged int64) {
	t.Helper()
	version := func() int64 {
		t.Helper()
		a, err := s.Get(t.Context(), "account", "a", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return a.Version
	}
	var sessions []driver.Record
	var notices int64
	before, after := int64(-1), version()
	for before != after {
		before = after
		var err error
		if sessions, err = s.Find(t.Context(), "session", "a", "", 100_000, time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+prefix+"_notice").Scan(&notices); err != nil {
			t.Fatal(err)
		}
		after = version()
	}
	if after < acknowledged+1 {
		t.Errorf("%d writes were acknowledged, %d are there", acknowledged+1, after)
	}
	if int64(len(sessions)) != after || notices != after {
		t.Errorf("version %d of the account, %d sessions, %d notices: a write was done by half", after, len(sessions), notices)
	}
}
