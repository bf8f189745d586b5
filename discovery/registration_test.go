package discovery_test

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/driver"
	"github.com/goswale/swale/discovery/memdiscovery"
)

// restaurant is an instance of the service restaurants.
func restaurant(id string) discovery.Instance {
	return discovery.Instance{Service: "restaurants", ID: id, Endpoints: []discovery.Endpoint{{Scheme: "http", Address: id + ".example:80"}}}
}

// open connects a registry that is shut down at the end of the test.
func open(t *testing.T, store *memdiscovery.Store, opts *memdiscovery.Options) *discovery.Registry {
	t.Helper()
	r := store.Connect(opts)
	t.Cleanup(func() {
		if err := r.Shutdown(context.Background()); err != nil && !errors.Is(err, memdiscovery.ErrDown) {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return r
}

func register(t *testing.T, r *discovery.Registry, i discovery.Instance, opts *discovery.RegisterOptions) *discovery.Registration {
	t.Helper()
	g, err := r.Register(t.Context(), i, opts)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// ids lists the instances that the store knows.
func ids(t *testing.T, r *discovery.Registry) []string {
	t.Helper()
	all, err := r.List(t.Context(), "restaurants")
	if err != nil {
		t.Fatal(err)
	}
	return idsOf(all)
}

func idsOf(all []discovery.Instance) []string {
	got := make([]string, 0, len(all))
	for _, i := range all {
		got = append(got, i.ID)
	}
	return got
}

func expect(t *testing.T, rule string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", rule, diff)
	}
}

func TestLeaseIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memdiscovery.NewStore()
		r := open(t, store, nil)
		g := register(t, r, restaurant("a"), nil)
		time.Sleep(time.Hour)
		expect(t, "an instance that lives stays registered", ids(t, r), []string{"a"})
		if s := g.State(); !s.Registered || s.Again != 0 {
			t.Errorf("an undisturbed registration is kept by renewals alone: %+v", s)
		}
	})
}

func TestRegistersAgainAfterTheStoreForgot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memdiscovery.NewStore()
		r := open(t, store, nil)
		g := register(t, r, restaurant("a"), nil)
		store.Wipe()
		time.Sleep(6 * time.Second) // a renewal is due every 5 s
		expect(t, "an instance whose lease is gone registers anew with its next renewal", ids(t, r), []string{"a"})
		if s := g.State(); s.Again != 1 {
			t.Errorf("registering anew is counted: %+v", s)
		}
	})
}

func TestGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memdiscovery.NewStore()
		r := open(t, store, nil)
		began := time.Now()
		gave := make(chan time.Duration, 10)
		g := register(t, r, restaurant("a"), &discovery.RegisterOptions{GiveUp: time.Minute, OnGiveUp: func(err error) {
			if !errors.Is(err, memdiscovery.ErrDown) {
				t.Errorf("the reason is the store's: %v", err)
			}
			gave <- time.Since(began)
		}})
		store.SetDown(true)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if len(gave) != 0 {
			t.Errorf("gave up after %v, before its time", <-gave)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if len(gave) != 1 {
			t.Fatalf("OnGiveUp is called once: called %d times", len(gave))
		}
		if after := <-gave; after < time.Minute || after > time.Minute+time.Second {
			t.Errorf("OnGiveUp is called a minute after the last success: called after %v", after)
		}
		store.SetDown(false)
		time.Sleep(11 * time.Second)
		expect(t, "it goes on trying after giving up", ids(t, r), []string{"a"})
		if s := g.State(); !s.Registered {
			t.Errorf("it is registered again: %+v", s)
		}
	})
}

func TestUpdateWhileTheStoreIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memdiscovery.NewStore()
		r := open(t, store, nil)
		g := register(t, r, restaurant("a"), nil)
		store.SetDown(true)
		if err := g.SetHealth(t.Context(), discovery.Draining, "leaving"); !errors.Is(err, memdiscovery.ErrDown) {
			t.Errorf("an update that didn't reach the store says so: %v", err)
		}
		time.Sleep(2 * time.Second)
		store.SetDown(false)
		time.Sleep(11 * time.Second)
		all, err := r.List(t.Context(), "restaurants")
		if err != nil || len(all) != 1 || all[0].Health != discovery.Draining || all[0].Reason != "leaving" {
			t.Errorf("the update reaches the store when it is back: %+v, %v", all, err)
		}
	})
}

func TestNameTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memdiscovery.NewStore()
		one, two := open(t, store, nil), open(t, store, nil)
		g := register(t, one, restaurant("a"), nil)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := two.Register(ctx, restaurant("a"), nil); !errors.Is(err, driver.ErrTaken) || !errors.Is(err, fs.ErrExist) {
			t.Errorf("a living instance's ID can't be taken: %v", err)
		}
		if err := g.Deregister(t.Context()); err != nil {
			t.Fatal(err)
		}
		register(t, two, restaurant("a"), nil)
		expect(t, "an ID is free after Deregister", ids(t, one), []string{"a"})
	})
}

func TestRegistrationIsAuthorised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memdiscovery.NewStore()
		refused := errors.New("not your service")
		r := open(t, store, &memdiscovery.Options{Authorise: func(_ memdiscovery.Op, rec driver.Record) error {
			if rec.Key.Service != "orders" {
				return refused
			}
			return nil
		}})
		began := time.Now()
		if _, err := r.Register(t.Context(), restaurant("a"), nil); !errors.Is(err, driver.ErrDenied) || !errors.Is(err, refused) {
			t.Errorf("a store that refuses is heard: %v", err)
		}
		if time.Since(began) > 0 {
			t.Error("what is refused isn't tried again")
		}
		other := open(t, store, nil)
		register(t, other, restaurant("b"), nil)
		if err := r.Remove(t.Context(), "restaurants", "b"); !errors.Is(err, driver.ErrDenied) {
			t.Errorf("nobody removes what he may not: %v", err)
		}
		expect(t, "refused writes change nothing", ids(t, r), []string{"b"})
	})
}

func TestDeregister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memdiscovery.NewStore()
		r := open(t, store, nil)
		g := register(t, r, restaurant("a"), nil)
		for range 2 {
			if err := g.Deregister(t.Context()); err != nil {
				t.Errorf("Deregister: %v", err)
			}
		}
		if err := g.SetHealth(t.Context(), discovery.Serving, ""); !errors.Is(err, discovery.ErrClosed) {
			t.Errorf("nothing brings a deregistered instance back: %v", err)
		}
		expect(t, "after Deregister it is gone", ids(t, r), []string{})
	})
}
