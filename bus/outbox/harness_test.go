package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	"github.com/goswale/swale/bus/outbox"
	"github.com/goswale/swale/bus/outbox/pgxnotify"
)

// patience bounds a wait for what must happen in the end, also on a machine that
// has much else to do.
const patience = 2 * time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// database is one that a test runs on.
type database struct {
	name    string
	db      *sql.DB
	dialect outbox.Dialect
	listen  func(context.Context, *sql.DB, string, func()) error
}

func onSQLite(t *testing.T) database {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "test.db")+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(60000)&_pragma=synchronous(NORMAL)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return database{"SQLite", db, outbox.SQLite, nil}
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
	schema := fmt.Sprintf("outbox_test_%d_%d", os.Getpid(), time.Now().UnixNano())
	if _, err := admin.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = admin.ExecContext(context.Background(), "DROP SCHEMA "+schema+" CASCADE") })
	sep := "?"
	if strings.Contains(dsn, "?") {
		sep = "&"
	}
	// With pg_catalog behind it a test's own now() is found before the server's.
	db, err := sql.Open("pgx", dsn+sep+"search_path="+schema+",pg_catalog")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return database{"PostgreSQL", db, outbox.PostgreSQL, pgxnotify.Listen}
}

// everywhere runs a test on each database.
func everywhere(t *testing.T, test func(t *testing.T, on database)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { test(t, onSQLite(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, onPostgres(t)) })
}

func (on database) outbox(t *testing.T, opts *outbox.Options) *outbox.Outbox {
	t.Helper()
	box := outbox.New(on.db, on.dialect, opts)
	if err := box.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return box
}

// newBus returns a bus that is shut down after everything that the test runs.
func newBus(t *testing.T, opts *membus.Options) *bus.Bus {
	t.Helper()
	b := membus.New(opts)
	t.Cleanup(func() { _ = b.Shutdown(context.Background()) })
	return b
}

func event(id string) bus.Event {
	return bus.Event{ID: id, Source: "/test", Type: "changed", Subject: "/things/" + id}
}

// add appends events with these ids in one transaction.
func add(t *testing.T, box *outbox.Outbox, topic string, ids ...string) {
	t.Helper()
	err := box.InTx(t.Context(), func(tx *sql.Tx) error {
		for _, id := range ids {
			if err := box.Append(t.Context(), tx, topic, event(id)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// watermarks is a RelayOptions.Watermark whose events name their maker.
func watermarks(source string) func(string, outbox.Watermark) bus.Event {
	return func(topic string, w outbox.Watermark) bus.Event {
		return bus.Event{Source: source, Type: "watermark", Subject: topic, Time: w.Time, Extensions: map[string]string{
			outbox.ExtSequence: strconv.FormatUint(w.Sequence, 10), outbox.ExtEpoch: w.Epoch}}
	}
}

// running runs a relay until the returned function is called or the test ends, and
// checks that Run returned what it should.
func running(t *testing.T, r *outbox.Relay) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v; it returns nil when its context ends", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// record is what was published to a topic, in order.
type record struct {
	mu     sync.Mutex
	events []bus.Event
	more   chan struct{}
}

func recording(t *testing.T, b *bus.Bus, topic string) *record {
	t.Helper()
	rec := &record{more: make(chan struct{}, 1)}
	sub, err := b.Broadcast(t.Context(), topic, bus.BroadcastHandler{Event: func(e bus.Event) {
		rec.mu.Lock()
		rec.events = append(rec.events, e)
		rec.mu.Unlock()
		select {
		case rec.more <- struct{}{}:
		default:
		}
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Close(context.Background()) })
	return rec
}

func (rec *record) all() []bus.Event {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return append([]bus.Event{}, rec.events...)
}

// await waits until what was recorded satisfies enough, and returns it.
func (rec *record) await(t *testing.T, what string, enough func([]bus.Event) bool) []bus.Event {
	t.Helper()
	timeout := time.After(patience)
	for {
		events := rec.all()
		if enough(events) {
			return events
		}
		select {
		case <-rec.more:
		case <-timeout:
			t.Fatalf("timed out waiting for %s; got %s", what, describe(events))
		}
	}
}

// eventually waits for a condition that nothing announces.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatal("timed out waiting for " + what)
		}
	}
}

func describe(events []bus.Event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "\n  %s %s #%s by %s at %s", e.Type, e.ID, e.Extension(outbox.ExtSequence), e.Source, e.Time.Format(time.RFC3339Nano))
	}
	return b.String()
}

func number(t *testing.T, e bus.Event) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(e.Extension(outbox.ExtSequence), 10, 64)
	if err != nil {
		t.Fatalf("event %s has no number: %v", e.ID, err)
	}
	return n
}

// first returns the ids of events in the order of their first publication, and
// checks the numbers: from 1, without holes, and the same for every repetition.
func first(t *testing.T, events []bus.Event) (ids []string) {
	t.Helper()
	known := map[uint64]string{}
	for _, e := range events {
		if e.Type == "watermark" {
			continue
		}
		n := number(t, e)
		switch id, ok := known[n]; {
		case ok && id != e.ID:
			t.Fatalf("number %d was given to %s and then to %s; a number is for ever%s", n, id, e.ID, describe(events))
		case ok:
		case n != uint64(len(known))+1:
			t.Fatalf("number %d came after %d; numbers have no holes and go up%s", n, len(known), describe(events))
		default:
			known[n] = e.ID
			ids = append(ids, e.ID)
		}
	}
	seen := map[string]bool{}
	for _, id := range ids {
		if seen[id] {
			t.Fatalf("event %s has two numbers%s", id, describe(events))
		}
		seen[id] = true
	}
	return ids
}

// notices counts those of events that aren't watermarks, without repetitions.
func notices(events []bus.Event) int {
	ids := map[string]bool{}
	for _, e := range events {
		if e.Type != "watermark" {
			ids[e.ID] = true
		}
	}
	return len(ids)
}

func atLeast(n int) func([]bus.Event) bool {
	return func(events []bus.Event) bool { return notices(events) >= n }
}

var errKilled = errors.New("killed")
