package resn_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

// relay is what RunOwned runs.
type relay struct {
	runs  atomic.Int64
	works atomic.Bool
}

func (r *relay) run(ctx context.Context) error {
	r.runs.Add(1)
	r.works.Store(true)
	<-ctx.Done()
	r.works.Store(false)
	return nil
}

// relays starts a relay of a service, and returns what ends it and gives its
// error.
func (p *party) relays(t *testing.T, r *relay, service string) func() error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- resn.RunOwned(ctx, p.lease, []string{"orders", "restaurants", "orders"}, r.run, &resn.OwnershipOptions{Owner: service})
	}()
	end := func() error {
		cancel()
		err := <-done
		done <- err
		return err
	}
	t.Cleanup(func() { _ = end() })
	return end
}

func TestARelayRunsWhileItsTopicsAreTheServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		first, second, rival := newParty(t, broker), newParty(t, broker), newParty(t, broker)
		var a, b, c relay
		endA := first.relays(t, &a, "menus")
		time.Sleep(aTTL)
		second.relays(t, &b, "menus")
		time.Sleep(aTTL)
		if !a.works.Load() || !b.works.Load() {
			t.Fatal("all processes of a service run their relay, of which one leads")
		}
		refused := func(when string) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // if it isn't refused
			defer cancel()
			err := resn.RunOwned(ctx, rival.lease, []string{"restaurants"}, c.run, &resn.OwnershipOptions{Owner: "billing"})
			var owned *resn.OwnedError
			if !errors.As(err, &owned) || owned.Owner != "menus" || c.runs.Load() != 0 {
				t.Fatalf("%s: another service's relay is refused and never runs; got %v", when, err)
			}
		}
		refused("both run")
		for range 5 { // whichever began first, and whatever its term is
			if err := endA(); err != nil {
				t.Error(err)
			}
			for range 4 {
				time.Sleep(time.Second)
				refused("one of two has ended")
			}
			if b.runs.Load() != 1 || !b.works.Load() {
				t.Fatal("what goes on isn't disturbed by what ends")
			}
			endA = first.relays(t, &a, "menus")
			time.Sleep(aTTL)
		}
	})
}

func TestARelayStopsWhenATopicIsLostAndRunsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newParty(t, membus.NewBroker())
		var r relay
		end := p.relays(t, &r, "menus")
		time.Sleep(aTTL)
		p.faults.Cut()
		time.Sleep(aTTL)
		if r.works.Load() {
			t.Error("a relay whose service has lost its topics publishes no more")
		}
		p.faults.Heal(false)
		time.Sleep(20 * time.Second)
		if !r.works.Load() || r.runs.Load() != 2 {
			t.Errorf("it runs again when they are back; ran %d times", r.runs.Load())
		}
		if err := end(); err != nil {
			t.Errorf("the end of its context is no error: %v", err)
		}
	})
}

func TestWhatARelaySaysIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, broken := newParty(t, membus.NewBroker()), errors.New("the table is gone")
		err := resn.RunOwned(t.Context(), p.lease, []string{"orders"}, func(context.Context) error { return broken }, &resn.OwnershipOptions{Owner: "orders"})
		if !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		if err := resn.RunOwned(t.Context(), p.lease, []string{"orders"}, nil, nil); err == nil {
			t.Error("an owner without a name would shut its own processes out")
		}
	})
}

// This is what package outbox has.
type outboxWatermark struct {
	Epoch    string
	Sequence uint64
	Time     time.Time
}

func TestWatermarksOfAnOutbox(t *testing.T) {
	now := time.Now()
	mark := resn.Watermarks[outboxWatermark]("/menus")
	want := resn.Watermark{Topic: "menus", Epoch: "e", Seq: 7, Time: now}.CloudEvent("/menus")
	if d := cmp.Diff(want, mark("menus", outboxWatermark{"e", 7, now})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
