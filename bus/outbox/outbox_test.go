package outbox_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/outbox"
)

func TestPublishesWhatCommits(t *testing.T) {
	everywhere(t, func(t *testing.T, on database) {
		box := on.outbox(t, nil)
		b := newBus(t, nil)
		rec := recording(t, b, "things")
		running(t, outbox.NewRelay(box, b, &outbox.RelayOptions{Listen: on.listen}))

		add(t, box, "things", "1")
		failed := errors.New("no")
		err := box.InTx(t.Context(), func(tx *sql.Tx) error {
			if err := box.Append(t.Context(), tx, "things", event("undone")); err != nil {
				return err
			}
			return failed
		})
		if !errors.Is(err, failed) {
			t.Errorf("InTx returned %v; it returns the function's error", err)
		}
		add(t, box, "things", "2", "3")
		events := rec.await(t, "three events", atLeast(3))
		if diff := cmp.Diff([]string{"1", "2", "3"}, first(t, events)); diff != "" {
			t.Errorf("what is published must be what was committed (-want +got):\n%s", diff)
		}
		for _, e := range events {
			if e.Extension(outbox.ExtEpoch) != events[0].Extension(outbox.ExtEpoch) || e.Extension(outbox.ExtEpoch) == "" {
				t.Errorf("epochs %q and %q; an outbox keeps its epoch", events[0].Extension(outbox.ExtEpoch), e.Extension(outbox.ExtEpoch))
			}
			if want := event(e.ID); e.Subject != want.Subject || e.Type != want.Type || e.Source != want.Source {
				t.Errorf("published %+v; an event arrives as it was appended", e)
			}
		}
	})
}

// TestRestartGoesOn checks that epoch and numbers outlive the relay and Migrate.
func TestRestartGoesOn(t *testing.T) {
	everywhere(t, func(t *testing.T, on database) {
		b := newBus(t, nil)
		rec := recording(t, b, "things")
		for i := range 3 {
			box := on.outbox(t, nil)
			stop := running(t, outbox.NewRelay(box, b, &outbox.RelayOptions{Listen: on.listen}))
			add(t, box, "things", fmt.Sprint(i))
			rec.await(t, "the event", atLeast(i+1))
			stop()
			if backlog, err := box.Backlog(t.Context()); err != nil || backlog.Rows != 0 {
				t.Errorf("backlog after a clean stop is %+v, %v; the relay removes what it published", backlog, err)
			}
		}
		events := rec.all()
		first(t, events)
		if len(events) != 3 {
			t.Errorf("%d events; after a clean stop nothing is repeated%s", len(events), describe(events))
		}
		if a, z := events[0].Extension(outbox.ExtEpoch), events[2].Extension(outbox.ExtEpoch); a != z {
			t.Errorf("epoch changed from %s to %s; it is made once per database", a, z)
		}
		box := on.outbox(t, nil)
		if err := box.NewEpoch(t.Context()); err != nil {
			t.Fatal(err)
		}
		running(t, outbox.NewRelay(box, b, nil))
		add(t, box, "things", "new")
		events = rec.await(t, "the event of the new epoch", atLeast(4))
		if a, z := events[0].Extension(outbox.ExtEpoch), events[3].Extension(outbox.ExtEpoch); a == z {
			t.Error("NewEpoch left the epoch as it was")
		}
	})
}

func TestAppendRefuses(t *testing.T) {
	on := onSQLite(t)
	box := on.outbox(t, &outbox.Options{MaxEventBytes: 1000})
	for _, c := range []struct {
		name, topic string
		e           bus.Event
		want        error
	}{
		{"an event without source", "things", bus.Event{Type: "changed"}, bus.ErrInvalidEvent},
		{"a bad topic", "no topic\n", event("1"), bus.ErrInvalidTopic},
		{"a large event", "things", bus.Event{Source: "/", Type: "changed", Data: []byte(`"` + strings.Repeat("x", 1000) + `"`)}, bus.ErrTooLarge},
	} {
		err := box.InTx(t.Context(), func(tx *sql.Tx) error { return box.Append(t.Context(), tx, c.topic, event("good"), c.e) })
		if !errors.Is(err, c.want) {
			t.Errorf("Append of %s returned %v, want %v", c.name, err, c.want)
		}
	}
	if backlog, err := box.Backlog(t.Context()); err != nil || backlog.Rows != 0 {
		t.Errorf("backlog %+v, %v; Append adds all of its events or none", backlog, err)
	}
	if err := outbox.New(on.db, outbox.SQLite, &outbox.Options{Table: "x; DROP TABLE"}).Migrate(t.Context()); err == nil {
		t.Error("Migrate took a table name that is none")
	}
}

// TestManyRows passes every limit: of an INSERT, of a Read, of memory.
func TestManyRows(t *testing.T) {
	everywhere(t, func(t *testing.T, on database) {
		box := on.outbox(t, nil)
		b := newBus(t, nil)
		var mu sync.Mutex
		last, total := map[string]uint64{}, 0
		done := make(chan struct{})
		const each, topics = 3500, 3
		for _, topic := range []string{"a", "b", "c"} {
			_, err := b.Broadcast(t.Context(), topic, bus.BroadcastHandler{Event: func(e bus.Event) {
				mu.Lock()
				defer mu.Unlock()
				if n := number(t, e); n != last[topic]+1 {
					t.Errorf("topic %s: number %d after %d", topic, n, last[topic])
				} else {
					last[topic] = n
				}
				if total++; total == each*topics {
					close(done)
				}
			}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			events := make([]bus.Event, each)
			for i := range events {
				events[i] = event(fmt.Sprint(topic, i))
			}
			if err := box.InTx(t.Context(), func(tx *sql.Tx) error { return box.Append(t.Context(), tx, topic, events...) }); err != nil {
				t.Fatal(err)
			}
		}
		if backlog, err := box.Backlog(t.Context()); err != nil || backlog.Rows != each*topics || time.Since(backlog.Oldest) > 10*time.Minute {
			t.Errorf("backlog is %+v, %v; want %d rows that are new", backlog, err, each*topics)
		}
		// A leader that stands still for longer than it may be silent publishes again.
		r := outbox.NewRelay(box, b, &outbox.RelayOptions{Listen: on.listen, LeaderTTL: 30 * time.Second})
		running(t, r)
		select {
		case <-done:
		case <-time.After(patience):
			t.Fatalf("only %v published", last)
		}
		eventually(t, "the statistics to say so", func() bool { return r.Stats().Published == each*topics })
	})
}

// TestAppendWithoutWake is for callers who forget Wake: Append announces rows to the
// relay of its process.
func TestAppendWithoutWake(t *testing.T) {
	on := onSQLite(t)
	box := on.outbox(t, nil)
	b := newBus(t, nil)
	rec := recording(t, b, "things")
	r := outbox.NewRelay(box, b, nil)
	r.NeverPolls()
	running(t, r)
	eventually(t, "the relay to lead", func() bool { return r.Stats().Leading })
	tx, err := on.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := box.Append(t.Context(), tx, "things", event("1")); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	rec.await(t, "the event that Append announced", atLeast(1))
}

// TestWake is about who tells the relay of a commit: the relay doesn't look by itself.
func TestWake(t *testing.T) {
	everywhere(t, func(t *testing.T, on database) {
		box := on.outbox(t, nil)
		b := newBus(t, nil)
		rec := recording(t, b, "things")
		r := outbox.NewRelay(box, b, &outbox.RelayOptions{Listen: on.listen})
		r.NeverPolls()
		running(t, r)
		eventually(t, "the relay to lead", func() bool { return r.Stats().Leading })
		appender := box
		if on.listen != nil {
			appender = on.outbox(t, nil) // as another process would; NOTIFY tells
		}
		for i := range 3 {
			add(t, appender, "things", fmt.Sprint(i))
			rec.await(t, "the event, whose commit wakes the relay", atLeast(i+1))
		}
	})
}
