package resn_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

// party is a process that would publish: a connection to the broker that can be
// cut, and a lease on it.
type party struct {
	bus    *bus.Bus
	lease  *resn.BusLease
	faults *membus.Faults
}

func newParty(t *testing.T, broker *membus.Broker) *party {
	t.Helper()
	p := &party{faults: &membus.Faults{}}
	p.bus = broker.Connect(&membus.Options{Faults: p.faults})
	p.lease = resn.NewBusLease(p.bus)
	t.Cleanup(func() {
		_ = p.lease.Close(context.Background())
		_ = p.bus.Shutdown(context.Background())
	})
	return p
}

func (p *party) own(t *testing.T, opts *resn.OwnershipOptions) *resn.Ownership {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	own, err := resn.Own(ctx, p.lease, "restaurants", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = own.Close(ctx)
	})
	return own
}

func TestASecondPublisherIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		first, second := newParty(t, broker), newParty(t, broker)
		own := first.own(t, &resn.OwnershipOptions{Owner: "menus"})
		for range 20 {
			_, err := resn.Own(t.Context(), second.lease, "restaurants", &resn.OwnershipOptions{Owner: "billing"})
			var owned *resn.OwnedError
			if !errors.As(err, &owned) || !errors.Is(err, resn.ErrOwned) || owned.Owner != "menus" {
				t.Fatalf("a second owner of a topic is refused, and told by whom; got %v", err)
			}
			if !strings.Contains(err.Error(), `"menus"`) || !strings.Contains(err.Error(), "one owner at a time") {
				t.Fatalf("the error says what is wrong and what to do: %v", err)
			}
			time.Sleep(time.Second)
		}
		if err := context.Cause(own.Context()); err != nil {
			t.Errorf("who owns the topic isn't disturbed by who would like to: %v", err)
		}
		other, err := resn.Own(t.Context(), second.lease, "orders", nil)
		if err != nil {
			t.Fatalf("another topic is another matter: %v", err)
		}
		if err := other.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestProcessesOfOneOwnerShareATopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		first, second := newParty(t, broker), newParty(t, broker)
		one := first.own(t, &resn.OwnershipOptions{Owner: "menus"})
		other := second.own(t, &resn.OwnershipOptions{Owner: "menus"})
		time.Sleep(time.Minute)
		for _, own := range []*resn.Ownership{one, other} {
			if err := context.Cause(own.Context()); err != nil {
				t.Errorf("relays of one service, of which one leads, own their topic together: %v", err)
			}
		}
	})
}

func TestATopicIsHandedOverWhenItsOwnerIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		first, second := newParty(t, broker), newParty(t, broker)
		old := first.own(t, nil)
		pub, err := resn.NewPublisher(first.bus, "restaurants", &resn.PublisherOptions{Ownership: old})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = pub.Close(context.Background()) }()
		change := func() error {
			return pub.Change(t.Context(), href, func(context.Context) (string, string, error) { return resn.Update, "", nil })
		}
		if err := change(); err != nil {
			t.Fatalf("the owner may publish: %v", err)
		}
		began := time.Now()
		first.faults.Cut()
		var heir *resn.Ownership
		var waiting sync.WaitGroup
		var inherited atomic.Bool
		waiting.Go(func() {
			heir = second.own(t, &resn.OwnershipOptions{Wait: true})
			inherited.Store(true)
		})
		<-old.Context().Done()
		if inherited.Load() {
			t.Error("another owns the topic before its owner has noticed that he doesn't")
		}
		waiting.Wait()
		if took := time.Since(began); took > 3*resn.DefaultOwnershipTTL {
			t.Errorf("handover took %v", took)
		}
		if err := change(); !errors.Is(err, resn.ErrNotOwner) {
			t.Errorf("who has lost the topic makes no change: %v", err)
		}
		first.faults.Heal(false)
		time.Sleep(time.Minute)
		if err := context.Cause(heir.Context()); err != nil {
			t.Errorf("the heir is disturbed by the old owner's return: %v", err)
		}
		if err := change(); !errors.Is(err, resn.ErrNotOwner) {
			t.Errorf("a topic that was lost doesn't come back: %v", err)
		}
	})
}

func TestACommitUnderWayIsToldThatTheTopicIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newParty(t, membus.NewBroker())
		own := p.own(t, nil)
		pub, err := resn.NewPublisher(p.bus, "restaurants", &resn.PublisherOptions{Ownership: own})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = pub.Close(context.Background()) }()
		err = pub.Change(t.Context(), href, func(ctx context.Context) (string, string, error) {
			p.faults.Cut()
			<-ctx.Done()
			return "", "", context.Cause(ctx)
		})
		if !errors.Is(err, resn.ErrNotOwner) {
			t.Errorf("the context of a commit ends with the ownership, and says so: %v", err)
		}
	})
}

func TestOfThoseWhoWantATopicTogetherOneGetsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for round := range 10 {
			broker := membus.NewBroker()
			var mu sync.Mutex
			var owners []*resn.Ownership
			var all sync.WaitGroup
			for range 5 {
				p := newParty(t, broker)
				all.Go(func() {
					own, err := resn.Own(t.Context(), p.lease, "restaurants", nil)
					if err != nil && !errors.Is(err, resn.ErrOwned) {
						t.Errorf("who doesn't get it hears that it is owned: %v", err)
					}
					if err == nil {
						mu.Lock()
						owners = append(owners, own)
						mu.Unlock()
					}
				})
			}
			all.Wait()
			if len(owners) != 1 {
				t.Errorf("round %d: of 5 who want a topic at the same moment %d got it; it has one owner", round, len(owners))
			}
			for _, own := range owners {
				if err := own.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

func TestATopicThatIsGivenUpIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		first, second := newParty(t, broker), newParty(t, broker)
		own := first.own(t, nil)
		if err := own.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := own.Close(t.Context()); err != nil {
			t.Errorf("Close may be called twice: %v", err)
		}
		second.own(t, nil)
	})
}

func TestOnlyOwnHrefsAreAnnounced(t *testing.T) {
	a := resn.Announcer{Topic: "restaurants", Origins: []string{"https://api.example", "http://127.0.0.1:8080"}}
	for href, fits := range map[string]bool{
		"https://api.example/restaurants/203":                       true,
		"https://api.example/restaurants":                           true, // a collection
		"https://api.example/restaurants?near=u173z":                true, // one of its pages
		"http://127.0.0.1:8080/restaurants/203":                     true,
		"https://other.example/restaurants/203":                     false,
		"http://api.example/restaurants/203":                        false, // another scheme is another origin
		"https://api.example:8443/restaurants/203":                  false,
		"/restaurants/203":                                          false,
		"https://ada@api.example/restaurants/203":                   false,
		"https://api.example/restaurants/203#menu":                  false,
		"ftp://api.example/restaurants/203":                         false,
		"https://api.example/" + strings.Repeat("x", resn.MaxHref):  false,
		"https://api.example/%zz":                                   false,
		"https://api.example.evil.example/restaurants/203":          false,
		"https://api.example\r\nevil: yes/restaurants/203":          false,
		"https://api.example/restaurants/203?name=caf%C3%A9&x=%2F7": true,
	} {
		e, err := a.Notice(resn.Event{Type: resn.Update, Href: href})
		switch {
		case fits && err != nil:
			t.Errorf("%s is one of the owner's: %v", href, err)
		case fits && (e.Subject != href || e.Type != "resn.update" || len(e.Data) != 0):
			t.Errorf("%s is announced as %+v", href, e)
		case !fits && !errors.Is(err, resn.ErrNotice):
			t.Errorf("%s isn't the owner's to announce, and was: %v", href, err)
		}
	}
	if _, err := a.Notice(resn.Event{Topic: "orders", Type: resn.Update, Href: "https://api.example/orders/9"}); !errors.Is(err, resn.ErrNotice) {
		t.Errorf("an owner announces on its own topic only: %v", err)
	}
}

func TestAChangeElsewhereIsRefusedBeforeItIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(nil)
		defer func() { _ = b.Shutdown(context.Background()) }()
		pub, err := resn.NewPublisher(b, "restaurants", &resn.PublisherOptions{Origins: []string{"https://api.example"}, Unowned: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = pub.Close(context.Background()) }()
		err = pub.Change(t.Context(), href, func(context.Context) (string, string, error) {
			t.Error("a change that can't be announced was made")
			return resn.Update, "", nil
		})
		if !errors.Is(err, resn.ErrNotice) {
			t.Errorf("got %v", err)
		}
	})
}
