package resn_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

// heir is an owner of the topic, whose lease and whose bus fail apart from each
// other.
type heir struct {
	pub    *resn.Publisher
	faults *membus.Faults // of the bus
	claim  *party
}

func newHeir(t *testing.T, broker *membus.Broker, name string) *heir {
	t.Helper()
	h := &heir{claim: newParty(t, broker)}
	h.pub, h.faults = publisher(t, broker, &resn.PublisherOptions{
		Lease: h.claim.lease, Claim: &resn.OwnershipOptions{Owner: name},
	})
	return h
}

// ready waits until the topic is the heir's.
func (h *heir) ready(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for h.pub.Ready(ctx) != nil {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("the topic isn't taken over")
		}
	}
	synctest.Wait()
}

// gossip keeps what is said on the topic, to say it again.
type gossip struct {
	bus  *bus.Bus
	mu   sync.Mutex
	said []bus.Event
}

func newGossip(t *testing.T, b *bus.Bus) *gossip {
	t.Helper()
	g := &gossip{bus: b}
	sub, err := b.Broadcast(t.Context(), "restaurants", bus.BroadcastHandler{Event: func(e bus.Event) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.said = append(g.said, e)
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Close(context.Background()); _ = b.Shutdown(context.Background()) })
	return g
}

// of returns what was said in an epoch.
func (g *gossip) of(epoch string) []bus.Event {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(g.said), func(e bus.Event) bool {
		return e.Extension("epoch") != epoch
	})
}

// A topic changes hands while its first owner knows nothing of it, and what that
// one said comes again late. Nobody vouches by its word any more, and who reads is
// never shown what is over for longer than the lease.
func TestTheWordOfADeposedOwner(t *testing.T) { // G3
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		o := &owner{version: 1}
		b := broker.Connect(nil)
		client, err := resn.NewClient(b, &resn.ClientOptions{Transport: o})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close(context.Background()); _ = b.Shutdown(context.Background()) })
		if err := client.Listen(t.Context(), "restaurants"); err != nil {
			t.Fatal(err)
		}
		s := &system{owner: o, client: client}
		state := func() resn.TopicState { return client.Topics()[0] }
		read := func(want string, vouched bool, rule string) {
			t.Helper()
			got, how := s.read(t.Context(), t)
			if got != want || strings.Contains(how, "detail=vouched") != vouched {
				t.Errorf("%s: got %s (%s), want %s, vouched for: %v", rule, got, how, want, vouched)
			}
			synctest.Wait()
		}
		old := newGossip(t, broker.Connect(nil))
		first := newHeir(t, broker, "first")
		first.ready(t)
		second := newHeir(t, broker, "second")
		if err := first.pub.Change(t.Context(), href, o.change); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		read("version 2", false, "the first owner's resource")
		time.Sleep(10 * time.Second)
		read("version 2", true, "the first owner vouches")

		// The first owner can't keep the topic, and its bus works as ever.
		before := state()
		first.claim.faults.Cut()
		second.ready(t)
		time.Sleep(time.Second)
		after := state()
		if after.Epoch == before.Epoch || after.Resets != before.Resets+1 || !after.Live {
			t.Fatalf("the second owner takes the topic over in an epoch of its own: %+v after %+v", after, before)
		}
		if err := first.pub.Change(t.Context(), href, func(context.Context) (string, string, error) {
			t.Error("who has lost the topic makes no change")
			return resn.Update, "", nil
		}); !errors.Is(err, resn.ErrNotOwner) && !errors.Is(err, resn.ErrOwned) {
			t.Errorf("and is told so: %v", err)
		}
		read("version 2", false, "a new epoch: what was stored is asked about")
		read("version 2", true, "the second owner vouches")
		if err := second.pub.Change(t.Context(), href, o.change); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		read("version 3", false, "the second owner's notice")

		// What the first one said comes again.
		late := old.of(before.Epoch)
		if len(late) < 10 {
			t.Fatalf("heard only %d messages of the first epoch", len(late))
		}
		repeat := func() {
			if err := b.Publish(t.Context(), "restaurants", late...); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		repeat()
		if s := state(); s.Epoch != after.Epoch || s.Resets != after.Resets || !s.Live {
			t.Errorf("late words of an epoch that has ended begin it again: %+v after %+v", s, after)
		}
		read("version 3", false, "a late notice ends what is stored")
		read("version 3", true, "and its old ETag isn't believed")

		// The second owner falls silent and goes on changing things.
		second.faults.Cut()
		if err := second.pub.Change(t.Context(), href, o.change); !errors.Is(err, resn.ErrNotAnnounced) {
			t.Fatalf("a change that nobody hears of: %v", err)
		}
		for range 40 {
			time.Sleep(resn.DefaultWatermarkInterval)
			repeat()
		}
		if s := state(); s.Live {
			t.Errorf("G3: the owner is silent, and a deposed one vouches: %+v", s)
		}
		read("version 4", false, "G3: nobody vouches")

		// It speaks again, in a new epoch, because of what it couldn't say.
		second.faults.Heal(false)
		time.Sleep(6 * time.Second) // longer than max-age
		read("version 4", false, "asked about again")
		read("version 4", true, "and vouched for")
		if s := state(); s.Epoch == after.Epoch || s.Epoch == before.Epoch {
			t.Errorf("a notice was lost, so there is a new epoch: %+v", s)
		}
	})
}

// An owner dies with a change that nobody heard of, and another takes over while
// readers still vouch.
func TestTakeoverAfterAnUnannouncedChange(t *testing.T) { // G3
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		o := &owner{version: 1}
		b := broker.Connect(nil)
		client, err := resn.NewClient(b, &resn.ClientOptions{Transport: o, Listener: &resn.ListenerOptions{Lease: time.Minute}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close(context.Background()); _ = b.Shutdown(context.Background()) })
		if err := client.Listen(t.Context(), "restaurants"); err != nil {
			t.Fatal(err)
		}
		s := &system{owner: o, client: client}
		first := newHeir(t, broker, "first")
		first.ready(t)
		second := newHeir(t, broker, "second")
		time.Sleep(time.Second)
		s.read(t.Context(), t)
		time.Sleep(10 * time.Second)
		if got, how := s.read(t.Context(), t); got != "version 1" || !strings.Contains(how, "vouched") {
			t.Fatalf("got %s (%s)", got, how)
		}
		first.faults.Cut()
		if err := first.pub.Change(t.Context(), href, o.change); !errors.Is(err, resn.ErrNotAnnounced) {
			t.Fatalf("a change that nobody hears of: %v", err)
		}
		first.claim.faults.Cut()
		second.ready(t)
		time.Sleep(time.Second)
		if state := client.Topics()[0]; !state.Live || state.Resets != 1 {
			t.Errorf("the second owner begins an epoch: %+v", state)
		}
		if got, how := s.read(t.Context(), t); got != "version 2" {
			t.Errorf("G3: the second owner vouches for what the first one changed: got %s (%s)", got, how)
		}
	})
}

// Who is asked for the topic while he gives it up doesn't object any more once he
// has: that would keep it from everybody for another TTL.
func TestGivingUpIsTheLastWord(t *testing.T) {
	const ttl = resn.DefaultOwnershipTTL
	for round := range 200 { // it takes a few turns of the scheduler to be asked
		synctest.Test(t, func(t *testing.T) {
			broker := membus.NewBroker()
			lease := func() *resn.BusLease {
				b := broker.Connect(nil)
				l := resn.NewBusLease(b)
				t.Cleanup(func() { _ = l.Close(context.Background()); _ = b.Shutdown(context.Background()) })
				return l
			}
			first, second := lease(), lease()
			if _, err := first.Hold(t.Context(), "restaurants", "menus", ttl); err != nil {
				t.Fatal(err)
			}
			asked := make(chan error, 1)
			go func() {
				_, err := second.Hold(t.Context(), "restaurants", "kitchens", ttl)
				asked <- err
			}()
			for range round % 40 {
				runtime.Gosched()
			}
			if err := first.Release(t.Context(), "restaurants", "menus"); err != nil {
				t.Fatal(err)
			}
			if err := <-asked; err == nil {
				return // he asked when it was free
			}
			synctest.Wait()
			if _, err := second.Hold(t.Context(), "restaurants", "kitchens", ttl); err != nil {
				t.Fatalf("nobody has it, but %v", err)
			}
		})
	}
}
