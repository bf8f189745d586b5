package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/bus/outbox"
)

// TestCommitOrder has two transactions that commit in the other order than they
// took their ids.
func TestCommitOrder(t *testing.T) {
	on := onPostgres(t)
	box := on.outbox(t, nil)
	b := newBus(t, nil)
	rec := recording(t, b, "things")
	running(t, outbox.NewRelay(box, b, &outbox.RelayOptions{Listen: on.listen, Watermark: watermarks("relay"), WatermarkInterval: 5 * time.Millisecond}))

	older, err := on.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = older.Rollback() }()
	if err := box.Append(t.Context(), older, "things", event("older")); err != nil {
		t.Fatal(err)
	}
	add(t, box, "things", "younger") // commits while older is open
	events := rec.await(t, "the event that is committed", atLeast(1))
	if diff := cmp.Diff([]string{"younger"}, first(t, events)); diff != "" {
		t.Fatalf("an open transaction must not hold up one that has committed (-want +got):\n%s", diff)
	}
	after := len(events)
	rec.await(t, "watermarks while a transaction is open", func(e []bus.Event) bool { return len(e) > after+2 })
	if err := older.Commit(); err != nil {
		t.Fatal(err)
	}
	committed := databaseTime(t, on.db)
	add(t, box, "things", "youngest")
	events = rec.await(t, "all three", atLeast(3))
	if diff := cmp.Diff([]string{"younger", "older", "youngest"}, first(t, events)); diff != "" {
		t.Errorf("the order is that of the commits, not of the ids (-want +got):\n%s", diff)
	}
	checkWatermarks(t, events, map[string]time.Time{"older": committed})
}

// databaseTime is a time after every commit that the caller has seen.
func databaseTime(t *testing.T, db *sql.DB) time.Time {
	t.Helper()
	var now time.Time
	if err := db.QueryRowContext(t.Context(), "SELECT clock_timestamp()").Scan(&now); err != nil {
		t.Fatal(err)
	}
	return now
}

// checkWatermarks checks the only thing that a watermark says: whatever was
// committed before T has come before it. committed has for each id a time at which
// its commit had returned.
func checkWatermarks(t *testing.T, events []bus.Event, committed map[string]time.Time) {
	t.Helper()
	came, highest, count := map[string]bool{}, uint64(0), 0
	for i, e := range events {
		if e.Type != "watermark" {
			came[e.ID] = true
			highest = max(highest, number(t, e))
			continue
		}
		count++
		if n := number(t, e); n > highest {
			t.Errorf("a watermark names number %d, and only %d was published%s", n, highest, describe(events[:i+1]))
		}
		for id, at := range committed {
			if at.Before(e.Time) && !came[id] {
				t.Errorf("false watermark: T is %s, %s was committed by %s and had not been announced%s",
					e.Time.Format(time.RFC3339Nano), id, at.Format(time.RFC3339Nano), describe(events[:i+1]))
			}
		}
	}
	if count == 0 {
		t.Error("no watermark was published")
	}
}

// TestWatermarkIsTrueUnderLoad compares watermarks with the times of commits.
func TestWatermarkIsTrueUnderLoad(t *testing.T) {
	on := onPostgres(t)
	box := on.outbox(t, nil)
	b := newBus(t, nil)
	rec := recording(t, b, "things")
	running(t, outbox.NewRelay(box, b, &outbox.RelayOptions{Listen: on.listen, Batch: 3, Watermark: watermarks("relay"), WatermarkInterval: 2 * time.Millisecond}))
	var mu sync.Mutex
	committed := map[string]time.Time{}
	var writers sync.WaitGroup
	const each = 60
	for w := range 4 {
		writers.Go(func() {
			for i := range each {
				id := fmt.Sprintf("%d-%d", w, i)
				add(t, box, "things", id)
				at := databaseTime(t, on.db)
				mu.Lock()
				committed[id] = at
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	events := rec.await(t, "everything", atLeast(4*each))
	first(t, events)
	checkWatermarks(t, events, committed)
}

// TestWatermarkTimeIsBeforeTheSnapshot stops the reading statement in its middle,
// commits a change that it can't see, and lets it go on.
func TestWatermarkTimeIsBeforeTheSnapshot(t *testing.T) {
	t.Run("PostgreSQL", func(t *testing.T) {
		on := onPostgres(t)
		box := on.outbox(t, nil)
		b := newBus(t, nil)
		rec := recording(t, b, "things")
		g := newGate(on.db)
		// Who leads waits, when it finds a row of the topic "gate", for whoever holds
		// this lock.
		execute(t, on.db,
			`ALTER TABLE swale_outbox RENAME TO swale_outbox_rows`,
			`CREATE FUNCTION pass(topic text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
				IF topic = 'gate' AND EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = x'73776f62'::int AND pid = pg_backend_pid()) THEN
					`+g.wait()+`
				END IF;
				RETURN true; END $$`,
			`CREATE VIEW swale_outbox AS SELECT *, ctid FROM swale_outbox_rows WHERE pass(topic)`,
		)
		g.close(t)
		running(t, outbox.NewRelay(box, b, &outbox.RelayOptions{Topics: []string{"things"}, LeaderTTL: 20 * time.Second, Watermark: watermarks("relay"), WatermarkInterval: 5 * time.Millisecond}))
		rec.await(t, "a watermark", func(e []bus.Event) bool { return len(e) > 0 })
		// Appended by another process, so that the relay finds it when it reads for a
		// watermark.
		elsewhere := outbox.New(on.db, on.dialect, nil)
		add(t, elsewhere, "gate", "1")
		g.reached(t, "the relay in its statement")
		add(t, elsewhere, "things", "unseen")
		committed := databaseTime(t, on.db)
		g.open(t)
		rec.await(t, "the event", atLeast(1))
		events := rec.await(t, "a watermark after it", func(e []bus.Event) bool { return e[len(e)-1].Type == "watermark" && atLeast(1)(e) })
		checkWatermarks(t, events, map[string]time.Time{"unseen": committed})
	})
	t.Run("SQLite", func(t *testing.T) {
		on := onSQLite(t)
		var armed atomic.Bool
		var mu sync.Mutex
		committed := map[string]time.Time{}
		// Whoever asks for the time gets it after a change was committed: T is true
		// only if the reading comes after the asking.
		box := on.outbox(t, &outbox.Options{Clock: func() time.Time {
			if armed.CompareAndSwap(true, false) {
				add(t, on.outbox(t, nil), "things", "unseen") // another process, which wakes nobody
				mu.Lock()
				committed["unseen"] = time.Now()
				mu.Unlock()
			}
			return time.Now()
		}})
		b := newBus(t, nil)
		rec := recording(t, b, "things")
		r := outbox.NewRelay(box, b, &outbox.RelayOptions{Topics: []string{"things"}, Watermark: watermarks("relay"), WatermarkInterval: 5 * time.Millisecond})
		r.SetFault(func(step string) error {
			if step == "number" && len(rec.all()) > 0 {
				mu.Lock()
				defer mu.Unlock()
				armed.Store(committed["unseen"].IsZero())
			}
			return nil
		})
		running(t, r)
		events := rec.await(t, "a watermark after the event", func(e []bus.Event) bool { return atLeast(1)(e) && e[len(e)-1].Type == "watermark" })
		mu.Lock()
		defer mu.Unlock()
		checkWatermarks(t, events, committed)
	})
}

// TestWatermarkWaitsForWhatWasRead holds back the events of a topic.
func TestWatermarkWaitsForWhatWasRead(t *testing.T) {
	everywhere(t, func(t *testing.T, on database) {
		box := on.outbox(t, nil)
		faults := &membus.Faults{}
		b := newBus(t, &membus.Options{Faults: faults})
		rec := recording(t, b, "things")
		r := outbox.NewRelay(box, b, &outbox.RelayOptions{
			Topics: []string{"things"}, PublishTimeout: 10 * time.Millisecond, RetryMax: 20 * time.Millisecond,
			Watermark: watermarks("relay"), WatermarkInterval: 5 * time.Millisecond, Listen: on.listen,
		})
		var drop atomic.Bool
		r.SetFault(func(step string) error {
			// Both steps are of the goroutine that then publishes; others, such as
			// the reader's, must not decide on its events.
			switch {
			case step == "publish" && drop.Load():
				faults.Publish(func() membus.PublishFate { return membus.PublishFate{Drop: true} })
			case step == "publish" || step == "watermark":
				faults.Publish(nil) // watermarks get through
			}
			return nil
		})
		running(t, r)
		rec.await(t, "watermarks of a topic that has no events", func(e []bus.Event) bool { return len(e) > 3 })
		drop.Store(true)
		add(t, box, "things", "1", "2", "3")
		committed := time.Now()
		if on.name == "PostgreSQL" {
			committed = databaseTime(t, on.db)
		}
		eventually(t, "statistics that show what waits and why", func() bool {
			s := r.Stats()
			return s.Failures > 3 && s.LastError != "" && len(s.Topics) == 1 && s.Topics[0].Waiting == 3 && s.Topics[0].Failures > 0
		})
		drop.Store(false)
		rec.await(t, "the events", atLeast(3))
		events := rec.await(t, "a watermark after them", func(e []bus.Event) bool {
			return e[len(e)-1].Type == "watermark" && e[len(e)-1].Time.After(committed)
		})
		if diff := cmp.Diff([]string{"1", "2", "3"}, first(t, events)); diff != "" {
			t.Errorf("failures must not change the order (-want +got):\n%s", diff)
		}
		checkWatermarks(t, events, map[string]time.Time{"1": committed, "2": committed, "3": committed})
	})
}

// TestFailingTopicHoldsUpNoOther has an event that the bus doesn't take.
func TestFailingTopicHoldsUpNoOther(t *testing.T) {
	everywhere(t, failingTopic)
}

func failingTopic(t *testing.T, on database) {
	t.Helper()
	box := on.outbox(t, nil)
	b := newBus(t, &membus.Options{Bus: bus.Options{MaxEventBytes: 2000}})
	bad, good := recording(t, b, "bad"), recording(t, b, "good")
	r := outbox.NewRelay(box, b, &outbox.RelayOptions{RetryMax: 20 * time.Millisecond, Watermark: watermarks("relay"), WatermarkInterval: 5 * time.Millisecond})
	running(t, r)
	large := event("large")
	large.Data = fmt.Appendf(nil, "%q", make([]byte, 3000))
	if err := box.InTx(t.Context(), func(tx *sql.Tx) error {
		return box.Append(t.Context(), tx, "bad", event("before"), large, event("after"))
	}); err != nil {
		t.Fatal(err)
	}
	bad.await(t, "what comes before the event that is too large", atLeast(1))
	for i := range 20 {
		add(t, box, "good", fmt.Sprint(i))
	}
	good.await(t, "the other topic", atLeast(20))
	eventually(t, "another topic's watermark while one fails", func() bool {
		e := good.all()
		return e[len(e)-1].Type == "watermark" && number(t, e[len(e)-1]) == 20
	})
	if ids := first(t, bad.all()); len(ids) != 1 {
		t.Errorf("published %v; nothing may overtake an event that can't be published", ids)
	}
	eventually(t, "the number of the event to be written down", func() bool {
		res, err := on.db.ExecContext(t.Context(), `DELETE FROM swale_outbox WHERE topic = 'bad' AND sequence = 2`)
		if err != nil {
			t.Fatal(err)
		}
		n, err := res.RowsAffected()
		return err == nil && n == 1
	})
	bad.await(t, "what comes after it, when an operator has removed it", atLeast(2))
}

// TestOneLeader checks the handover between two relays.
func TestOneLeader(t *testing.T) {
	everywhere(t, func(t *testing.T, on database) {
		box := on.outbox(t, nil)
		b := newBus(t, nil)
		rec := recording(t, b, "things")
		opts := &outbox.RelayOptions{Listen: on.listen, LeaderTTL: 6 * time.Second} // the handover is by word, not by its end
		relays := []*outbox.Relay{outbox.NewRelay(box, b, opts), outbox.NewRelay(box, b, opts)}
		stops := make([]func(), 2)
		for i, r := range relays {
			stops[i] = running(t, r)
		}
		leader := func() int {
			a, z := relays[0].Stats().Leading, relays[1].Stats().Leading
			if a == z {
				return -1
			}
			if a {
				return 0
			}
			return 1
		}
		eventually(t, "one to lead", func() bool { return leader() >= 0 })
		add(t, box, "things", "1", "2")
		rec.await(t, "the leader's events", atLeast(2))
		was := leader()
		if was < 0 {
			t.Fatal("two relays lead")
		}
		stops[was]()
		add(t, box, "things", "3")
		events := rec.await(t, "the other's event", atLeast(3))
		if diff := cmp.Diff([]string{"1", "2", "3"}, first(t, events)); diff != "" || len(events) != 3 {
			t.Errorf("a handover repeats nothing and goes on with the numbers (-want +got):\n%s%s", diff, describe(events))
		}
		if leader() != 1-was {
			t.Error("the other relay doesn't lead")
		}
		if err := relays[1-was].Run(t.Context()); err == nil {
			t.Error("Run of a relay that runs returned nil")
		}
	})
}

// TestLostConnection takes the leader's connection away, as a failover does.
func TestLostConnection(t *testing.T) {
	on := onPostgres(t)
	box := on.outbox(t, nil)
	b := newBus(t, nil)
	rec := recording(t, b, "things")
	for range 2 {
		running(t, outbox.NewRelay(box, b, &outbox.RelayOptions{Listen: on.listen, LeaderTTL: 400 * time.Millisecond, RetryMax: 100 * time.Millisecond}))
	}
	var want []string
	for i := range 5 {
		id := fmt.Sprint(i)
		add(t, box, "things", id)
		want = append(want, id)
		rec.await(t, "event "+id, atLeast(i+1))
		if _, err := on.db.ExecContext(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'
			AND objid = to_regclass('swale_outbox')::oid`); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, first(t, rec.all())); diff != "" {
		t.Errorf("a lost connection loses and reorders nothing (-want +got):\n%s", diff)
	}
}

// TestHungRelay suspends a leader until another has taken over and published, and
// lets it go on. What it then says must be true.
func TestHungRelay(t *testing.T) {
	everywhere(t, func(t *testing.T, on database) {
		for _, step := range []string{"number", "numbered", "publish", "watermark"} {
			t.Run(step, func(t *testing.T) { hangAt(t, on, step) })
		}
	})
}

func hangAt(t *testing.T, on database, step string) {
	t.Helper()
	box := on.outbox(t, &outbox.Options{Table: "hung_" + step})
	b := newBus(t, nil)
	rec := recording(t, b, "things")
	now := time.Now
	if on.name == "PostgreSQL" {
		now = func() time.Time { return databaseTime(t, on.db) }
	}
	committed := map[string]time.Time{}
	put := func(id string) {
		add(t, box, "things", id)
		committed[id] = now()
	}
	options := func(name string) *outbox.RelayOptions {
		return &outbox.RelayOptions{Listen: on.listen, Watermark: watermarks(name), WatermarkInterval: 5 * time.Millisecond,
			LeaderTTL: 500 * time.Millisecond, PublishTimeout: 2 * time.Second, RetryMax: 50 * time.Millisecond}
	}
	// Events 0 to 2 are published by the first before it hangs, with event 3 to come.
	var hang, suspended atomic.Bool
	hung, resume := make(chan struct{}), make(chan struct{})
	r := outbox.NewRelay(box, b, options("first"))
	r.SetFault(func(s string) error {
		if s == step && hang.CompareAndSwap(true, false) {
			suspended.Store(true)
			close(hung)
		}
		if suspended.Load() { // none of its goroutines gets further
			<-resume
		}
		return nil
	})
	running(t, r)
	for i := range 3 {
		put(fmt.Sprint(i))
	}
	rec.await(t, "the first relay's events", atLeast(3))
	hang.Store(true)
	put("3")
	<-hung
	failures := r.Stats().Failures

	stopSecond := running(t, outbox.NewRelay(box, b, options("second")))
	rec.await(t, "the second relay's watermark", func(events []bus.Event) bool {
		return events[len(events)-1].Source == "second"
	})
	for i := 4; i < 8; i++ {
		put(fmt.Sprint(i))
	}
	rec.await(t, "the second relay's events", atLeast(8))
	eventually(t, "the second relay to remove what it published", func() bool {
		backlog, err := box.Backlog(t.Context())
		return err == nil && backlog.Rows == 0
	})
	close(resume)
	eventually(t, "the first relay to notice", func() bool { return r.Stats().Failures > failures })
	put("8")
	rec.await(t, "another event", atLeast(9))
	stopSecond()
	put("9")
	events := rec.await(t, "the first relay to lead again", func(events []bus.Event) bool {
		return notices(events) == 10 && events[len(events)-1].Source == "first"
	})
	checkWatermarks(t, events, committed)
	// What a reader makes of it: it has seen nothing but what a watermark names.
	// Then a number that is behind would tell it that it had missed nothing.
	takeover := false
	var highest uint64
	for _, e := range events {
		takeover = takeover || e.Source == "second"
		if e.Type != "watermark" {
			highest = max(highest, number(t, e))
		} else if takeover && e.Source == "first" && number(t, e) < highest && e.Time.After(committed["4"]) {
			t.Errorf("the relay that hung says at %s that number %d was the last; it was %d", e.Time.Format(time.RFC3339Nano), number(t, e), highest)
		}
	}
}

// TestRunEnds checks what ends Run.
func TestRunEnds(t *testing.T) {
	on := onSQLite(t)
	box := on.outbox(t, nil)
	b := membus.New(nil)
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	add(t, box, "things", "1")
	if err := outbox.NewRelay(box, b, nil).Run(t.Context()); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("Run on a bus that was shut down returned %v, want bus.ErrClosed", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := outbox.NewRelay(box, b, nil).Run(ended); err != nil {
		t.Errorf("Run with an ended context returned %v, want nil", err)
	}
}
