package cache

// The coherence simulator.
//
// It runs a Transport in a bubble of testing/synctest inside a small model of
// the world that DESIGN.md section 4 is about: an owner with replicas that
// lag, an intermediary that answers from its own store, a relay, a bus that
// loses, repeats and delays, a listener that does what PROTOCOL.md says, and
// readers and writers of this process, who ask for the whole, for parts, or by
// HEAD. The process dies and begins anew, with a second level that survives or
// is damaged. A seed decides what happens in which
// order. After each step every answer is compared with what the model allows
// by G1 to G7; the model shares no code with the cache.
//
//	go test ./cache -run 'TestSimulator$'                  # 3000 seeds
//	go test ./cache -run 'TestSimulator$' -sim.seeds=1e6   # as many as you like
//	go test ./cache -run 'TestSimulator$' -sim.seed=4711   # one, with its schedule
//
// What is where:
//
//	simulator_world_test.go     a seed's world, and the steps it takes
//	simulator_owner_test.go     resources, their history, replicas
//	simulator_exchange_test.go  questions on their way to the owner and back
//	simulator_between_test.go   the intermediary
//	simulator_bus_test.go       relay, bus and listener
//	simulator_actors_test.go    readers and writers of this process
//	simulator_rules_test.go     what is allowed: the guarantees
//	simulator_rest_test.go      what they are for: at rest nobody asks
//	simulator_timeline_test.go  the schedule, for people
//
// These files belong together; other tests of the package don't use them.

import (
	"flag"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

var (
	simSeed  = flag.Uint64("sim.seed", 0, "simulate this seed only, and print its schedule")
	simSeeds = flag.Float64("sim.seeds", 3000, "how many seeds to simulate")
	simAll   = flag.Bool("sim.all", false, "print the lines of a schedule that have nothing to do with the failure, too")
)

// simulate runs one seed. It returns the world as it was when it ended.
func simulate(t *testing.T, seed uint64) (w *world) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t.Context(), seed)
		w.run()
	})
	return w
}

// eachSeed visits seeds 1 to n on all processors until visit reports false.
func eachSeed(t *testing.T, n int, visit func(seed uint64) bool) {
	t.Helper()
	var next atomic.Uint64
	t.Run("seeds", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				for seed := next.Add(1); seed <= uint64(n); seed = next.Add(1) {
					if !visit(seed) {
						next.Store(uint64(n))
					}
				}
			})
		}
	})
}

func TestSimulator(t *testing.T) {
	if *simSeed != 0 {
		// Which generations share a bound depends on hashes that differ from
		// process to process, so a seed may have to be tried more than once.
		var w *world
		for range 50 {
			if w = simulate(t, *simSeed); w.broken != nil {
				t.Fatal(w.report())
			}
		}
		t.Logf("seed %d holds\n%s", *simSeed, w.timeline.text(nil))
		return
	}
	n := int(*simSeeds)
	if testing.Short() || raceEnabled {
		n = min(n, 500) // ten times slower with the race detector
	}
	var total tally
	var found failures
	eachSeed(t, n, func(seed uint64) bool {
		w := simulate(t, seed)
		total.add(&w.tally)
		found.add(w)
		return true
	})
	t.Log(total.text())
	for guarantee, w := range found.shortest {
		t.Errorf("%d of %d seeds break %s; the shortest schedule:\n\n%s", found.count[guarantee], n, guarantee, w.report())
	}
	if t.Failed() || n < 500 {
		return
	}
	for _, rare := range total.missing(n) {
		t.Errorf("%s: the simulator doesn't get there any more, or the cache doesn't", rare)
	}
}

// A cache that never stores breaks no guarantee, and must not pass either.
func TestSimulatorWantsACache(t *testing.T) {
	never := saboteur{once: func(t *Transport) { t.store.queue.max = 0 }}
	const n = 100
	var total tally
	eachSeed(t, n, func(seed uint64) bool {
		w := never.simulate(t, seed)
		total.add(&w.tally)
		return true
	})
	rare := strings.Join(total.missing(n), "\n")
	for _, want := range []string{`"hits"`, `"vouched"`, `"typed"`} {
		if !strings.Contains(rare, want) {
			t.Errorf("a cache that never stores isn't missed: %s happens often enough without one", want)
		}
	}
}

// failures keeps the shortest failing schedule for each guarantee.
type failures struct {
	mu       sync.Mutex
	count    map[string]int
	shortest map[string]*world
}

func (f *failures) add(w *world) {
	if w.broken == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count == nil {
		f.count, f.shortest = map[string]int{}, map[string]*world{}
	}
	f.count[w.broken.guarantee]++
	if have := f.shortest[w.broken.guarantee]; have == nil || w.relevant() < have.relevant() {
		f.shortest[w.broken.guarantee] = w
	}
}

// tally counts what happened, over all seeds.
type tally struct {
	counts [numCounts]atomic.Int64
}

// What is counted.
const (
	countSteps = iota
	countReads
	countHits      // answered from the store without asking
	countVouched   // of those, beyond HTTP's freshness
	countStale     // of those, stale by RFC 5861
	countTyped     // of those, as a decoded value
	countNegative  // of those, a 404
	countSpared    // of those, although a notice came: it named this version
	countJoined    // answered by somebody else's question
	countQuestions // GETs that reached the network
	countConfirmed // answered with 304
	countLagged    // answered by a replica that hadn't seen the last change
	countBetween   // answered from the intermediary's store
	countNotices   // applied
	countAcross    // questions that a notice or another invalidation overtook
	countResets
	countLeases // that ended by themselves
	countWrites
	countUnknown   // writes whose outcome nobody knows
	countCancelled // readers
	countEvictions
	countForgotten // generations were made to be forgotten
	countHeads     // HEAD, answered
	countParts     // ranges, answered with a part
	countCutOut    // of those, from what is stored
	countFreshened // hits on what a HEAD has freshened
	countRestarts  // of the process
	countRevived   // hits on what another life stored
	countRests     // readers of something at rest
	numCounts
)

// counted names what is counted and says how often, for each seed, it has to
// happen on average. What never happens proves nothing.
var counted = [numCounts]struct {
	name  string
	floor float64
}{
	{"steps", 100}, {"reads", 40}, {"hits", 4}, {"vouched", 1}, {"stale", 0.15}, {"typed", 0.3}, {"negative", 0.7},
	{"spared", 0.08}, {"joined", 5}, {"questions", 15}, {"confirmed", 1}, {"lagged", 0.7}, {"between", 0.15},
	{"notices", 4}, {"across", 5}, {"resets", 0.25}, {"leases", 0.7}, {"writes", 2}, {"unknown", 0.25},
	{"cancelled", 1}, {"evictions", 1}, {"forgotten", 0.5},
	{"heads", 1}, {"parts", 1}, {"cut out", 0.1}, {"freshened", 0.02}, {"restarts", 0.3}, {"revived", 0.05}, {"rests", 6},
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

func (c *tally) add(o *tally) {
	for i := range c.counts {
		c.counts[i].Add(o.counts[i].Load())
	}
}

func (c *tally) count(what int) { c.counts[what].Add(1) }

func (c *tally) text() string {
	var b strings.Builder
	for i, what := range counted {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %d", what.name, c.counts[i].Load())
	}
	return b.String()
}
