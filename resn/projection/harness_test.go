package projection_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
	"github.com/goswale/swale/resn/projection"
)

// patience bounds a wait for what must happen in the end, also on a machine that
// has much else to do.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	if os.Getenv(brokerVariable) != "" {
		if err := child(); err != nil {
			fmt.Fprintln(os.Stderr, "projection:", err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// database is one that a test runs on.
type database struct {
	db      *sql.DB
	dialect projection.Dialect
}

func onSQLite(t *testing.T) database {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "test.db")+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(60000)&_pragma=synchronous(OFF)&_pragma=foreign_keys(1)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return database{db, projection.SQLite}
}

// onPostgres gives each test a schema of its own.
func onPostgres(t *testing.T) database {
	t.Helper()
	dsn := os.Getenv("SWALE_TEST_POSTGRES")
	if dsn == "" {
		const missing = "SWALE_TEST_POSTGRES is not set: needs the URL of a PostgreSQL database"
		if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") == "1" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	admin, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close() })
	schema := fmt.Sprintf("projection_test_%d_%d", os.Getpid(), time.Now().UnixNano())
	if _, err := admin.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = admin.ExecContext(context.Background(), "DROP SCHEMA "+schema+" CASCADE") })
	sep := "?"
	if strings.Contains(dsn, "?") {
		sep = "&"
	}
	db, err := sql.Open("pgx", dsn+sep+"search_path="+schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return database{db, projection.PostgreSQL}
}

// everywhere runs a test on each database.
func everywhere(t *testing.T, test func(t *testing.T, on database)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { test(t, onSQLite(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, onPostgres(t)) })
}

const origin = "http://owner.example"

// owner owns restaurants, the menus that they link to, and the cities that they
// are in. Cities have no topic.
type owner struct {
	mu       sync.Mutex
	versions map[string]int // by path; 0 or less is gone
	asked    map[string]int
	hold     func(ctx context.Context, path string) // is called before an answer leaves

	bus        *bus.Bus
	publishers map[string]*resn.Publisher
}

func newOwner(t *testing.T, broker *membus.Broker, restaurants int) *owner {
	t.Helper()
	o := &owner{versions: map[string]int{}, asked: map[string]int{}, bus: broker.Connect(nil), publishers: map[string]*resn.Publisher{}}
	for i := range restaurants {
		o.versions[fmt.Sprintf("/restaurants/%d", i)] = 1
		o.versions[fmt.Sprintf("/menus/%d", i)] = 1
	}
	o.versions["/cities/0"], o.versions["/cities/1"] = 1, 1
	for _, topic := range []string{"restaurants", "menus"} {
		p, err := resn.NewPublisher(o.bus, topic, &resn.PublisherOptions{Unowned: true})
		if err != nil {
			t.Fatal(err)
		}
		o.publishers[topic] = p
	}
	t.Cleanup(func() {
		for _, p := range o.publishers {
			_ = p.Close(context.Background())
		}
		_ = o.bus.Shutdown(context.Background())
	})
	return o
}

// change makes a change and announces it.
func (o *owner) change(t *testing.T, kind, path string) {
	t.Helper()
	topic := strings.Split(path, "/")[1]
	err := o.publishers[topic].Change(t.Context(), origin+path, func(context.Context) (string, string, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		v := max(o.versions[path], -o.versions[path]) + 1
		if kind == resn.Delete {
			v = -v
		}
		o.versions[path] = v
		return kind, "", nil
	})
	if err != nil {
		t.Error(err)
	}
}

func (o *owner) exists(path string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.versions[path] > 0
}

func (o *owner) count(path string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked[path]
}

func (o *owner) RoundTrip(req *http.Request) (*http.Response, error) {
	o.mu.Lock()
	path := req.URL.Path
	o.asked[path]++
	status, body := o.serve(path, req.URL.Query().Get("after"))
	hold := o.hold
	o.mu.Unlock()
	if hold != nil {
		hold(req.Context(), path)
	}
	h := http.Header{"Cache-Control": {"max-age=5"}, "Date": {time.Now().UTC().Format(http.TimeFormat)}}
	if topic := strings.Split(path, "/")[1]; o.publishers[topic] != nil {
		h.Add("Cache-Control", resn.Directive(topic))
	}
	return &http.Response{
		StatusCode: status, Status: strconv.Itoa(status), ProtoMajor: 1, ProtoMinor: 1, Proto: "HTTP/1.1",
		Header: h, Request: req, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
	}, nil
}

func (o *owner) serve(path, after string) (int, string) {
	if path == "/restaurants" || path == "/menus" {
		return http.StatusOK, o.page(path, after)
	}
	v := o.versions[path]
	if v <= 0 {
		return http.StatusNotFound, ""
	}
	kind, id, _ := strings.Cut(path[1:], "/")
	n, _ := strconv.Atoi(id)
	links := ""
	if kind == "restaurants" {
		links = fmt.Sprintf(`,"menu":{"href":"/menus/%d"},"city":{"href":"/cities/%d"}`, n, n%2)
	}
	return http.StatusOK, fmt.Sprintf(`{"_links":{"self":{"href":%q}%s},"version":%d}`, path, links, v)
}

// page lists what is there, by cursor: three members after one.
func (o *owner) page(path, after string) string {
	var members []string
	for p, v := range o.versions {
		if v > 0 && strings.HasPrefix(p, path+"/") && p > after {
			members = append(members, p)
		}
	}
	slices.Sort(members)
	next := ""
	if len(members) > 3 {
		members = members[:3]
		next = fmt.Sprintf(`,"next":{"href":"%s?after=%s"}`, path, members[2])
	}
	items := make([]string, len(members))
	for i, m := range members {
		items[i] = fmt.Sprintf(`{"href":%q}`, m)
	}
	return fmt.Sprintf(`{"_links":{"item":[%s]%s}}`, strings.Join(items, ","), next)
}

// truth is what a table should hold: versions by href.
func (o *owner) truth(kind string) map[string]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	rows := map[string]int{}
	for p, v := range o.versions {
		if v > 0 && strings.HasPrefix(p, "/"+kind+"/") {
			rows[origin+p] = v
		}
	}
	return rows
}

// create makes the tables of the caller.
func (on database) create(t *testing.T) {
	t.Helper()
	for _, s := range []string{
		`CREATE TABLE cities (href TEXT PRIMARY KEY, version INTEGER NOT NULL)`,
		`CREATE TABLE menus (href TEXT PRIMARY KEY, version INTEGER NOT NULL)`,
		`CREATE TABLE restaurants (href TEXT PRIMARY KEY, version INTEGER NOT NULL, menu TEXT, city TEXT REFERENCES cities (href))`,
	} {
		if _, err := on.db.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}

// held is what a table holds.
func (on database) held(t *testing.T, table string) map[string]int {
	t.Helper()
	rows, err := on.db.QueryContext(context.Background(), "SELECT href, version FROM "+table)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	held := map[string]int{}
	for rows.Next() {
		var href string
		var version int
		if err := rows.Scan(&href, &version); err != nil {
			t.Fatal(err)
		}
		held[href] = version
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return held
}

func versionOf(r *projection.Resource) (int, error) {
	var v struct{ Version int }
	err := r.Decode(&v)
	return v.Version, err
}

// tables declares the projection of the tests.
func tables() []projection.Table {
	plain := func(r *projection.Resource) (projection.Row, error) {
		v, err := versionOf(r)
		return projection.Row{"version": v}, err
	}
	quick := &resn.ConsumerOptions{
		Backoff: bus.Backoff{Min: 5 * time.Millisecond, Max: 100 * time.Millisecond}, MaxAttempts: -1,
		SaveInterval: 100 * time.Millisecond,
	}
	return []projection.Table{
		{
			Name: "restaurants", Topic: "restaurants", Collection: origin + "/restaurants", Consumer: quick,
			Links: map[string]string{"menu": "menus", "city": "cities"},
			Row: func(r *projection.Resource) (projection.Row, error) {
				v, err := versionOf(r)
				return projection.Row{"version": v, "menu": r.Link("menu"), "city": r.Link("city")}, err
			},
		},
		{Name: "menus", Topic: "menus", Collection: origin + "/menus", Consumer: quick, Row: plain},
		{Name: "cities", Row: plain},
	}
}

var errKilled = errors.New("killed")

// process is one process with a projection in it.
type process struct {
	projection *projection.Projection
	faults     *membus.Faults
	end        func() // as a process ends that is told to
	kill       func() // as a process ends that isn't: nothing leaves it any more
	dead       chan struct{}
}

// launch starts a process. fault decides at which step it dies by itself; nil is
// never.
func launch(t *testing.T, on database, broker *membus.Broker, o http.RoundTripper, declared []projection.Table, fault func(step string) bool) *process {
	t.Helper()
	proc := &process{faults: &membus.Faults{}, dead: make(chan struct{})}
	b := broker.Connect(&membus.Options{Faults: proc.faults})
	client, err := resn.NewClient(b, &resn.ClientOptions{Transport: o})
	if err != nil {
		t.Fatal(err)
	}
	proc.projection, err = projection.New(client, on.db, on.dialect, declared, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := proc.projection.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	die := sync.OnceFunc(func() {
		close(proc.dead)
		proc.faults.Cut()
	})
	proc.projection.SetFault(func(step string) error {
		select {
		case <-proc.dead:
			return errKilled
		default:
		}
		if fault != nil && fault(step) {
			die()
			return errKilled
		}
		return nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- proc.projection.Run(ctx) }()
	proc.end = sync.OnceFunc(func() {
		cancel()
		err := <-done
		select {
		case <-proc.dead:
		default:
			if err != nil {
				t.Errorf("Run returns nil when its context ends, got %v", err)
			}
		}
		_ = client.Close(context.Background())
		_ = b.Shutdown(context.Background())
	})
	proc.kill = func() {
		die()
		proc.end()
	}
	t.Cleanup(proc.end)
	return proc
}

// filled waits for the first fill.
func (proc *process) filled(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := proc.projection.WaitFilled(ctx); err != nil {
		t.Fatalf("%v: %+v", err, proc.projection.States())
	}
}

// eventually waits for a condition that nothing announces.
func eventually(t *testing.T, what string, ok func() bool) bool {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Errorf("timed out waiting until %s", what)
			return false
		}
	}
	return true
}

func body(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }
