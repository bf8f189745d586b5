package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/discovery"
)

func weights(pairs ...any) []discovery.VersionWeight {
	var all []discovery.VersionWeight
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, discovery.VersionWeight{Version: pairs[i].(string), Weight: uint32(pairs[i+1].(int))})
	}
	return all
}

// sticky picks once for each of n keys and says which version each key got.
func (f *fleet) sticky(t *testing.T, n int, split *discovery.Split) map[string]string {
	t.Helper()
	got := make(map[string]string, n)
	for i := range n {
		key := fmt.Sprintf("customer-%d", i)
		p, err := f.resolver.Pick(t.Context(), "restaurants", split, key)
		if err != nil {
			t.Fatal(err)
		}
		got[key] = p.Instance().Version
		p.Done(discovery.Outcome{})
	}
	return got
}

func count(versions map[string]string) map[string]int {
	got := make(map[string]int)
	for _, v := range versions {
		got[v]++
	}
	return got
}

// Hailo's weights were per instance: one canary instance beside fifty old ones got a
// fiftieth of its share, and fifty beside one got nearly everything.
func TestHailoWeightsAreOfVersionsNotInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 100_000
		split := &discovery.Split{Versions: weights("v1", 90, "v2", 10)}
		for _, c := range []struct{ v1, v2 int }{{50, 1}, {1, 50}, {1, 1}, {7, 3}} {
			f := newFleet(t, nil, append(many(c.v1, "a", "", "v1"), many(c.v2, "b", "", "v2")...)...)
			rule := fmt.Sprintf("%d old and %d new instances: 10%% go to the new version", c.v1, c.v2)
			share(t, rule, f.pick(t, n, split, byVersion)["v2"], n, 0.1, 0.01)
			share(t, rule+", also when keys stick", count(f.sticky(t, n, split))["v2"], n, 0.1, 0.01)
		}
	})
}

func TestPercentagesOfRandomSplits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, append(append(many(9, "a", "", "v1"), many(2, "b", "", "v2")...), many(4, "c", "", "v3")...)...)
		r := rand.New(rand.NewPCG(1, 2))
		for range 6 {
			w := []int{r.IntN(100), r.IntN(100), r.IntN(100) + 1}
			split := &discovery.Split{Versions: weights("v1", w[0], "v2", w[1], "v3", w[2]), Salt: fmt.Sprint(w)}
			const n = 100_000
			plain, keyed := f.pick(t, n, split, byVersion), count(f.sticky(t, n, split))
			for i, v := range []string{"v1", "v2", "v3"} {
				want := float64(w[i]) / float64(w[0]+w[1]+w[2])
				share(t, fmt.Sprintf("%v: %s", w, v), plain[v], n, want, 0.012)
				share(t, fmt.Sprintf("%v by key: %s", w, v), keyed[v], n, want, 0.012)
			}
		}
	})
}

func TestKeysStickAndMoveNoMoreThanTheyMust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, append(many(5, "a", "", "v1"), many(5, "b", "", "v2")...)...)
		const n = 20_000
		at := func(percent int) map[string]string {
			return f.sticky(t, n, &discovery.Split{Versions: weights("v1", 100-percent, "v2", percent), Salt: "menu"})
		}
		five := at(5)
		expect(t, "the same key gets the same version", at(5), five)
		before := five
		for _, percent := range []int{10, 25, 100} {
			now := at(percent)
			for key, v := range now {
				if before[key] == "v2" && v != "v2" {
					t.Fatalf("from a smaller share to %d%%: %s went back to %s", percent, key, v)
				}
			}
			before = now
		}
		// Another process, and instances that come and go, change nothing.
		other := discovery.NewResolver(f.registry, nil)
		defer func() { _ = other.Shutdown(context.Background()) }()
		f.add(t, many(1, "late", "", "v2")[0])
		if err := f.members["b001"].Deregister(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		expect(t, "which version a key gets doesn't depend on process or instances", (&fleet{resolver: other}).sticky(t, n, &discovery.Split{Versions: weights("v1", 95, "v2", 5), Salt: "menu"}), five)
	})
}

// Hailo's hashes were unsalted: all experiments had the same guinea pigs.
func TestHailoExperimentsHaveCohortsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, append(many(2, "a", "", "v1"), many(2, "b", "", "v2")...)...)
		const n = 50_000
		one := f.sticky(t, n, &discovery.Split{Versions: weights("v1", 80, "v2", 20), Salt: "one"})
		two := f.sticky(t, n, &discovery.Split{Versions: weights("v1", 80, "v2", 20), Salt: "two"})
		both := 0
		for key, v := range one {
			if v == "v2" && two[key] == "v2" {
				both++
			}
		}
		share(t, "who is in a fifth by one salt is in a fifth of that by another", both, n, 0.04, 0.006)
	})
}

// At Hailo one rule for the new version starved the old one, which had none.
func TestHailoRuleForTheNewVersionStarvesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, append(append(many(3, "a", "", "v1"), many(1, "b", "", "v2")...), many(1, "c", "", "")...)...)
		const n = 50_000
		split := &discovery.Split{Versions: weights("v2", 10, discovery.AnyOther, 90)}
		got := f.pick(t, n, split, byVersion)
		share(t, "the version with the rule gets what the rule says", got["v2"], n, 0.1, 0.01)
		share(t, "the others share the rest by their instances", got["v1"], n, 0.9*3/4, 0.015)
		share(t, "also those without a version", got[""], n, 0.9/4, 0.015)
		keyed := count(f.sticky(t, n, split))
		share(t, "the same by key", keyed["v2"], n, 0.1, 0.01)
		if keyed["v1"] == 0 || keyed[""] == 0 {
			t.Errorf("by key too the others share the rest: %v", keyed)
		}
	})
}

func TestWeightZeroDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, append(many(3, "a", "", "v1"), many(3, "b", "", "v2")...)...)
		split := &discovery.Split{Versions: weights("v1", 0, "v2", 1)}
		expect(t, "a version of weight 0 gets nothing", f.pick(t, 1000, split, byVersion), map[string]int{"v2": 1000})
		expect(t, "also by key", count(f.sticky(t, 1000, split)), map[string]int{"v2": 1000})
		for id, m := range f.members {
			if id[0] == 'b' {
				if err := m.Deregister(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		synctest.Wait()
		if _, err := f.resolver.Pick(t.Context(), "restaurants", split, ""); !errors.Is(err, discovery.ErrNoInstances) {
			t.Errorf("a version that was drained is no substitute: %v", err)
		}
		split = &discovery.Split{Versions: weights("v9", 1)}
		if _, err := f.resolver.Pick(t.Context(), "restaurants", split, ""); !errors.Is(err, discovery.ErrNoInstances) {
			t.Errorf("a version that isn't named gets nothing: %v", err)
		}
	})
}

func TestNothingGoesToAnEmptyOrUnhealthyVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, append(append(many(3, "a", "", "v1"), many(3, "b", "", "v2")...), many(2, "c", "", "v3")...)...)
		fail := func(ids ...string) {
			for _, id := range ids {
				if err := f.members[id].SetHealth(t.Context(), discovery.Failing, "test"); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		}
		split := &discovery.Split{Versions: weights("v1", 50, "v2", 30, "v3", 20, "v9", 100), Fallback: "v1", MinHealthy: 2}
		const n = 50_000
		got := f.pick(t, n, split, byVersion)
		share(t, "what an empty version would get goes to the fallback", got["v1"], n, 0.75, 0.015)
		fail("b000")
		share(t, "two healthy instances are enough", f.pick(t, n, split, byVersion)["v2"], n, 0.15, 0.012)
		fail("b001")
		got = f.pick(t, n, split, byVersion)
		share(t, "one is not", got["v2"], n, 0, 0)
		share(t, "the others keep their share", got["v3"], n, 0.1, 0.01)
		fail("a000", "a001", "a002")
		got = f.pick(t, n, split, byVersion)
		share(t, "without a healthy fallback the other versions stand in", got["v3"], n, 1, 0)
		keyed := count(f.sticky(t, n, split))
		share(t, "also by key", keyed["v3"], n, 1, 0)
		fail("c000", "c001")
		expect(t, "the last healthy instance is used although it is fewer than enough", f.pick(t, 1000, split, byID), map[string]int{"b002": 1000})
		fail("b002")
		if got := f.pick(t, 1000, split, byVersion); len(got) == 0 {
			t.Error("when nobody is healthy trying is better than failing for sure")
		}
	})
}

func TestDrainingVersionKeepsWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, many(2, "a", "", "v1")...)
		p, err := f.resolver.Pick(t.Context(), "restaurants", nil, "")
		if err != nil {
			t.Fatal(err)
		}
		id := p.Instance().ID
		if err := f.members[id].Deregister(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := f.pick(t, 1000, nil, byID); got[id] != 0 {
			t.Errorf("an instance that has left gets nothing new: %v", got)
		}
		leaving := func() (n, requests int) {
			for _, i := range f.resolver.Stats()[0].Instances {
				if i.Leaving && i.ID == id {
					n++
					requests += i.InFlight
				}
			}
			return n, requests
		}
		if n, requests := leaving(); n != 1 || requests != 1 {
			t.Errorf("it is shown for as long as it has requests under way: %+v", f.resolver.Stats())
		}
		p.Done(discovery.Outcome{Latency: time.Millisecond})
		if n, _ := leaving(); n != 0 {
			t.Errorf("and no longer: %+v", f.resolver.Stats())
		}
	})
}
