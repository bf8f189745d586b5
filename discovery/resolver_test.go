package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/memdiscovery"
)

// fleet is a store with some instances, and a resolver of them.
type fleet struct {
	store    *memdiscovery.Store
	registry *discovery.Registry
	resolver *discovery.Resolver
	members  map[string]*discovery.Registration
}

// newFleet registers the instances; zone and version follow the id's colons, as
// in "a:zone:version".
func newFleet(t *testing.T, opts *discovery.ResolverOptions, instances ...discovery.Instance) *fleet {
	t.Helper()
	f := &fleet{store: memdiscovery.NewStore(), members: make(map[string]*discovery.Registration)}
	f.registry = open(t, f.store, nil)
	for _, i := range instances {
		f.add(t, i)
	}
	f.resolver = discovery.NewResolver(f.registry, opts)
	t.Cleanup(func() { _ = f.resolver.Shutdown(context.Background()) })
	return f
}

func (f *fleet) add(t *testing.T, i discovery.Instance) {
	t.Helper()
	f.members[i.ID] = register(t, f.registry, i, nil)
}

// many makes n instances with a prefix, in a zone, of a version.
func many(n int, prefix, zone, version string) []discovery.Instance {
	all := make([]discovery.Instance, n)
	for i := range all {
		all[i] = restaurant(fmt.Sprintf("%s%03d", prefix, i))
		all[i].Zone, all[i].Version = zone, version
	}
	return all
}

// pick picks n times, finishing each request at once, and counts by what.
func (f *fleet) pick(t *testing.T, n int, split *discovery.Split, by func(*discovery.Instance) string) map[string]int {
	t.Helper()
	got := make(map[string]int)
	for range n {
		p, err := f.resolver.Pick(t.Context(), "restaurants", split, "")
		if err != nil {
			t.Fatal(err)
		}
		got[by(p.Instance())]++
		p.Done(discovery.Outcome{})
	}
	return got
}

func byID(i *discovery.Instance) string      { return i.ID }
func byZone(i *discovery.Instance) string    { return i.Zone }
func byVersion(i *discovery.Instance) string { return i.Version }

// share checks that a count is the expected part of n within a tolerance, which
// must leave chance less than one false alarm in ten thousand million runs.
func share(t *testing.T, rule string, count, n int, want, tolerance float64) {
	t.Helper()
	if least := 6.5 * math.Sqrt(want*(1-want)/float64(n)); tolerance < least {
		t.Fatalf("%s: a tolerance of %.4f fails by chance, take %.4f or more picks", rule, tolerance, least)
	}
	if got := float64(count) / float64(n); math.Abs(got-want) > tolerance {
		t.Errorf("%s: got %.4f, want %.4f ± %.4f", rule, got, want, tolerance)
	}
}

func TestBalance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, many(20, "i", "", "")...)
		const n = 100_000
		for id, count := range f.pick(t, n, nil, byID) {
			share(t, "instances that do equally well get equally much: "+id, count, n, 1./20, 0.01)
		}
	})
}

func TestLeastLoadedOfTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, &discovery.ResolverOptions{SlowStart: -1}, many(10, "i", "", "")...)
		load := make(map[string]int)
		for range 1000 { // nothing is ever finished
			p, err := f.resolver.Pick(t.Context(), "restaurants", nil, "")
			if err != nil {
				t.Fatal(err)
			}
			load[p.Instance().ID]++
		}
		for id, n := range load {
			if n < 97 || n > 103 {
				t.Errorf("with two choices the load stays even to a few requests: %s has %d of 1000, of ten", id, n)
			}
		}
	})
}

func TestSlowInstanceGetsLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, &discovery.ResolverOptions{SlowStart: -1}, many(4, "i", "", "")...)
		got := make(map[string]int)
		for range 4000 {
			p, err := f.resolver.Pick(t.Context(), "restaurants", nil, "")
			if err != nil {
				t.Fatal(err)
			}
			latency := time.Millisecond
			if p.Instance().ID == "i000" {
				latency = 50 * time.Millisecond
			}
			got[p.Instance().ID]++
			p.Done(discovery.Outcome{Latency: latency})
		}
		if got["i000"] > 100 {
			t.Errorf("a slow instance gets little while the others are idle: %v", got)
		}
		// It recovers although nobody measures it.
		for range 120 {
			time.Sleep(time.Second)
			f.pick(t, 200, nil, func(i *discovery.Instance) string { return i.ID })
			p, err := f.resolver.Pick(t.Context(), "restaurants", nil, "")
			if err != nil {
				t.Fatal(err)
			}
			p.Done(discovery.Outcome{Latency: time.Millisecond})
		}
		after := f.pick(t, 4000, nil, byID)
		if after["i000"] < 200 {
			t.Errorf("an instance that was slow once is tried again: %v", after)
		}
	})
}

func TestSameZoneFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, &discovery.ResolverOptions{Zone: "a"}, append(many(3, "a", "a", ""), many(9, "b", "b", "")...)...)
		got := f.pick(t, 10_000, nil, byZone)
		expect(t, "while the zone does well everything stays in it", got, map[string]int{"a": 10_000})
	})
}

func TestZoneSpillsOverByHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, &discovery.ResolverOptions{Zone: "a"}, append(many(10, "a", "a", ""), many(10, "b", "b", "")...)...)
		const n = 100_000
		for _, c := range []struct {
			failing int
			stay    float64
		}{{0, 1}, {2, 1}, {5, 0.7}, {8, 0.28}, {10, 0}} {
			for i := range c.failing {
				if err := f.members[fmt.Sprintf("a%03d", i)].SetHealth(t.Context(), discovery.Failing, "test"); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			got := f.pick(t, n, nil, byZone)
			share(t, fmt.Sprintf("with %d of 10 failing a zone keeps 1.4 times what is left", c.failing), got["a"], n, c.stay, 0.01)
		}
	})
}

func TestZoneSpillsOverByLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, &discovery.ResolverOptions{Zone: "a", SlowStart: -1}, append(many(1, "a", "a", ""), many(9, "b", "b", "")...)...)
		got := make(map[string]int)
		for range 200 { // nothing is ever finished
			p, err := f.resolver.Pick(t.Context(), "restaurants", nil, "")
			if err != nil {
				t.Fatal(err)
			}
			got[p.Instance().Zone]++
		}
		// An instance here is filled to twice the load of one there: 2 of 11 parts.
		if got["a"] < 25 || got["a"] > 55 {
			t.Errorf("one weak zone beside a strong one keeps its share, twice over, and spills the rest: %v", got)
		}
	})
}

func TestRegionBeforeTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := many(2, "h", "b", ""), many(2, "t", "c", "")
		for i := range here {
			here[i].Region = "eu"
		}
		f := newFleet(t, &discovery.ResolverOptions{Zone: "a", Region: "eu"}, append(here, there...)...)
		expect(t, "a zone without instances sends into its region", f.pick(t, 1000, nil, byZone), map[string]int{"b": 1000})
	})
}

func TestSlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, many(4, "i", "", "")...)
		time.Sleep(time.Minute)
		f.pick(t, 10, nil, byID)
		time.Sleep(time.Minute)
		f.add(t, restaurant("new"))
		synctest.Wait()
		const n = 50_000
		got := f.pick(t, n, nil, byID)
		share(t, "an instance that has just come gets a tenth of its share", got["new"], n, 0.1/5, 0.012)
		time.Sleep(5 * time.Second)
		got = f.pick(t, n, nil, byID)
		share(t, "half way through it gets about half", got["new"], n, 0.5/5, 0.03)
		time.Sleep(6 * time.Second)
		got = f.pick(t, n, nil, byID)
		share(t, "then all of it", got["new"], n, 1./5, 0.012)
	})
}

func TestOutlierIsEjected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, many(5, "i", "", "")...)
		fail := func(seconds int) map[string]int {
			got := make(map[string]int)
			for range seconds * 20 {
				for range 5 {
					p, err := f.resolver.Pick(t.Context(), "restaurants", nil, "")
					if err != nil {
						t.Fatal(err)
					}
					id := p.Instance().ID
					got[id]++
					p.Done(discovery.Outcome{Latency: time.Millisecond, Failed: id == "i003"})
				}
				time.Sleep(50 * time.Millisecond)
			}
			return got
		}
		fail(6)
		if got := fail(5); got["i003"] != 0 {
			t.Errorf("an instance that alone fails is left alone: %v", got)
		}
		if got := fail(12); got["i003"] == 0 {
			t.Errorf("after a while it is tried again: %v", got)
		}
	})
}

func TestNobodyIsEjectedWhenAllFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, many(5, "i", "", "")...)
		for range 30 {
			for range 100 {
				p, err := f.resolver.Pick(t.Context(), "restaurants", nil, "")
				if err != nil {
					t.Fatal(err)
				}
				p.Done(discovery.Outcome{Failed: true})
			}
			time.Sleep(time.Second)
		}
		for _, i := range f.resolver.Stats()[0].Instances {
			if i.Ejected {
				t.Errorf("when all fail alike nobody is an outlier: %+v", i)
			}
		}
	})
}

func TestSubset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, many(100, "i", "", "")...)
		used := make(map[string]int)
		subsets := make(map[string]map[string]int)
		for c := range 100 {
			r := discovery.NewResolver(f.registry, &discovery.ResolverOptions{ID: fmt.Sprint(c), SubsetSize: 10, SlowStart: -1})
			one := &fleet{resolver: r}
			got := one.pick(t, 500, nil, byID)
			if len(got) != 10 {
				t.Fatalf("a caller uses as many instances as SubsetSize says: %d", len(got))
			}
			for id := range got {
				used[id]++
			}
			subsets[fmt.Sprint(c)] = got
			if err := r.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for id, n := range used {
			if n > 22 {
				t.Errorf("callers spread over the fleet, about ten each: %s has %d", id, n)
			}
		}
		if len(used) < 98 {
			t.Errorf("hardly anybody is left out: %d of 100 are used", len(used))
		}
		// An instance leaves: subsets change by one place at most.
		if err := f.members["i007"].Deregister(t.Context()); err != nil {
			t.Fatal(err)
		}
		for c := range 20 {
			r := discovery.NewResolver(f.registry, &discovery.ResolverOptions{ID: fmt.Sprint(c), SubsetSize: 10, SlowStart: -1})
			one := &fleet{resolver: r}
			fresh := 0
			for id := range one.pick(t, 500, nil, byID) {
				if subsets[fmt.Sprint(c)][id] == 0 {
					fresh++
				}
			}
			if fresh > 1 {
				t.Errorf("caller %d changed %d places of its subset for one instance that left", c, fresh)
			}
			if err := r.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestLastKnownInstancesStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, many(3, "i", "", "")...)
		f.pick(t, 10, nil, byID)
		f.store.SetDown(true)
		time.Sleep(time.Hour) // every lease has ended long ago
		if got := f.pick(t, 3000, nil, byID); len(got) != 3 {
			t.Errorf("when the registry is gone the last known instances stay: %v", got)
		}
		view, err := f.resolver.View(t.Context(), "restaurants")
		if err != nil {
			t.Fatal(err)
		}
		if view.Live || view.Staleness() < 59*time.Minute || !errors.Is(view.Err, memdiscovery.ErrDown) {
			t.Errorf("a view says how stale it is, and why: live %v, %v, %v", view.Live, view.Staleness(), view.Err)
		}
		// It comes back empty; instances register again in their own time.
		f.store.Wipe()
		f.store.SetDown(false)
		for range 40 {
			time.Sleep(time.Second)
			if got := f.pick(t, 300, nil, byID); len(got) != 3 {
				t.Fatalf("a registry that has forgotten everything empties nobody's view: %v", got)
			}
		}
		view, err = f.resolver.View(t.Context(), "restaurants")
		if err != nil || !view.Live || view.Staleness() != 0 || len(view.Instances) != 3 {
			t.Errorf("the view is live again: %+v, %v", view, err)
		}
	})
}

func TestGraceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, many(2, "i", "", "")...)
		other := open(t, f.store, nil)
		register(t, other, restaurant("dead"), nil)
		f.pick(t, 10, nil, byID)
		f.store.SetDown(true)
		go func() { _ = other.Shutdown(t.Context()) }() // it dies without a word
		time.Sleep(time.Minute)
		f.store.SetDown(false)
		time.Sleep(45 * time.Second)
		if got := f.pick(t, 1000, nil, byID); got["dead"] != 0 || len(got) != 2 {
			t.Errorf("who doesn't register again within the grace is given up: %v", got)
		}
	})
}

func TestNoRegistryAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, many(1, "i", "", "")...)
		f.store.SetDown(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.resolver.Pick(ctx, "restaurants", nil, ""); !errors.Is(err, discovery.ErrNoInstances) || !errors.Is(err, memdiscovery.ErrDown) {
			t.Errorf("before the registry has ever answered there is nobody, and the reason is its: %v", err)
		}
		f.store.SetDown(false)
		time.Sleep(15 * time.Second)
		f.pick(t, 10, nil, byID)
	})
}

func TestIdleServiceIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, &discovery.ResolverOptions{Idle: time.Minute}, many(1, "i", "", "")...)
		f.pick(t, 1, nil, byID)
		time.Sleep(30 * time.Second)
		f.pick(t, 1, nil, byID)
		time.Sleep(45 * time.Second)
		if len(f.resolver.Stats()) != 1 {
			t.Error("a service that is asked for is watched")
		}
		time.Sleep(time.Minute)
		if len(f.resolver.Stats()) != 0 {
			t.Error("a service that nobody asks for is no longer watched")
		}
		f.pick(t, 1, nil, byID)
	})
}

func TestEmptyIsAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, many(1, "i", "", "")...)
		f.pick(t, 1, nil, byID)
		if err := f.members["i000"].Deregister(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := f.resolver.Pick(t.Context(), "restaurants", nil, ""); !errors.Is(err, discovery.ErrNoInstances) {
			t.Errorf("when all have left on purpose there is nobody: %v", err)
		}
	})
}

func TestPickAllocatesNothing(t *testing.T) {
	f := newFleet(t, &discovery.ResolverOptions{Zone: "a"}, append(many(100, "a", "a", "v1"), many(100, "b", "b", "v2")...)...)
	split := &discovery.Split{Versions: []discovery.VersionWeight{{Version: "v1", Weight: 1}, {Version: "*", Weight: 9}}}
	ctx := t.Context()
	for name, pick := range map[string]func() (discovery.Picked, error){
		"plain":  func() (discovery.Picked, error) { return f.resolver.Pick(ctx, "restaurants", nil, "") },
		"split":  func() (discovery.Picked, error) { return f.resolver.Pick(ctx, "restaurants", split, "") },
		"sticky": func() (discovery.Picked, error) { return f.resolver.Pick(ctx, "restaurants", split, "customer-9") },
	} {
		if n := testing.AllocsPerRun(1000, func() {
			p, err := pick()
			if err != nil {
				t.Error(err)
			}
			p.Done(discovery.Outcome{Latency: time.Millisecond})
		}); n != 0 {
			t.Errorf("picking allocates nothing: %s allocates %v", name, n)
		}
	}
}
