package discoverytest

import (
	"context"
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/driver"
)

// registry opens a registry on a connection of its own.
func (s *suite) registry(t *testing.T, opts *discovery.Options) *discovery.Registry {
	r := discovery.New(s.open(t), opts)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), s.patience)
		defer cancel()
		if err := r.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return r
}

// views runs a registry's Watch for the length of the test.
func (s *suite) views(t *testing.T, r *discovery.Registry, service string) <-chan discovery.View {
	views := make(chan discovery.View, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Watch(ctx, service, func(v discovery.View) { views <- v }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch: %v", err)
		}
	})
	return views
}

// until waits for a view.
func (s *suite) until(t *testing.T, views <-chan discovery.View, rule string, holds func(discovery.View) bool) {
	t.Helper()
	late := time.After(s.patience)
	var last discovery.View
	for {
		select {
		case last = <-views:
			if holds(last) {
				return
			}
		case <-late:
			t.Fatalf("%s: the last view is %+v", rule, last)
		}
	}
}

func restaurant(service string) discovery.Instance {
	return discovery.Instance{
		Service: service, Version: "1.4.0", Zone: "eu-west-1a", Region: "eu-west-1",
		Endpoints:  []discovery.Endpoint{{Scheme: "http", Address: "10.0.0.7:8080"}, {Scheme: "bus", Address: "r.1"}},
		Attributes: map[string]string{"commit": "e46729f"},
	}
}

func testRegistry(t *testing.T, s *suite) {
	here, there, service := s.registry(t, nil), s.registry(t, nil), name("registry")
	views := s.views(t, there, service)
	s.until(t, views, "the first view is empty", func(v discovery.View) bool { return v.Live && len(v.Instances) == 0 })
	g, err := here.Register(s.ctx(t), restaurant(service), nil)
	must(t, err, "Register")
	want := g.Instance()
	s.until(t, views, "an instance is seen as it was registered", func(v discovery.View) bool {
		return len(v.Instances) == 1 && v.Instances[0].Equal(&want)
	})
	must(t, g.Deregister(s.ctx(t)), "Deregister")
	s.until(t, views, "it goes when it deregisters", func(v discovery.View) bool { return len(v.Instances) == 0 })
}

func testRegistryUpdates(t *testing.T, s *suite) {
	here, there, service := s.registry(t, nil), s.registry(t, nil), name("updates")
	views := s.views(t, there, service)
	g, err := here.Register(s.ctx(t), restaurant(service), nil)
	must(t, err, "Register")
	must(t, g.SetHealth(s.ctx(t), discovery.Draining, "deploy"), "SetHealth")
	s.until(t, views, "what an instance says of itself is seen", func(v discovery.View) bool {
		return len(v.Instances) == 1 && v.Instances[0].Health == discovery.Draining && v.Instances[0].Reason == "deploy"
	})
}

func testRegistrySigned(t *testing.T, s *suite) {
	public, private, err := ed25519.GenerateKey(nil)
	must(t, err, "GenerateKey")
	service, other := name("signed"), name("stranger")
	verify := &discovery.Options{Verify: discovery.VerifyEd25519(func(_ string, c discovery.Claim) (ed25519.PublicKey, bool) {
		return public, c.Service == service
	})}
	signing := s.registry(t, &discovery.Options{Sign: discovery.SignEd25519("k1", private)})
	plain, there := s.registry(t, nil), s.registry(t, verify)
	for _, r := range []*discovery.Registry{signing, plain} {
		for _, name := range []string{service, other} {
			_, err := r.Register(s.ctx(t), restaurant(name), nil)
			must(t, err, "Register")
		}
	}
	for name, n := range map[string]int{service: 1, other: 0} {
		all, err := there.List(s.ctx(t), name)
		must(t, err, "List")
		if len(all) != n {
			t.Errorf("who verifies sees only what is signed by a key of the service: %d, want %d", len(all), n)
		}
	}
}

func testRegistryRegistersAgain(t *testing.T, s *suite) {
	here, there, service := s.registry(t, nil), s.driver(t), name("again")
	// Its lease is long: it is the removal that it recovers from.
	g, err := here.Register(s.ctx(t), restaurant(service), &discovery.RegisterOptions{TTL: time.Minute, Renew: s.ttl / 10})
	must(t, err, "Register")
	must(t, there.Delete(s.ctx(t), instance(service, g.Instance().ID), ""), "Delete")
	ctx := s.ctx(t)
	for all := []driver.Record(nil); len(all) == 0; pause(s.ttl / 10) {
		all, err = there.List(ctx, service)
		must(t, err, "an instance that was removed and lives registers anew: List")
	}
	if n := g.State().Again; n != 1 {
		t.Errorf("it knows that it did: %d times", n)
	}
}
