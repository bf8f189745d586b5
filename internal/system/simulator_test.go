package system

import (
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

var (
	simSeed  = flag.Uint64("sim.seed", 0, "simulate this seed only, and print its timeline")
	simSeeds = flag.Float64("sim.seeds", 2000, "how many seeds to simulate")
	simHash  = flag.String("sim.hash", "", "write each seed and the hash of its timeline to this file")
	simAll   = flag.Bool("sim.all", false, "print the lines of a timeline that have nothing to do with the failure, too")
)

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		if err := relayProcess(); err != nil {
			fmt.Fprintln(os.Stderr, "relay:", err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// simulate runs one seed.
func simulate(t *testing.T, seed uint64, m *mutation) (w *world) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t.Context(), seed, m)
		w.run()
	})
	return w
}

// eachSeed visits seeds 1 to n on all processors until visit reports false.
func eachSeed(t *testing.T, n int, visit func(t *testing.T, seed uint64) bool) {
	t.Helper()
	var next atomic.Uint64
	t.Run("seeds", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				for seed := next.Add(1); seed <= uint64(n); seed = next.Add(1) {
					if !visit(t, seed) {
						next.Store(uint64(n))
					}
				}
			})
		}
	})
}

func TestSimulator(t *testing.T) {
	if *simSeed != 0 {
		w := simulate(t, *simSeed, &mutation{})
		if w.breach != nil {
			t.Fatal(w.report())
		}
		t.Logf("seed %d holds: %s\n%s", *simSeed, w.plan.text(), w.timeline.text(nil))
		return
	}
	n := int(*simSeeds)
	if testing.Short() || raceEnabled {
		n = min(n, 300)
	}
	var total tally
	var found breaches
	hashes := make([]uint32, n+1)
	eachSeed(t, n, func(t *testing.T, seed uint64) bool {
		w := simulate(t, seed, &mutation{})
		if *simHash != "" {
			hashes[seed] = crc32.ChecksumIEEE([]byte(w.timeline.text(nil)))
		}
		total.add(&w.tally)
		found.add(w)
		return true
	})
	if *simHash != "" {
		var b strings.Builder
		for seed, h := range hashes[1:] {
			fmt.Fprintf(&b, "%d %08x\n", seed+1, h)
		}
		if err := os.WriteFile(*simHash, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Log(total.text())
	for guarantee, w := range found.shortest {
		t.Errorf("%d of %d seeds break %s; the shortest timeline:\n\n%s", found.count[guarantee], n, guarantee, w.report())
	}
	if t.Failed() || n < 300 {
		return
	}
	for _, rare := range total.missing(n) {
		t.Errorf("%s: the simulator doesn't get there any more, or the system doesn't", rare)
	}
}

// breaches keeps the shortest failing timeline for each guarantee.
type breaches struct {
	mu       sync.Mutex
	count    map[string]int
	shortest map[string]*world
}

func (f *breaches) add(w *world) {
	if w.breach == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count == nil {
		f.count, f.shortest = map[string]int{}, map[string]*world{}
	}
	g := w.breach.guarantee
	f.count[g]++
	if f.shortest[g] == nil || w.relevant() < f.shortest[g].relevant() {
		f.shortest[g] = w
	}
}

// tally counts what happened, over all seeds.
type tally struct{ counts [numCounts]atomic.Int64 }

// What is counted.
const (
	countSteps = iota
	countAsks
	countHits
	countVouched // hits beyond HTTP's freshness
	countRequests
	countConfirmed // answered with 304
	countLagged    // answered by a replica that was behind
	countNotices   // that came
	countAcross    // requests that a notice overtook
	countLost      // messages
	countRepeated
	countResets
	countTerms  // times that a relay began to lead
	countDeaths // of processes of owners
	countHangs
	countCuts
	countWrites
	countCancelled
	countTenures  // times that a publisher came to own its topic
	countDeposed  // times that one lost it
	countRefused  // changes, because the topic was another's or nobody's
	countRestored // processes that vouched again at the end
	countRests    // answers that nobody was asked for, because nothing had changed
	countOnce     // answers that were asked for once, because what they show had changed
	numCounts
)

// counted names what is counted and says how often, for each seed, it has to
// happen on average. What never happens proves nothing.
var counted = [numCounts]struct {
	name  string
	floor float64
}{
	{"steps", 60}, {"asks", 15}, {"hits", 1}, {"vouched", 0.5}, {"requests", 10}, {"confirmed", 0.5}, {"lagged", 0.2},
	{"notices", 4}, {"across", 0.5}, {"lost", 1}, {"repeated", 1}, {"resets", 0.5}, {"terms", 1}, {"deaths", 0.5},
	{"hangs", 0.5}, {"cuts", 0.5}, {"writes", 0.5}, {"cancelled", 0.3}, {"tenures", 1}, {"deposed", 0.3}, {"refused", 0.3}, {"restored", 3},
	{"rests", 40}, {"once", 5},
}

func (c *tally) count(what int) { c.counts[what].Add(1) }

func (c *tally) add(o *tally) {
	for i := range c.counts {
		c.counts[i].Add(o.counts[i].Load())
	}
}

func (c *tally) text() string {
	parts := make([]string, numCounts)
	for i, what := range counted {
		parts[i] = fmt.Sprintf("%s %d", what.name, c.counts[i].Load())
	}
	return strings.Join(parts, ", ")
}

// missing lists what happened too rarely in n seeds.
func (c *tally) missing(n int) (rare []string) {
	for i, what := range counted {
		if got := c.counts[i].Load(); float64(got) < what.floor*float64(n) {
			rare = append(rare, fmt.Sprintf("%q happened %d times in %d seeds, want at least %g for each", what.name, got, n, what.floor))
		}
	}
	return rare
}
