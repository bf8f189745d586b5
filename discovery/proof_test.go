package discovery_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/driver"
	"github.com/goswale/swale/discovery/memdiscovery"
)

// Hailo's registry let anybody register and unregister for anybody.
func TestHailoNobodyRegistersForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		_, foreign, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		store := memdiscovery.NewStore()
		verify := discovery.VerifyEd25519(func(id string, c discovery.Claim) (ed25519.PublicKey, bool) {
			return public, id == "k1" && (c.Service == "restaurants" || c.Kind == "marks")
		})
		ignored := make(chan error, 100)
		there := open(t, store, &memdiscovery.Options{Discovery: discovery.Options{
			Verify: verify, OnInvalid: func(_, _ string, err error) { ignored <- err },
		}})
		signing := func(id string, key ed25519.PrivateKey) *discovery.Registry {
			return open(t, store, &memdiscovery.Options{Discovery: discovery.Options{Sign: discovery.SignEd25519(id, key)}})
		}
		register(t, signing("k1", private), restaurant("honest"), nil)
		register(t, open(t, store, nil), restaurant("unsigned"), nil)
		register(t, signing("k1", foreign), restaurant("forged"), nil)
		register(t, signing("k2", private), restaurant("unknown"), nil)
		order := restaurant("elsewhere")
		order.Service = "orders"
		register(t, signing("k1", private), order, nil)

		// A record that was signed for one name is copied under another.
		d := store.Driver(nil)
		all, err := d.List(t.Context(), "restaurants")
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range all {
			if rec.Key.ID == "honest" {
				rec.Key.ID, rec.Owner = "copied", "thief"
				if err := d.Put(t.Context(), rec); err != nil {
					t.Fatal(err)
				}
			}
		}
		// Somebody marks the honest one as removed.
		if err := d.Put(t.Context(), driver.Record{
			Key: driver.Key{Kind: driver.Marks, Service: "restaurants", ID: "honest"}, Owner: "thief", TTL: 1 << 40,
			Value: []byte(`{"statement":{"removed":true,"reason":"x"}}`),
		}); err != nil {
			t.Fatal(err)
		}

		expect(t, "only what is signed for the service is believed", ids(t, there), []string{"honest"})
		others, err := there.List(t.Context(), "orders")
		if err != nil || len(others) != 0 {
			t.Errorf("a key that may not speak for a service isn't believed: %v, %v", others, err)
		}
		if len(ignored) < 5 {
			t.Errorf("what is ignored is told: %d records", len(ignored))
		}
		for len(ignored) > 0 {
			if err := <-ignored; !errors.Is(err, discovery.ErrProof) {
				t.Errorf("and why: %v", err)
			}
		}
	})
}

func TestStatementsMustNameThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memdiscovery.NewStore()
		d := store.Driver(nil)
		for id, value := range map[string]string{
			"a": `{"statement":{"service":"orders","id":"a","endpoints":[{"scheme":"http","address":"x:1"}]}}`,
			"b": `not JSON`, "c": `{"statement":[]}`, "d": `{"statement":{"service":"restaurants","id":"d"}}`,
		} {
			if err := d.Put(t.Context(), driver.Record{Key: driver.Key{Kind: driver.Instances, Service: "restaurants", ID: id}, Owner: "o", Value: []byte(value), TTL: 1 << 40}); err != nil {
				t.Fatal(err)
			}
		}
		register(t, open(t, store, nil), restaurant("fine"), nil)
		expect(t, "what isn't an instance, or not the one it should be, is ignored", ids(t, open(t, store, nil)), []string{"fine"})
	})
}

// The session of Hailo's registry server owned what it registered, so its death
// unlisted services that lived.
func TestHailoDeathOfARegistryServerUnlistsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memdiscovery.NewStore()
		one, two := store.Driver(nil), store.Driver(nil) // two replicas of a server
		f := &relay{Driver: one}
		f.through.Store(&one)
		r := discovery.New(f, nil) // an instance that speaks to one of them
		defer func() { _ = r.Shutdown(t.Context()) }()
		g := register(t, r, restaurant("a"), nil)
		if err := one.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.through.Store(&two)
		watcher := open(t, store, nil)
		for range 100 {
			expect(t, "the instance stays while it renews through the other", ids(t, watcher), []string{"a"})
			sleep()
		}
		if s := g.State(); s.Again != 0 {
			t.Errorf("and needn't register again: %+v", s)
		}
	})
}

// relay writes through one replica of a server or another.
type relay struct {
	driver.Driver
	through atomic.Pointer[driver.Driver]
}

func (r *relay) Put(ctx context.Context, rec driver.Record) error {
	return (*r.through.Load()).Put(ctx, rec)
}

func (r *relay) Renew(ctx context.Context, key driver.Key, owner string) error {
	return (*r.through.Load()).Renew(ctx, key, owner)
}

// sleep is a second in a synctest bubble.
func sleep() { time.Sleep(time.Second) }
