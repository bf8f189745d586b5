package cache

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// saboteur breaks a cache: once when it is made, or after each step.
type saboteur struct {
	guarantee string
	name      string
	switches  sabotage
	once      func(t *Transport)
	always    func(t *Transport)
}

var saboteurs = []saboteur{
	{guarantee: "G1", name: "a notice doesn't end what is stored", switches: sabotage{notices: true}},
	{guarantee: "G1", name: "a notice doesn't reach groups", switches: sabotage{groups: true}},
	{guarantee: "G1", name: "a decoded value isn't judged", switches: sabotage{typed: true}},
	{guarantee: "G2", name: "a fill counts from its answer", switches: sabotage{stamps: true}},
	{guarantee: "G2", name: "a question that was overtaken is joined", switches: sabotage{joins: true}},
	{guarantee: "G2", name: "what is forgotten doesn't raise the floor", always: func(t *Transport) {
		for i := range t.ledger.shards {
			s := &t.ledger.shards[i]
			s.mu.Lock()
			s.floor = nil
			s.mu.Unlock()
		}
	}},
	{guarantee: "G3", name: "a reset is ignored", switches: sabotage{resets: true}},
	{guarantee: "G3", name: "a lease doesn't end", switches: sabotage{leases: true}},
	{guarantee: "G4", name: "the refill lets intermediaries answer", switches: sabotage{asks: true}},
	{guarantee: "G4", name: "what an intermediary kept is vouched for", switches: sabotage{kept: true}},
	{guarantee: "G4", name: "a version that isn't the one noticed is reused", switches: sabotage{tags: true}},
	{guarantee: "G4", name: "an own write erases which version was noticed", switches: sabotage{erases: true}},
	{guarantee: "G4", name: "resn-lag is ignored", switches: sabotage{lags: true}},
	{guarantee: "rest", name: "what is forgotten counts as an own write", switches: sabotage{forgets: true}},
	{guarantee: "rest", name: "what is doubted and can't be validated isn't kept", switches: sabotage{drops: true}},
	{guarantee: "G5", name: "nobody joins", always: func(t *Transport) {
		for i := range t.store.shards {
			sh := &t.store.shards[i]
			sh.mu.Lock()
			clear(sh.flights)
			sh.mu.Unlock()
		}
	}},
	{guarantee: "G5", name: "a cancelled reader takes the question with him", switches: sabotage{detaches: true}},
	{guarantee: "G6", name: "an own write invalidates nothing", switches: sabotage{writes: true}},
	{guarantee: "G6", name: "a write that failed doesn't invalidate", switches: sabotage{failures: true}},
	{guarantee: "G6", name: "Location doesn't count", switches: sabotage{references: true}},
	{guarantee: "G6", name: "what a replica shows after an own write is reused", switches: sabotage{replicas: true}},
	{guarantee: "G3", name: "what another life of the process stored is vouched for", switches: sabotage{lives: true}},
	{guarantee: "G8", name: "a HEAD freshens what is stored, whatever it says", switches: sabotage{heads: true}},
	{guarantee: "G8", name: "If-Range doesn't matter", switches: sabotage{ranges: true}},
	{guarantee: "G7", name: "bytes aren't bounded", once: func(t *Transport) { t.store.queue.max = 1 << 40 }},
	{guarantee: "G7", name: "generations aren't bounded", once: func(t *Transport) { t.ledger.perShard = 1 << 20 }},
	{guarantee: "G7", name: "vouching has no backstop", once: func(t *Transport) { t.vouchLimit = 1000 * time.Hour }},
}

// Each thing that a guarantee rests on is taken away, and the simulator has to
// find out. Otherwise it proves nothing about it.
func TestSimulatorCatches(t *testing.T) {
	for _, s := range saboteurs {
		t.Run(s.guarantee+"/"+s.name, func(t *testing.T) {
			var mu sync.Mutex
			var caught *world
			eachSeed(t, 3000, func(seed uint64) bool {
				w := s.simulate(t, seed)
				mu.Lock()
				defer mu.Unlock()
				if w.broken != nil && w.broken.guarantee == s.guarantee && (caught == nil || w.seed < caught.seed) {
					caught = w
				}
				return caught == nil
			})
			if caught == nil {
				t.Fatalf("%s: the cache was built so that %s, and no seed shows it", s.guarantee, s.name)
			}
			t.Logf("seed %d: %s", caught.seed, caught.broken.text)
			if *simAll {
				t.Log(caught.report())
			}
		})
	}
}

// simulate runs a seed with a broken cache.
func (s *saboteur) simulate(t *testing.T, seed uint64) (w *world) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t.Context(), seed)
		w.prepare = func(t *Transport) {
			t.ledger.sabotage = s.switches
			if s.once != nil {
				s.once(t)
			}
		}
		w.prepare(w.cache)
		w.sabotage = s.always
		w.run()
	})
	return w
}
