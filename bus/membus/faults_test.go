package membus_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
)

// seen collects what a broadcast saw, as words.
type seen struct {
	mu    sync.Mutex
	words []string
}

func (s *seen) add(word string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.words = append(s.words, word)
}

func (s *seen) handler() bus.BroadcastHandler {
	return bus.BroadcastHandler{
		Event: func(e bus.Event) { s.add(e.ID) },
		State: func(st bus.State) {
			s.add(strings.ReplaceAll(bus.State{Kind: st.Kind, Hole: st.Hole}.String(), " ", "-"))
		},
	}
}

func (s *seen) expect(t *testing.T, rule, want string) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := strings.Join(s.words, " "); got != want {
		t.Errorf("%s:\n got %s\nwant %s", rule, got, want)
	}
}

// day runs a test with two connections, the second of which has faults.
func day(t *testing.T, opts membus.Options, test func(t *testing.T, from, to *bus.Bus, faults *membus.Faults)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		opts.Faults = new(membus.Faults)
		from, to := broker.Connect(nil), broker.Connect(&opts)
		test(t, from, to, opts.Faults)
		if err := errors.Join(to.Shutdown(t.Context()), from.Shutdown(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

func publish(t *testing.T, b *bus.Bus, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := b.Publish(t.Context(), "topic", bus.Event{ID: strconv.Itoa(i), Type: "t"}); err != nil {
			t.Fatal(err)
		}
	}
}

func listen(t *testing.T, b *bus.Bus) *seen {
	t.Helper()
	s := new(seen)
	if _, err := b.Broadcast(t.Context(), "topic", s.handler(), nil); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCut(t *testing.T) {
	day(t, membus.Options{}, func(t *testing.T, from, to *bus.Bus, faults *membus.Faults) {
		s := listen(t, to)
		publish(t, from, 0, 2)
		faults.Cut()
		publish(t, from, 2, 4)
		s.expect(t, "a cut is reported, and nothing comes during it", "live 0 1 lost")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := to.Publish(ctx, "topic", bus.Event{Type: "t"}); !errors.Is(err, context.DeadlineExceeded) && err == nil {
			t.Error("publishing over a cut connection fails")
		}
		faults.Heal(false)
		publish(t, from, 4, 5)
		s.expect(t, "what was published during the cut comes when it heals", "live 0 1 lost resumed 2 3 4")
		faults.Cut()
		publish(t, from, 5, 6)
		faults.Heal(true)
		publish(t, from, 6, 7)
		s.expect(t, "a heal that missed something says so", "live 0 1 lost resumed 2 3 4 lost resumed-with-a-hole 6")
	})
}

func TestPublishWaitsForHeal(t *testing.T) {
	day(t, membus.Options{}, func(t *testing.T, from, to *bus.Bus, faults *membus.Faults) {
		s := listen(t, from)
		faults.Cut()
		time.AfterFunc(3*time.Second, func() { faults.Heal(false) })
		publish(t, to, 0, 3)
		s.expect(t, "a publisher outlasts a cut", "live 0 1 2")
	})
}

func TestSilence(t *testing.T) {
	day(t, membus.Options{}, func(t *testing.T, from, to *bus.Bus, faults *membus.Faults) {
		s := listen(t, to)
		faults.Silence(true)
		publish(t, from, 0, 2)
		faults.Silence(false)
		publish(t, from, 2, 3)
		s.expect(t, "silence loses without a word", "live 2")
	})
}

func TestFates(t *testing.T) {
	day(t, membus.Options{}, func(t *testing.T, from, to *bus.Bus, faults *membus.Faults) {
		s := listen(t, to)
		n := 0
		faults.Broadcast(func(string) membus.Fate {
			n++
			switch n {
			case 1:
				return membus.Fate{Drop: true}
			case 2:
				return membus.Fate{Repeat: 1}
			case 3:
				return membus.Fate{Delay: time.Second}
			}
			return membus.Fate{}
		})
		publish(t, from, 0, 4)
		s.expect(t, "messages are dropped, repeated and held", "live 1 1")
		time.Sleep(time.Second)
		s.expect(t, "what was held comes in order", "live 1 1 2 3")
	})
}

func TestPublishFates(t *testing.T) {
	day(t, membus.Options{}, func(t *testing.T, from, to *bus.Bus, faults *membus.Faults) {
		s := listen(t, from)
		n := 0
		faults.Publish(func() membus.PublishFate {
			n++
			return membus.PublishFate{Drop: n == 1, Unconfirmed: n == 3, Repeat: n / 5}
		})
		publish(t, to, 0, 3)
		s.expect(t, "a lost message is sent again, an unconfirmed one too, which repeats it", "live 0 1 1 2 2")
	})
}

func TestOverrun(t *testing.T) {
	day(t, membus.Options{Buffer: 3}, func(t *testing.T, from, to *bus.Bus, _ *membus.Faults) {
		s := new(seen)
		h := s.handler()
		inner, release := h.Event, make(chan struct{})
		h.Event = func(e bus.Event) {
			if e.ID == "0" {
				<-release
			}
			inner(e)
		}
		if _, err := to.Broadcast(t.Context(), "topic", h, nil); err != nil {
			t.Fatal(err)
		}
		publish(t, from, 0, 1)
		synctest.Wait()
		publish(t, from, 1, 10)
		close(release)
		synctest.Wait()
		publish(t, from, 10, 11)
		s.expect(t, "a buffer that overflows is a hole and never silent", "live 0 1 2 3 lost resumed-with-a-hole 10")
	})
}
