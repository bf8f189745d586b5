package sqladapter_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/service/sqladapter"
	"github.com/goswale/swale/service/sqladapter/postgres"
)

// load has 50 goroutines query until stop, which returns how often they did.
// Both are the same after stop.
func load(t *testing.T, d *sqladapter.Database) (stop func() int64, done func() int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	var queries atomic.Int64
	for range 50 {
		workers.Go(func() {
			for ctx.Err() == nil {
				if _, err := where(t.Context(), d); err != nil {
					t.Errorf("a query failed: %v", err)
					return
				}
				queries.Add(1)
			}
		})
	}
	t.Cleanup(workers.Wait)
	t.Cleanup(cancel)
	return func() int64 { cancel(); workers.Wait(); return queries.Load() }, queries.Load
}

// more waits for so many queries.
func more(t *testing.T, done func() int64, n int64) {
	t.Helper()
	until := done() + n
	eventually(t, "queries", func() bool { return done() >= until || t.Failed() })
}

// First the configuration, then the database: for a moment it has a password that
// isn't valid, and then one that isn't any more.
func TestAPasswordIsRotatedUnderLoad(t *testing.T) {
	behind, _ := newDatabase(t)
	f := newFront(t, behind, "orders", "hunter1")
	s := newSettings(t)
	const churn = `,"maxOpen":8,"maxLifetime":"5ms"` // new connections all the time
	s.write(config(f, "orders", "hunter1", churn))
	d := s.open(f)
	stop, done := load(t, d)
	more(t, done, 100)
	for _, password := range []string{"hunter2", "hunter3", "hunter4"} {
		s.write(config(f, "orders", password, churn))
		eventually(t, "the report that it isn't valid yet", func() bool { return strings.Contains(s.running(), configsvc.ErrNotYet.Error()) })
		more(t, done, 50)
		before := d.State().Since
		f.allow(map[string]string{"orders": password})
		eventually(t, "the change", func() bool { return d.State().Since != before })
		eventually(t, "the report that all is well", func() bool { return !strings.Contains(s.running(), "rejected") })
		more(t, done, 100)
	}
	stop()
	if _, refused := f.counts(); refused < 3 {
		t.Errorf("the password was wrong %d times; this test has shown nothing", refused)
	}
}

// Two users that take turns, which is how databases with one password for each
// user are rotated without a gap, in whatever order.
func TestAUserIsRotatedUnderLoad(t *testing.T) {
	behind, _ := newDatabase(t)
	f := newFront(t, behind, "orders_a", "hunter1")
	s := newSettings(t)
	s.write(config(f, "orders_a", "hunter1", ""))
	d := s.open(f)
	stop, done := load(t, d)
	more(t, done, 100)
	f.allow(map[string]string{"orders_a": "hunter1", "orders_b": "hunter2"})
	s.write(config(f, "orders_b", "hunter2", ""))
	eventually(t, "the other user", func() bool { return d.State().User == "orders_b" })
	f.allow(map[string]string{"orders_b": "hunter2"})
	more(t, done, 200)
	stop()
	if _, refused := f.counts(); refused > 0 {
		t.Errorf("a connection of the user before was tried %d times afterwards", refused)
	}
}

func TestTheAddressMoves(t *testing.T) {
	behindA, nameA := newDatabase(t)
	behindB, nameB := newDatabase(t)
	a, b := newFront(t, behindA, "orders", "hunter1"), newFront(t, behindB, "orders", "hunter2")
	s := newSettings(t)
	s.write(config(a, "orders", "hunter1", ""))
	d := s.open(a, b)
	stop, done := load(t, d)
	more(t, done, 100)
	tx, err := d.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	s.write(config(b, "orders", "hunter2", ""))
	place := b.listener.Addr().String()
	eventually(t, "the other address", func() bool { return strings.Contains(d.State().Place, place) })
	mustBe(t, d, nameB)
	more(t, done, 100)
	stop()
	if got, err := where(t.Context(), tx); err != nil || got != nameA {
		t.Errorf("a transaction ends where it began: %q, %v", got, err)
	}
	eventually(t, "connections that nobody uses to be closed", func() bool { return a.open() == 1 })
	if old := d.State().Old; len(old) != 1 || old[0].Open != 1 || !strings.Contains(old[0].Place, a.listener.Addr().String()) {
		t.Errorf("what is left of the place before is shown: %+v", old)
	}
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
	eventually(t, "the last one to be closed", func() bool { return a.open() == 0 && len(d.State().Old) == 0 })
	mustBe(t, d, nameB)
}

// Nobody has to ask for one to have it closed.
func TestIdleConnectionsAreClosed(t *testing.T) {
	behind, name := newDatabase(t)
	a, b := newFront(t, behind, "orders", "hunter1"), newFront(t, behind, "orders", "hunter1")
	s := newSettings(t)
	s.write(config(a, "orders", "hunter1", ""))
	d := s.open(a, b)
	mustBe(t, d, name)
	if a.open() != 1 {
		t.Fatalf("%d connections; one is idle", a.open())
	}
	s.write(config(b, "orders", "hunter1", ""))
	eventually(t, "it to be closed", func() bool { return a.open() == 0 })
}

func TestConnectionsToTheOldAddressAreCut(t *testing.T) {
	for _, drain := range []string{"0s", "50ms"} {
		t.Run(drain, func(t *testing.T) {
			behindA, _ := newDatabase(t)
			behindB, nameB := newDatabase(t)
			a, b := newFront(t, behindA, "orders", "hunter1"), newFront(t, behindB, "orders", "hunter1")
			s := newSettings(t)
			s.write(config(a, "orders", "hunter1", ""))
			d := s.open(a, b)
			busy, err := d.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = busy.Close() }()
			failed := make(chan error, 1)
			go func() {
				_, err := busy.ExecContext(t.Context(), "SELECT pg_sleep(600)")
				failed <- err
			}()
			s.write(config(b, "orders", "hunter1", `,"drain":"`+drain+`"`))
			select {
			case err := <-failed:
				if err == nil {
					t.Error("it can't have slept so long")
				}
			case <-time.After(patience):
				t.Fatal("a statement on the old place wasn't cut")
			}
			_ = busy.Close()
			mustBe(t, d, nameB)
			eventually(t, "the old place to be left", func() bool { return a.open() == 0 })
		})
	}
}

// Limits are those of the pool: no connection is closed for them, and the database
// isn't even asked.
func TestLimitsFollow(t *testing.T) {
	behind, name := newDatabase(t)
	f := newFront(t, behind, "orders", "hunter1")
	s := newSettings(t)
	s.write(config(f, "orders", "hunter1", `,"maxOpen":2`))
	d := s.open(f)
	mustBe(t, d, name)
	before, _ := f.counts()
	held := make([]*sql.Conn, 2)
	for i := range held {
		var err error
		if held[i], err = d.Conn(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	third := make(chan error, 1)
	go func() { _, err := where(t.Context(), d); third <- err }()
	eventually(t, "the third to wait", func() bool { return d.Stats().WaitCount == 1 })
	s.write(config(f, "orders", "hunter1", `,"maxOpen":3`))
	eventually(t, "the limit", func() bool { return d.State().MaxOpen == 3 })
	for _, c := range held {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-third; err != nil {
		t.Error(err)
	}
	f.mu.Lock()
	f.shut = true // for new ones
	f.mu.Unlock()
	s.write(config(f, "orders", "hunter1", `,"maxOpen":1`))
	eventually(t, "the lower limit", func() bool { return d.State().MaxOpen == 1 })
	eventually(t, "what is over it to be closed", func() bool { return f.open() == 1 })
	mustBe(t, d, name)
	if after, _ := f.counts(); after > before+2 {
		t.Errorf("%d connections were opened for new limits", after-before)
	}
}

func TestWhatCantBeUsedIsRejectedAndTheGoodOneStays(t *testing.T) {
	behind, name := newDatabase(t)
	f, gone := newFront(t, behind, "orders", "hunter1"), newFront(t, behind, "orders", "hunter1")
	gone.close(true)
	s := newSettings(t)
	s.poll = 20 * time.Millisecond
	s.write(config(f, "orders", "hunter1", ""))
	d := s.open(f, gone)
	for _, c := range []struct{ what, text, why string }{
		{"removed", "", "/url is required"},
		{"no database there", config(gone, "orders", "hunter1", ""), configsvc.ErrNotYet.Error()},
		{"not the password", config(f, "orders", "hunter9", ""), "password authentication failed"},
		{"not the driver's", `{"url":"postgres://db.example/orders?sslmode=perhaps","password":{"$secret":"hunter1"}}`, "sslmode"},
		{"not a URL", `{"url":"127.0.0.1:5432","password":{"$secret":"hunter1"}}`, "url is not a URL"},
		{"a password in it", `{"url":"postgres://orders:hunter1@db.example/orders"}`, "put it into password"},
		{"no number", config(f, "orders", "hunter1", `,"maxOpen":-1`), "/maxOpen must be at least 1"},
	} {
		s.write(c.text)
		if err := d.Refresh(t.Context()); err == nil || d.State().Rejected == "" {
			t.Errorf("%s: %v, %+v", c.what, err, d.State())
		}
		eventually(t, c.what+" to be reported", func() bool { return strings.Contains(s.running(), c.why) && strings.Contains(s.running(), "rejected") })
		mustBe(t, d, name)
	}
	s.write(config(gone, "orders", "hunter1", ""))
	eventually(t, "the report", func() bool { return strings.Contains(s.running(), configsvc.ErrNotYet.Error()) })
	gone.close(false)
	eventually(t, "the next poll after the database came", func() bool { return strings.Contains(d.State().Place, gone.listener.Addr().String()) })
	mustBe(t, d, name)
	eventually(t, "all to be well", func() bool { return !strings.Contains(s.running(), "rejected") })
}

func TestStartsFromTheLastGoodCopy(t *testing.T) {
	behind, name := newDatabase(t)
	f := newFront(t, behind, "orders", "hunter1")
	s := newSettings(t)
	s.write(config(f, "orders", "hunter1", ""))
	mustBe(t, s.open(f), name)
	s.SetDown(true)
	f.close(true)
	d := s.open(f) // the database is down, too
	if err := d.PingContext(t.Context()); err == nil {
		t.Error("a check says that the database is down")
	}
	f.close(false)
	mustBe(t, d, name)
	s.write(config(f, "orders", "hunter1", `,"maxOpen":7`))
	s.SetDown(false)
	f.close(true) // which has the next query ask the service
	if err := d.PingContext(t.Context()); err == nil {
		t.Error("the database is down")
	}
	eventually(t, "what was written meanwhile", func() bool { return d.State().MaxOpen == 7 })
}

func TestAStartWithoutADatabaseFails(t *testing.T) {
	s := newSettings(t)
	start := func() error {
		s.SetDown(false)
		_, err := sqladapter.Open(t.Context(), s.client(), []string{key}, postgres.Connector, nil)
		return err
	}
	if err := start(); err == nil || !strings.Contains(err.Error(), "/url is required") {
		t.Errorf("without a configuration: %v", err)
	}
	d := sqladapter.New(postgres.Connector, nil)
	if err := d.PingContext(t.Context()); !errors.Is(err, sqladapter.ErrNoConfig) {
		t.Errorf("before the first configuration: %v", err)
	}
	if _, err := d.Driver().Open(""); !errors.Is(err, sqladapter.ErrNoConfig) {
		t.Errorf("its driver: %v", err)
	}
	if err := d.Use(sqladapter.Config{URL: "postgres://u:hunter2@h/d"}); err == nil || strings.Contains(err.Error(), word) {
		t.Errorf("what can't be used: %v", err)
	}
	if err := d.Refresh(t.Context()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("nobody to ask: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := d.Use(sqladapter.Config{URL: "postgres://h/d"}); !errors.Is(err, sql.ErrConnDone) {
		t.Errorf("after Close: %v", err)
	}
}
