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

// signedStore is a store in which what instances say is signed for a minute's
// window, and the registries of an instance and of a reader.
func signedStore(t *testing.T, window time.Duration) (store *memdiscovery.Store, home, reader *discovery.Registry) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	store = memdiscovery.NewStore()
	home = open(t, store, &memdiscovery.Options{Discovery: discovery.Options{Sign: discovery.SignEd25519("k", private), ProofWindow: window}})
	reader = open(t, store, &memdiscovery.Options{Discovery: discovery.Options{
		ProofWindow: 10 * time.Minute,
		Verify:      discovery.VerifyEd25519(func(string, discovery.Claim) (ed25519.PublicKey, bool) { return public, true }),
	}})
	return store, home, reader
}

// thief reads all records and brings them back under leases of its own.
func thief(t *testing.T, store *memdiscovery.Store) (replay func()) {
	t.Helper()
	d := store.Driver(nil)
	all, err := d.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		for _, rec := range all {
			rec.Owner, rec.TTL = "thief", 1000*time.Hour
			if err := d.Put(t.Context(), rec); err != nil {
				t.Error(err)
			}
		}
	}
}

// Who can write to the store can bring back what an instance said only for as
// long as its proof counts.
func TestWhatWasSaidLongAgoIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, home, reader := signedStore(t, 0)
		g := register(t, home, restaurant("a"), nil)
		w := watch(t, reader, "restaurants")
		sleep()
		replay := thief(t, store)
		if err := g.Deregister(t.Context()); err != nil {
			t.Fatal(err)
		}
		sleep()
		replay()
		sleep()
		expect(t, "at once a copy can't be told from the instance", idsOf(w.last().Instances), []string{"a"})
		time.Sleep(11 * time.Minute)
		expect(t, "when its proof has ended those who watch drop it, though its lease goes on", idsOf(w.last().Instances), []string{})
		expect(t, "and who asks anew doesn't see it", ids(t, reader), []string{})
		store.BreakWatches()
		time.Sleep(time.Minute)
		expect(t, "nor does a watch that begins anew", idsOf(w.last().Instances), []string{})
	})
}

// A proof that ends while the store is away isn't believed when it is back.
func TestWhatEndedWhileTheStoreWasAwayIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, home, reader := signedStore(t, 0)
		g := register(t, home, restaurant("a"), nil)
		sleep()
		replay := thief(t, store)
		if err := g.Deregister(t.Context()); err != nil {
			t.Fatal(err)
		}
		replay()
		w := watch(t, reader, "restaurants")
		sleep()
		expect(t, "the copy is believed", idsOf(w.last().Instances), []string{"a"})
		store.SetDown(true)
		time.Sleep(20 * time.Minute)
		before := w.count()
		store.SetDown(false)
		time.Sleep(time.Minute)
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, v := range w.views[before:] {
			expect(t, "no view of the store that is back shows it", idsOf(v.Instances), []string{})
		}
		if len(w.views) == before {
			t.Error("there is no view of the store that is back")
		}
	})
}

// An instance that lives proves itself anew, and nobody is bothered with that.
func TestLivingInstancesStayProven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, home, reader := signedStore(t, 0)
		register(t, home, restaurant("a"), nil)
		w := watch(t, reader, "restaurants")
		sleep()
		before := w.count()
		time.Sleep(24 * time.Hour)
		expect(t, "a living instance is believed for good", idsOf(w.last().Instances), []string{"a"})
		if n := w.count() - before; n != 0 {
			t.Errorf("nothing has changed in a day, and the view was handed on %d times", n)
		}
		store.SetDown(true)
		time.Sleep(5 * time.Hour)
		expect(t, "while the store is away nobody can prove anything, and all stay", idsOf(w.last().Instances), []string{"a"})
		store.SetDown(false)
		time.Sleep(time.Minute)
		if v := w.last(); !v.Live || len(v.Instances) != 1 {
			t.Errorf("and are proven again when it is back: %+v", v)
		}
	})
}

// A key that is given away for an hour doesn't sign for a year.
func TestProofsCountNoLongerThanTheReaderLetsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, home, reader := signedStore(t, 11*time.Minute)
		register(t, home, restaurant("a"), nil)
		expect(t, "a proof that counts for longer isn't believed", ids(t, reader), []string{})
		sleep()
		time.Sleep(40 * time.Second) // now it counts no longer than others
		expect(t, "until it counts no longer than others", ids(t, reader), []string{"a"})
	})
}

// What a checker said is brought back for no longer either.
func TestMarksEndWithTheirProofs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, home, reader := signedStore(t, 0)
		register(t, home, restaurant("a"), nil)
		var silent atomic.Bool
		silent.Store(true)
		checking, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = discovery.NewChecker(home, &discovery.CheckerOptions{RemoveAfter: time.Hour, Probe: func(context.Context, *discovery.Instance) error {
				if silent.Load() {
					return errors.New("silent")
				}
				return nil
			}}).Run(checking)
		}()
		w := watch(t, reader, "restaurants")
		time.Sleep(time.Minute)
		d := store.Driver(nil)
		all, err := d.List(t.Context(), "restaurants")
		if err != nil || w.last().Instances[0].Health != discovery.Failing {
			t.Fatal(w.last(), err)
		}
		silent.Store(false)
		time.Sleep(time.Minute)
		stop()
		<-ended
		for _, rec := range all {
			if rec.Key.Kind == driver.Marks {
				rec.Owner, rec.TTL = "thief", 1000*time.Hour
				if err := d.Put(t.Context(), rec); err != nil {
					t.Fatal(err)
				}
			}
		}
		sleep()
		if v := w.last(); v.Instances[0].Health != discovery.Failing {
			t.Fatalf("at once it can't be told from what the checker says: %+v", v.Instances)
		}
		time.Sleep(11 * time.Minute)
		if v := w.last(); v.Instances[0].Health != discovery.Serving {
			t.Errorf("a mark whose proof has ended says nothing: %+v", v.Instances)
		}
	})
}
