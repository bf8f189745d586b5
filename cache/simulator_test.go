package cache

// The coherence simulator.
//
// It runs a Transport in a bubble of testing/synctest inside a small model of
// the world that DESIGN.md section 4 is about: an owner with replicas that
// lag, an intermediary that answers from its own store, a relay, a bus that
// loses, repeats and delays, a listener that does what PROTOCOL.md says, and
// readers and writers of this process. A seed decides what happens in which
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

// eachSeed simulates seeds 1 to n on all processors until visit reports
// false.
func eachSeed(t *testing.T, n int, visit func(w *world) bool) {
	t.Helper()
	var next atomic.Uint64
	t.Run("seeds", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				for seed := next.Add(1); seed <= uint64(n); seed = next.Add(1) {
					if !visit(simulate(t, seed)) {
						next.Store(uint64(n))
					}
				}
			})
		}
	})
}

func TestSimulator(t *testing.T) {
	if *simSeed != 0 {
		w := simulate(t, *simSeed)
		if w.broken != nil {
			t.Fatal(w.report())
		}
		t.Logf("seed %d holds\n%s", *simSeed, w.timeline.text(nil))
		return
	}
	n := int(*simSeeds)
	if testing.Short() {
		n = min(n, 500)
	}
	var total tally
	var found failures
	eachSeed(t, n, func(w *world) bool {
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
	// What never happens proves nothing.
	for _, name := range tallyNames {
		if floor := tallyFloors[name]; float64(total.of(name).Load()) < floor*float64(n) {
			t.Errorf("%q happened %d times in %d seeds, want at least %g for each: the simulator doesn't reach it any more, or the cache doesn't",
				name, total.of(name).Load(), n, floor)
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

// What is counted. The floors in tallyFloors say how often at least, for each
// seed.
const (
	countSteps = iota
	countReads
	countReused    // answered without asking
	countVouched   // of those, beyond HTTP's freshness
	countJoined    // of those, by a question under way
	countTyped     // of those, as a decoded value
	countStale     // of those, stale by RFC 5861
	countNegative  // of those, a 404
	countQuestions // requests for representations that reached the network
	countConfirmed // 304s
	countNotices   // applied
	countAcross    // a notice came while a question about its resource was under way
	countSpared    // a notice named the version that was stored
	countLagged    // answers from a replica that had not seen the last change
	countBetween   // answers from the intermediary's store
	countResets    //
	countLeases    // leases that ended by themselves
	countWrites    // own writes
	countUnknown   // own writes whose outcome nobody knows
	countCancelled // readers
	countEvictions //
	countForgotten // generations forgotten
	numCounts
)

var tallyNames = []string{
	"steps", "reads", "reused", "vouched", "joined", "typed", "stale", "negative", "questions", "confirmed",
	"notices", "across", "spared", "lagged", "between", "resets", "leases", "writes", "unknown", "cancelled",
	"evictions", "forgotten",
}

// tallyFloors says how often things have to happen for each seed, on average.
var tallyFloors = map[string]float64{}

func (c *tally) add(o *tally) {
	for i := range c.counts {
		c.counts[i].Add(o.counts[i].Load())
	}
}

func (c *tally) count(what int) { c.counts[what].Add(1) }

func (c *tally) of(name string) *atomic.Int64 {
	for i, n := range tallyNames {
		if n == name {
			return &c.counts[i]
		}
	}
	return nil
}

func (c *tally) text() string {
	var b strings.Builder
	for i, name := range tallyNames {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %d", name, c.counts[i].Load())
	}
	return b.String()
}
