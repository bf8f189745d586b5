package resn_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

// However late claims come to a candidate, and whichever are lost for a while, it
// doesn't get the topic of an owner who is there.
func TestClaimsThatAreLateOrLost(t *testing.T) { // G3
	for name, fate := range map[string]func(n int, since time.Duration) membus.Fate{
		"the owner's come after the TTL": func(n int, _ time.Duration) membus.Fate {
			switch n {
			case 1: // the candidate's own
				return membus.Fate{Delay: 2200 * time.Millisecond}
			case 2:
				return membus.Fate{Delay: 2300 * time.Millisecond}
			}
			return membus.Fate{}
		},
		"what comes after its first is lost for the TTL": func(n int, since time.Duration) membus.Fate {
			return membus.Fate{Drop: n > 1 && since < 2240*time.Millisecond}
		},
		"the owner's come while it takes the topic": func(n int, _ time.Duration) membus.Fate {
			if n == 2 {
				return membus.Fate{Delay: 2300 * time.Millisecond}
			}
			return membus.Fate{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 { // the words that decide between two are random
				synctest.Test(t, func(t *testing.T) {
					broker := membus.NewBroker()
					owner, candidate := newParty(t, broker), newParty(t, broker)
					own := owner.own(t, nil)
					time.Sleep(10 * time.Second)
					var n int
					began := time.Now()
					candidate.faults.Broadcast(func(string) membus.Fate { n++; return fate(n, time.Since(began)) })
					other, err := resn.Own(t.Context(), candidate.lease, "restaurants", nil)
					if err != nil {
						return
					}
					if own.Context().Err() == nil && time.Now().Before(own.Until()) {
						t.Error("two own the topic")
					}
					if err := other.Close(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}

func TestWhoGaveATopicUpMayHaveItAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newParty(t, membus.NewBroker())
		if err := p.own(t, &resn.OwnershipOptions{Owner: "menus"}).Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.own(t, &resn.OwnershipOptions{Owner: "billing"})
	})
}

// Terms begin anew where nobody knows the last one. Who still knows it and comes
// back isn't the owner for that.
func TestWhoComesBackWithAHigherTermIsRefused(t *testing.T) { // G3
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		old := newParty(t, broker)
		for range 3 {
			if err := old.own(t, nil).Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		old.faults.Cut()
		own := newParty(t, broker).own(t, nil)
		old.faults.Heal(true)
		again, err := resn.Own(t.Context(), old.lease, "restaurants", nil)
		if !errors.Is(err, resn.ErrOwned) {
			t.Errorf("the topic has an owner, whose term is lower: got %v", err)
		}
		if err == nil {
			defer func() { _ = again.Close(context.Background()) }()
		}
		time.Sleep(10 * time.Second)
		if err := context.Cause(own.Context()); err != nil {
			t.Errorf("the owner is disturbed: %v", err)
		}
	})
}

// A publisher that stood still between looking whether the topic is its own and
// looking at the clock says nothing of a time in which it may have been another's.
func TestNoWatermarkForATimeAfterTheTenure(t *testing.T) { // G3
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		claim := newParty(t, broker)
		var still atomic.Bool
		pub, _ := publisher(t, broker, &resn.PublisherOptions{Lease: claim.lease, Clock: func() time.Time {
			if still.Swap(false) {
				time.Sleep(400 * time.Millisecond)
			}
			return time.Now()
		}})
		if err := pub.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var last time.Time
		b := broker.Connect(nil)
		defer func() { _ = b.Shutdown(context.Background()) }()
		sub, err := b.Broadcast(t.Context(), "restaurants", bus.BroadcastHandler{Event: func(e bus.Event) {
			mu.Lock()
			defer mu.Unlock()
			last = e.Time
		}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Close(context.Background()) }()
		time.Sleep(10 * time.Second)
		claim.faults.Cut()
		over := time.Now().Add(resn.DefaultOwnershipTTL)
		time.Sleep(resn.DefaultOwnershipTTL - 300*time.Millisecond)
		still.Store(true)
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if last.After(over) {
			t.Errorf("a watermark speaks for %v after the topic was lost", last.Sub(over))
		}
	})
}

// A bus that for a whole TTL brings a candidate everything but the owner's claims
// makes two owners, whatever the lease does. As soon as it brings claims again there
// is one: who hears a higher term stops, and of two with one term one.
func TestOfTwoOwnersOneStopsWhenItHearsOfTheOther(t *testing.T) { // G3
	for name, knows := range map[string]bool{"the second knows the first one's term": true, "both have one term": false} {
		t.Run(name, func(t *testing.T) {
			for range 10 { // the words that decide between two of one term are random
				synctest.Test(t, func(t *testing.T) {
					broker := membus.NewBroker()
					first, second := newParty(t, broker), newParty(t, broker)
					if knows {
						if err := second.own(t, nil).Close(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					one := first.own(t, nil)
					time.Sleep(10*time.Second + 100*time.Millisecond)
					deaf(first, second)
					other := second.own(t, &resn.OwnershipOptions{Wait: true})
					if context.Cause(one.Context()) != nil || !time.Now().Before(one.Until()) {
						t.Fatal("the test needs two owners")
					}
					first.faults.Broadcast(nil)
					second.faults.Broadcast(nil)
					time.Sleep(resn.DefaultOwnershipTTL / 2) // each says once that the topic is its own
					lost, gone := context.Cause(one.Context()), context.Cause(other.Context())
					if (lost == nil) == (gone == nil) {
						t.Errorf("two own the topic for good, or nobody: the first is told %v, the second %v", lost, gone)
					}
					if knows && !errors.Is(lost, resn.ErrOwned) {
						t.Errorf("the one with the lower term stops; it is told %v", lost)
					}
				})
			}
		})
	}
}

// deaf has each of two hear itself only.
func deaf(first, second *party) {
	var firsts atomic.Bool // what is published now is
	for _, p := range []*party{first, second} {
		p.faults.Publish(func() membus.PublishFate { firsts.Store(p == first); return membus.PublishFate{} })
		p.faults.Broadcast(func(string) membus.Fate { return membus.Fate{Drop: firsts.Load() != (p == first)} })
	}
}

// A stranger's claim, that will be refused, is no reason to refuse a second process
// of the owner, whose first one's claims are slower.
func TestASecondProcessJoinsWhoeverElseWantsTheTopic(t *testing.T) {
	for range 20 { // the words that decide between two are random
		synctest.Test(t, func(t *testing.T) {
			broker := membus.NewBroker()
			first, second, stranger := newParty(t, broker), newParty(t, broker), newParty(t, broker)
			one := first.own(t, &resn.OwnershipOptions{Owner: "menus"})
			time.Sleep(10 * time.Second)
			var firsts atomic.Bool // what is published now is
			for _, p := range []*party{first, second, stranger} {
				p.faults.Publish(func() membus.PublishFate { firsts.Store(p == first); return membus.PublishFate{} })
			}
			second.faults.Broadcast(func(string) membus.Fate {
				if firsts.Load() {
					return membus.Fate{Delay: 100 * time.Millisecond}
				}
				return membus.Fate{}
			})
			refused := make(chan error, 1)
			go func() {
				_, err := resn.Own(t.Context(), stranger.lease, "restaurants", &resn.OwnershipOptions{Owner: "billing"})
				refused <- err
			}()
			other, err := resn.Own(t.Context(), second.lease, "restaurants", &resn.OwnershipOptions{Owner: "menus"})
			if err != nil {
				t.Fatalf("a process of the owner joins it: %v", err)
			}
			var owned *resn.OwnedError
			if err := <-refused; !errors.As(err, &owned) || owned.Owner != "menus" {
				t.Errorf("the stranger is refused: %v", err)
			}
			for _, own := range []*resn.Ownership{one, other} {
				if err := context.Cause(own.Context()); err != nil {
					t.Errorf("both own it: %v", err)
				}
				if err := own.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
