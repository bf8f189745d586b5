package cache

import (
	"hash/maphash"
	"slices"
	"sync"
)

const (
	storeShards = 64
	// maxVariants bounds the variants of one URI that are kept side by side.
	maxVariants = 64
)

// store finds entries by key and request, and keeps them within a bound.
type store struct {
	seed   maphash.Seed
	ledger *ledger
	queue  evictor
	shards [storeShards]storeShard
}

// storeShard is a chained hash table: a bucket holds one pointer, an entry
// its successor, which is a third of what a Go map would take.
type storeShard struct {
	mu      sync.RWMutex
	buckets []*entry
	count   int
	flights map[string][]*flight // those that can be joined, by key
	counts  counters
	_       [64]byte // keep neighbours' counters off the line
}

func newStore(l *ledger, maxBytes int64) *store {
	s := &store{seed: maphash.MakeSeed(), ledger: l}
	s.queue.init(maxBytes)
	return s
}

func (s *store) shard(hash uint64) *storeShard { return &s.shards[hash>>58] }

// lookup returns the newest entry of a key that may answer a request with
// that header.
func (s *store) lookup(hash uint64, key []byte, header map[string][]string) *entry {
	sh := s.shard(hash)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for e := sh.bucket(hash); e != nil; e = e.next {
		if e.hash == hash && e.key() == string(key) && e.matches(header) {
			return e
		}
	}
	return nil
}

// find is lookup for a caller that holds the lock and wants to know too
// whether there are other variants: any is the newest of them all.
func (sh *storeShard) find(hash uint64, key string, header map[string][]string) (match, any *entry) {
	for e := sh.bucket(hash); e != nil; e = e.next {
		if e.hash != hash || e.key() != key {
			continue
		}
		if any == nil {
			any = e
		}
		if e.matches(header) {
			return e, any
		}
	}
	return nil, any
}

func (sh *storeShard) bucket(hash uint64) *entry {
	if len(sh.buckets) == 0 {
		return nil
	}
	return sh.buckets[hash&uint64(len(sh.buckets)-1)]
}

// insert stores e in the place of the variant it replaces. It reports false
// if that variant answers a later question: then e came too late.
func (s *store) insert(e *entry) bool {
	sh := s.shard(e.hash)
	var gone []*entry
	sh.mu.Lock()
	variants := 0
	for o := sh.bucket(e.hash); o != nil; o = o.next {
		if o.hash != e.hash || o.key() != e.key() {
			continue
		}
		if !o.sameVariant(e) {
			if variants++; variants < maxVariants {
				continue
			}
		} else if o.stamp > e.stamp {
			sh.mu.Unlock()
			return false
		}
		gone = append(gone, o)
	}
	for _, o := range gone {
		sh.unlink(o)
	}
	sh.link(e)
	sh.mu.Unlock()

	victims := s.queue.insert(e, gone)
	for _, o := range gone {
		s.drop(o)
	}
	for _, o := range victims {
		if s.unlink(o) {
			sh.counts.evictions.Add(1)
			s.drop(o)
		}
	}
	return true
}

// remove takes e out if it is still there.
func (s *store) remove(e *entry) {
	if s.unlink(e) {
		s.queue.remove(e)
		s.drop(e)
	}
}

// drop releases what an unlinked entry refers to.
func (s *store) drop(e *entry) {
	s.ledger.release(e.res)
	for _, g := range e.groups() {
		s.ledger.release(g)
	}
}

// each calls f with every entry. f must not call back.
func (s *store) each(f func(*entry)) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.RLock()
		for _, e := range sh.buckets {
			for ; e != nil; e = e.next {
				f(e)
			}
		}
		sh.mu.RUnlock()
	}
}

func (s *store) unlink(e *entry) bool {
	sh := s.shard(e.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.unlink(e)
}

func (sh *storeShard) unlink(e *entry) bool {
	if len(sh.buckets) == 0 {
		return false
	}
	for p := &sh.buckets[e.hash&uint64(len(sh.buckets)-1)]; *p != nil; p = &(*p).next {
		if *p == e {
			*p = e.next
			sh.count--
			return true
		}
	}
	return false
}

// link puts e in front: the newest variant is found first.
func (sh *storeShard) link(e *entry) {
	if sh.count >= len(sh.buckets) {
		old := sh.buckets
		sh.buckets = make([]*entry, max(8, 2*len(old)))
		for _, o := range old {
			// Keep the order within a chain.
			var chain []*entry
			for ; o != nil; o = o.next {
				chain = append(chain, o)
			}
			for _, o := range slices.Backward(chain) {
				sh.push(o)
			}
		}
	}
	sh.push(e)
	sh.count++
}

func (sh *storeShard) push(e *entry) {
	b := &sh.buckets[e.hash&uint64(len(sh.buckets)-1)]
	e.next, *b = *b, e
}
