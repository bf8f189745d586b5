package discovery_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/goswale/swale/discovery"
)

// TestSplitProperties draws fleets and splits and checks what must hold of every
// pick, whatever they are.
func TestSplitProperties(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for range 150 {
			f, healthy := randomFleet(t, r)
			split := randomSplit(r)
			enough := func(v string) bool { return healthy[v] >= max(1, split.MinHealthy) }
			someEnough, someHealthy := false, healthy[split.Fallback] > 0 && split.Fallback != ""
			for v, n := range healthy {
				if named, weight := weightOf(split, v); named && weight > 0 {
					someEnough = someEnough || enough(v)
					someHealthy = someHealthy || n > 0
				}
			}
			versions := make(map[string]string)
			for i := range 60 {
				key := ""
				if i%2 == 0 {
					key = fmt.Sprint("k", i%10)
				}
				p, err := f.resolver.Pick(t.Context(), "restaurants", split, key)
				if err != nil {
					if someHealthy {
						t.Fatalf("%+v over %v healthy: somebody could have answered: %v", split, healthy, err)
					}
					continue
				}
				v := p.Instance().Version
				named, weight := weightOf(split, v)
				switch {
				case v != split.Fallback && (!named || weight == 0):
					t.Fatalf("%+v over %v healthy: %q may not be chosen", split, healthy, v)
				case someHealthy && p.Instance().Health != discovery.Serving:
					t.Fatalf("%+v over %v healthy: an unfit instance of %q was chosen", split, healthy, v)
				case someEnough && v != split.Fallback && !enough(v):
					t.Fatalf("%+v over %v healthy: %q has too few healthy instances", split, healthy, v)
				case key != "" && versions[key] != "" && versions[key] != v && weight > 0:
					t.Fatalf("%+v over %v healthy: %s went to %s and %s", split, healthy, key, versions[key], v)
				}
				if key != "" {
					versions[key] = v
				}
				p.Done(discovery.Outcome{})
			}
			f.close(t)
		}
	})
}

var propertyVersions = []string{"v1", "v2", "v3"}

func randomFleet(t *testing.T, r *rand.Rand) (*fleet, map[string]int) {
	t.Helper()
	var all []discovery.Instance
	healthy := make(map[string]int)
	for _, v := range propertyVersions {
		for i := range r.IntN(4) {
			in := restaurant(fmt.Sprint(v, "-", i))
			in.Version, in.Zone = v, []string{"a", "b"}[r.IntN(2)]
			if r.IntN(3) == 0 {
				in.Health = discovery.Failing
			} else {
				healthy[v]++
			}
			all = append(all, in)
		}
	}
	return newFleet(t, &discovery.ResolverOptions{Zone: "a"}, all...), healthy
}

func randomSplit(r *rand.Rand) *discovery.Split {
	split := &discovery.Split{MinHealthy: r.IntN(4), Salt: fmt.Sprint(r.IntN(3))}
	for _, v := range propertyVersions {
		if r.IntN(4) > 0 {
			split.Versions = append(split.Versions, discovery.VersionWeight{Version: v, Weight: uint32(r.IntN(3) * 50)})
		}
	}
	if r.IntN(2) == 0 {
		split.Fallback = propertyVersions[r.IntN(len(propertyVersions))]
	}
	return split
}

func weightOf(s *discovery.Split, version string) (named bool, weight uint32) {
	for _, v := range s.Versions {
		if v.Version == version {
			return true, v.Weight
		}
	}
	return false, 0
}

// close ends the fleet before its test does.
func (f *fleet) close(t *testing.T) {
	t.Helper()
	if err := f.resolver.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := f.registry.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRetryStaysWithinTheSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, append(append(many(1, "a", "", "v0"), many(1, "b", "", "v1")...), many(1, "c", "", "v2")...)...)
		w := &wire{other: says(503, "no")}
		w.set("a000.example:80", says(200, "v0"))
		w.set("c000.example:80", says(200, "v2"))
		tr := discovery.NewTransport(w, f.resolver, &discovery.TransportOptions{Splitter: splitter{&discovery.Split{Versions: weights("v0", 0, "v1", 99, "v2", 1)}}})
		for range 4 {
			expect(t, "when a version's instances have all been tried another one's are, but none that was drained",
				do(t, tr, http.MethodGet, "http://restaurants/", nil).body, "v2")
		}
	})
}
