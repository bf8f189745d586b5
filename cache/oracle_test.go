package cache_test

// The oracle.
//
// A slow and obvious model of what RFC 9111 allows a private cache, written
// from the text of the standard and sharing no code with the cache, judges
// every answer that the cache gives in random histories: origins that say
// anything, well-formed or not, and clients that ask for anything. It also
// judges the other direction: what says how long it is fresh isn't asked for
// without need.
//
//	go test ./cache -run 'TestOracle$'                     # thousands of seeds
//	go test ./cache -run 'TestOracle$' -oracle.seeds=1e6   # as many as you like
//	go test ./cache -run 'TestOracle$' -oracle.seed=4711   # one, with its history
//	go test ./cache -run '^$' -fuzz 'FuzzOracle$'
//
// What is where:
//
//	oracle_fields_test.go   what is read out of fields
//	oracle_record_test.go   a stored response, and whether it may be used
//	oracle_store_test.go    what exchanges with the origin do to the store
//	oracle_answer_test.go   what a client may be given of a stored response
//	oracle_judge_test.go    whether an answer was permitted, or asked for in vain
//	oracle_world_test.go    the origin, the clients, the history
//	oracle_script_test.go   scripts, and smaller ones
//
// What the RFC leaves to a cache is in the model as the set of everything that
// it allows; where the cache's documentation promises more, as for own writes,
// that counts.

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	oracleSeed  = flag.Uint64("oracle.seed", 0, "play this seed only, and print its history")
	oracleSeeds = flag.Float64("oracle.seeds", 2000, "how many seeds to play")
)

func scriptOf(seed uint64) script {
	return (&dice{rng: rand.New(rand.NewPCG(seed, 9111))}).script()
}

// TestOracle plays random histories and judges every answer.
func TestOracle(t *testing.T) {
	if *oracleSeed != 0 {
		h := play(t, scriptOf(*oracleSeed))
		t.Log("\n" + strings.Join(h.lines, "\n"))
		if h.wrong != "" {
			h.report(t, fmt.Sprint("seed ", *oracleSeed))
		}
		return
	}
	var next atomic.Uint64
	var mu sync.Mutex
	total := map[string]int{}
	var failed []uint64
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for seed := next.Add(1); float64(seed) <= *oracleSeeds; seed = next.Add(1) {
				h := play(t, scriptOf(seed))
				mu.Lock()
				for what, n := range h.counts {
					total[what] += n
				}
				if h.wrong != "" {
					failed = append(failed, seed)
				}
				enough := len(failed) > 0
				mu.Unlock()
				if enough {
					return
				}
			}
		})
	}
	all.Wait()
	if len(failed) > 0 {
		seed := slices.Min(failed)
		play(t, scriptOf(seed)).report(t, fmt.Sprint("seed ", seed))
		return
	}
	t.Log(total)
	for _, what := range []string{"hit", "hit stale", "hit 304", "hit 206", "hit 416", "hit HEAD", "validated", "validated 304", "forwarded", "failed", "stale after failure", "shared", "504", "write", "cut short"} {
		if total[what] == 0 && *oracleSeeds >= 1000 {
			t.Errorf("no history has %q: the dice have become blind", what)
		}
	}
}

// FuzzOracle lets the fuzzer load the dice.
func FuzzOracle(f *testing.F) {
	rng := rand.New(rand.NewPCG(9110, 9111))
	for range 20 {
		data := make([]byte, 400)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if h := play(t, (&dice{loaded: data}).script()); h.wrong != "" {
			h.report(t, "this input")
		}
	})
}

// report prints the smallest history that fails.
func (h *history) report(t *testing.T, name string) {
	t.Helper()
	small := play(t, shrunk(t, h.script))
	if small.wrong == "" {
		small = h
	}
	t.Errorf("%s: %s\n%s", name, small.wrong, strings.Join(small.lines, "\n"))
}

// count notes what a history has, so that dice which never fall on something
// are noticed.
func (h *history) count(r *reading, own []*exchange) {
	said, n := statusOf(r.a.header), h.counts
	switch {
	case r.a.err != nil:
		n["failed"]++
	case said.has("hit"):
		n["hit"]++
		n[fmt.Sprint("hit ", r.a.status)]++
		n["hit "+r.method]++
		if len(own) > 0 || strings.HasPrefix(said["ttl"], "-") {
			n["hit stale"]++
		}
	case len(own) == 0 && r.a.status == 504:
		n["504"]++
	case len(own) == 0:
		n["shared"]++
	case own[len(own)-1].failed || own[len(own)-1].status >= 500 && r.a.status < 500:
		n["stale after failure"]++
	case own[len(own)-1].status == 304 && r.a.status != 304:
		n["validated"]++
	case own[len(own)-1].status == 304:
		n["validated 304"]++
	case r.method != "GET" && r.method != "HEAD":
		n["write"]++
	default:
		n["forwarded"]++
	}
	if r.a.readErr != nil {
		n["cut short"]++
	}
}
