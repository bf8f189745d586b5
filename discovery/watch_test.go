package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/driver"
	"github.com/goswale/swale/discovery/memdiscovery"
)

// brokenDriver is a driver whose watches break as soon as they have begun.
type brokenDriver struct {
	driver.Driver
	watches atomic.Int64
	err     error
}

func (d *brokenDriver) Watch(_ context.Context, _ string, sink driver.Sink) error {
	d.watches.Add(1)
	sink.Reset(nil)
	return d.err
}

// Other toolkits' watch loops spin when the registry fails.
func TestWatchNeverSpins(t *testing.T) {
	for _, err := range []error{nil, driver.ErrLost, errors.New("anything")} {
		t.Run(fmt.Sprint(err), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &brokenDriver{Driver: memdiscovery.NewStore().Driver(nil), err: err}
				r := discovery.New(d, nil)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if err := r.Watch(ctx, "restaurants", func(discovery.View) {}); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Watch ends with its context: %v", err)
				}
				// The backoff is 10 s at most, 5 s with jitter.
				if n := d.watches.Load(); n < 300 || n > 800 {
					t.Errorf("a watch that breaks at once is tried again with backoff: %d times in an hour", n)
				}
				if err := r.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// At Hailo some changes waited for the next full rebind, minutes later.
func TestHailoChangesWaitForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, restaurant("a"))
		f.pick(t, 1, nil, byID)
		began := time.Now()
		f.add(t, restaurant("b"))
		synctest.Wait()
		if got := f.pick(t, 1000, nil, byID); got["b"] == 0 {
			t.Errorf("a new instance is used at once: %v", got)
		}
		if err := f.members["a"].SetHealth(t.Context(), discovery.Failing, "database"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		expect(t, "one that fails isn't, at once", f.pick(t, 100, nil, byID), map[string]int{"b": 100})
		if err := f.members["b"].Deregister(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		expect(t, "one that has left neither, so that the failing one is all there is", f.pick(t, 100, nil, byID), map[string]int{"a": 100})
		if time.Since(began) != 0 {
			t.Errorf("nothing waited for a timer: %v", time.Since(began))
		}
	})
}

func TestViewsAreNotChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, restaurant("a"))
		before, err := f.resolver.View(t.Context(), "restaurants")
		if err != nil {
			t.Fatal(err)
		}
		if err := f.members["a"].Update(t.Context(), func(i *discovery.Instance) {
			i.Attributes = map[string]string{"x": "y"}
			i.Endpoints[0].Address = "elsewhere:80"
		}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		after, err := f.resolver.View(t.Context(), "restaurants")
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "a view that somebody holds isn't changed", before.Instances[0].Endpoints[0].Address, "a.example:80")
		expect(t, "the next one has the change", after.Instances[0].Endpoints[0].Address, "elsewhere:80")
		p, err := f.resolver.Pick(t.Context(), "restaurants", nil, "")
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "and requests go there", p.Address(), "elsewhere:80")
		p.Done(discovery.Outcome{})
	})
}

func TestOnViewMayAskTheResolver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memdiscovery.NewStore(), nil)
		register(t, r, restaurant("a"), nil)
		var res *discovery.Resolver
		var seen atomic.Int64
		res = discovery.NewResolver(r, &discovery.ResolverOptions{OnView: func(v discovery.View) {
			again, err := res.View(t.Context(), "restaurants")
			if err != nil || len(again.Instances) != len(v.Instances) || len(res.Stats()) != 1 {
				t.Errorf("a view has taken effect when it is told: %d instead of %d, %v", len(again.Instances), len(v.Instances), err)
			}
			seen.Add(1)
		}})
		if _, err := res.View(t.Context(), "restaurants"); err != nil {
			t.Fatal(err)
		}
		register(t, r, restaurant("b"), nil)
		synctest.Wait()
		expect(t, "each view is told", seen.Load(), int64(2))
		if err := res.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestShutdownEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memdiscovery.New(nil)
		res := discovery.NewResolver(r, nil)
		g := register(t, r, restaurant("a"), nil)
		ended := make(chan error, 1)
		go func() { ended <- r.Watch(t.Context(), "", func(discovery.View) {}) }()
		if _, err := res.Pick(t.Context(), "restaurants", nil, ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for range 2 {
			if err := res.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if err := r.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := <-ended; !errors.Is(err, discovery.ErrClosed) {
			t.Errorf("a watch ends with its registry, and says why: %v", err)
		}
		if g.State().Registered {
			t.Error("what was registered is deregistered")
		}
		_, err := r.Register(t.Context(), restaurant("b"), nil)
		_, pickErr := res.Pick(t.Context(), "restaurants", nil, "")
		if !errors.Is(err, discovery.ErrClosed) || !errors.Is(pickErr, discovery.ErrClosed) {
			t.Errorf("nothing begins after Shutdown: %v, %v", err, pickErr)
		}
	})
}

func TestValidate(t *testing.T) {
	r := memdiscovery.New(nil)
	defer func() { _ = r.Shutdown(context.Background()) }()
	for what, change := range map[string]func(*discovery.Instance){
		"service":          func(i *discovery.Instance) { i.Service = "Restaurants" },
		"service with dot": func(i *discovery.Instance) { i.Service = "a.b" },
		"no service":       func(i *discovery.Instance) { i.Service = "" },
		"id":               func(i *discovery.Instance) { i.ID = "a/b" },
		"version":          func(i *discovery.Instance) { i.Version = "1 2" },
		"any version":      func(i *discovery.Instance) { i.Version = discovery.AnyOther },
		"zone":             func(i *discovery.Instance) { i.Zone = "a\nb" },
		"health":           func(i *discovery.Instance) { i.Health = "fine" },
		"no endpoint":      func(i *discovery.Instance) { i.Endpoints = nil },
		"path":             func(i *discovery.Instance) { i.Endpoints[0].Address = "host:80/path" },
		"user":             func(i *discovery.Instance) { i.Endpoints[0].Address = "user@host:80" },
		"no scheme":        func(i *discovery.Instance) { i.Endpoints[0].Scheme = "" },
	} {
		i := restaurant("a")
		change(&i)
		if _, err := r.Register(t.Context(), i, nil); !errors.Is(err, discovery.ErrInvalidInstance) {
			t.Errorf("%s: an instance that nobody could use isn't registered: %v", what, err)
		}
	}
}
