package membus_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
)

// A minute in which events come twenty times as fast as the group handles them:
// they wait at the broker, nobody who publishes waits, and in the end all have been
// handled in the order of their keys.
func TestGroupSlowerThanTheProducerForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const perSecond, seconds, keys, held = 200, 60, 4, 16
		broker := membus.NewBroker()
		from, to := broker.Connect(nil), broker.Connect(nil)
		var mu sync.Mutex
		running, most, handled := 0, 0, 0
		last := map[string]int{}
		_, err := to.Group(t.Context(), "topic", "g", func(_ context.Context, d *bus.Delivery) error {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			n, err := strconv.Atoi(d.Event.ID)
			time.Sleep(time.Duration(100+n*37%600) * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			running--
			handled++
			if before, ok := last[d.Event.Subject]; ok && n <= before || err != nil {
				t.Errorf("%s: event %d came after %d", d.Event.Subject, n, before)
			}
			last[d.Event.Subject] = n
			return nil
		}, &bus.GroupOptions{MaxInFlight: held, Parallel: keys, AckWait: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for i := range perSecond * seconds {
			time.Sleep(time.Second / perSecond)
			if err := from.Publish(t.Context(), "topic", bus.Event{ID: strconv.Itoa(i), Type: "t", Subject: strconv.Itoa(i % keys)}); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > seconds*time.Second+time.Second {
			t.Errorf("a slow group held the publisher up: a minute of events took %v", took)
		}
		backlog, err := from.Backlog(t.Context(), "topic", "g")
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		if want := perSecond*seconds - handled; backlog != want {
			t.Errorf("the backlog is %d with %d handled; want %d", backlog, handled, want)
		}
		if handled > perSecond*seconds/10 {
			t.Errorf("%d events were handled within the minute: the group isn't slow", handled)
		}
		mu.Unlock()
		for end := time.Now().Add(time.Hour); backlog > 0 && time.Now().Before(end); {
			if backlog, err = from.Backlog(t.Context(), "topic", "g"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if handled != perSecond*seconds || most > keys {
			t.Errorf("%d of %d events were handled, by up to %d at once", handled, perSecond*seconds, most)
		}
		for _, b := range []*bus.Bus{from, to} {
			if err := b.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

// The same minute for a broadcast: what its buffer can't hold is a hole that is
// told where it is, and the publisher never waits.
func TestBroadcastSlowerThanTheProducerForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const perSecond, seconds = 200, 60
		broker := membus.NewBroker()
		from, to := broker.Connect(nil), broker.Connect(&membus.Options{Buffer: 100})
		next, hole, holes, got := 0, false, 0, 0
		done := make(chan struct{})
		_, err := to.Broadcast(t.Context(), "topic", bus.BroadcastHandler{
			Event: func(e bus.Event) {
				time.Sleep(50 * time.Millisecond)
				n, err := strconv.Atoi(e.ID)
				if n < next || n > next && !hole || err != nil {
					t.Errorf("event %d where %d was due, and no hole was told", n, next)
				}
				next, hole = n+1, false
				if got++; n == perSecond*seconds {
					close(done)
				}
			},
			State: func(s bus.State) {
				if s.Hole {
					hole = true
					holes++
				}
			},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range perSecond * seconds {
			time.Sleep(time.Second / perSecond)
			if err := from.Publish(t.Context(), "topic", bus.Event{ID: strconv.Itoa(i), Type: "t"}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		if err := from.Publish(t.Context(), "topic", bus.Event{ID: strconv.Itoa(perSecond * seconds), Type: "t"}); err != nil {
			t.Fatal(err)
		}
		<-done
		if holes == 0 || got > perSecond*seconds/5 {
			t.Errorf("%d events came, with %d holes: the handler isn't slow", got, holes)
		}
		for _, b := range []*bus.Bus{from, to} {
			if err := b.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}
