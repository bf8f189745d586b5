package outbox_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/outbox"
)

// TestClockSetBack sets the clock that T and the ages of rows are by, the process's
// on SQLite and the database's on PostgreSQL, back by an hour while a topic is never
// idle. Order and numbers don't depend on it, watermarks go on, and what they say is
// true by the clock that they are by.
func TestClockSetBack(t *testing.T) {
	everywhere(t, func(t *testing.T, on database) {
		var back atomic.Bool
		now := func() time.Time {
			if back.Load() {
				return time.Now().Round(0).Add(-time.Hour) // without its monotonic part
			}
			return time.Now().Round(0)
		}
		box := on.outbox(t, &outbox.Options{Clock: now})
		if on.name == "PostgreSQL" {
			execute(t, on.db, `CREATE TABLE clock (back interval)`, `INSERT INTO clock VALUES ('0')`,
				`CREATE FUNCTION now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT pg_catalog.now() - back FROM clock'`)
		}
		b := newBus(t, nil)
		rec := recording(t, b, "things")
		r := outbox.NewRelay(box, b, &outbox.RelayOptions{Batch: 1, Watermark: watermarks("relay"), WatermarkInterval: 2 * time.Millisecond, Listen: on.listen})
		r.SetFault(func(step string) error {
			if step == "publish" {
				<-time.After(3 * time.Millisecond) // slower than the appender
			}
			return nil
		})
		const n, waiting = 150, 5
		var want []string
		put := func(to int) {
			for i := len(want); i < to; i++ {
				rec.await(t, "the events before", atLeast(i-waiting))
				id := fmt.Sprint(i)
				want = append(want, id)
				add(t, box, "things", id)
			}
		}
		put(waiting)
		running(t, r)
		put(n / 3)
		turned := now()
		back.Store(true)
		if on.name == "PostgreSQL" {
			execute(t, on.db, `UPDATE clock SET back = '1 hour'`)
		}
		put(n)
		events := rec.await(t, "everything", atLeast(n))
		if diff := cmp.Diff(want, first(t, events)); diff != "" {
			t.Errorf("the clock has no part in the order (-want +got):\n%s", diff)
		}
		highest, sooner := uint64(0), 0
		for _, e := range events {
			if e.Type != "watermark" {
				highest = max(highest, number(t, e))
				continue
			}
			if number(t, e) > highest {
				t.Errorf("a watermark names number %d, and only %d was published", number(t, e), highest)
			}
			if e.Time.Before(turned.Add(-30*time.Minute)) && highest < n {
				sooner++
			}
		}
		if sooner == 0 {
			t.Error("a topic that is busy when the clock is set back gets watermarks nonetheless")
		}
		rec.await(t, "a watermark of the last number", func(e []bus.Event) bool {
			last := e[len(e)-1]
			return last.Type == "watermark" && number(t, last) == n && last.Time.Before(turned)
		})
	})
}
