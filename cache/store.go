package cache

import (
	"slices"
	"sync"
	"sync/atomic"
)

const (
	storeShards = 64
	// maxVariants bounds the variants of one URI that are kept side by side.
	maxVariants = 64
)

// store finds entries by key and request, and keeps them within a bound.
type store struct {
	hasher hasher
	ledger *ledger
	queue  evictor
	shards [storeShards]storeShard
}

// storeShard is a chained hash table: a bucket holds one pointer, an entry
// its successor, which is a third of what a Go map would take.
//
// Whoever changes it holds mu. A lookup holds nothing: it may miss an entry
// while the table grows or a variant is replaced, and then somebody who holds
// mu looks again.
type storeShard struct {
	mu      sync.RWMutex
	buckets atomic.Pointer[[]link]
	count   int
	flights map[string][]*flight // those that can be joined, by key
	counts  counters
	_       [64]byte // keep neighbours' counters off the line
}

// link leads to the next entry of a chain.
type link = atomic.Pointer[entry]

func newStore(l *ledger, maxBytes int64) *store {
	s := &store{hasher: newHasher(), ledger: l}
	s.queue.init(maxBytes)
	return s
}

func (s *store) shard(hash uint64) *storeShard { return &s.shards[hash>>58] }

// lookup returns the newest entry of a key that may answer a request with
// that header. It takes no lock; nil means that find has to look.
func (s *store) lookup(hash uint64, key []byte, header map[string][]string) *entry {
	for e := s.shard(hash).bucket(hash); e != nil; e = e.next.Load() {
		if e.hash == hash && e.key() == string(key) && e.matches(header) {
			return e
		}
	}
	return nil
}

// find is lookup for a caller that wants to know too whether there are other
// variants: any is the newest of them all. Only who holds the lock sees what is
// stored at the same time.
func (sh *storeShard) find(hash uint64, key string, header map[string][]string) (match, any *entry) {
	for e := sh.bucket(hash); e != nil; e = e.next.Load() {
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

// head returns the bucket of a hash, nil in an empty table.
func (sh *storeShard) head(hash uint64) *link {
	b := sh.buckets.Load()
	if b == nil {
		return nil
	}
	return &(*b)[hash&uint64(len(*b)-1)]
}

func (sh *storeShard) bucket(hash uint64) *entry {
	b := sh.head(hash)
	if b == nil {
		return nil
	}
	return b.Load()
}

// insert stores e in the place of what it replaces: its variant, and whatever
// else would have answered its request, which had that header, or it would answer
// again once e is gone. It reports false if what it would replace answers a later
// question: then e came too late.
func (s *store) insert(e *entry, header map[string][]string) bool {
	sh := s.shard(e.hash)
	var gone []*entry
	sh.mu.Lock()
	variants := 0
	for o := sh.bucket(e.hash); o != nil; o = o.next.Load() {
		if o.hash != e.hash || o.key() != e.key() {
			continue
		}
		if !o.sameVariant(e) && (header == nil || !o.matches(header)) {
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
	s.expel(victims)
	return true
}

// expel takes out what the bound on memory demands.
func (s *store) expel(victims []*entry) {
	for _, o := range victims {
		if s.unlink(o) {
			s.shard(o.hash).counts.evictions.Add(1)
			s.drop(o)
		}
	}
}

// remove takes e out if it is still there.
func (s *store) remove(e *entry) {
	if s.unlink(e) {
		s.queue.remove(e)
		s.drop(e)
	}
}

// forsake takes out e, and what else would answer a request with that header but
// was asked for before stamp: something newer was seen.
func (s *store) forsake(e *entry, header map[string][]string, stamp uint64) {
	sh := s.shard(e.hash)
	older := []*entry{e}
	sh.mu.RLock()
	for o := sh.bucket(e.hash); o != nil; o = o.next.Load() {
		if o != e && o.hash == e.hash && o.key() == e.key() && o.stamp < stamp && o.matches(header) {
			older = append(older, o)
		}
	}
	sh.mu.RUnlock()
	for _, o := range older {
		s.remove(o)
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
		if b := sh.buckets.Load(); b != nil {
			for j := range *b {
				for e := (*b)[j].Load(); e != nil; e = e.next.Load() {
					f(e)
				}
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

// unlink leaves e's own link alone: a lookup may be standing on it.
func (sh *storeShard) unlink(e *entry) bool {
	for p := sh.head(e.hash); p != nil; {
		o := p.Load()
		if o == nil {
			return false
		}
		if o == e {
			p.Store(e.next.Load())
			sh.count--
			return true
		}
		p = &o.next
	}
	return false
}

// link puts e in front: the newest variant is found first.
func (sh *storeShard) link(e *entry) {
	if old := sh.buckets.Load(); old == nil || sh.count >= len(*old) {
		sh.grow(old)
	}
	sh.push(e)
	sh.count++
}

// grow doubles the table and keeps the order within a chain.
func (sh *storeShard) grow(old *[]link) {
	if old == nil {
		old = new([]link)
	}
	buckets := make([]link, max(8, 2*len(*old)))
	sh.buckets.Store(&buckets)
	for i := range *old {
		var chain []*entry
		for o := (*old)[i].Load(); o != nil; o = o.next.Load() {
			chain = append(chain, o)
		}
		for _, o := range slices.Backward(chain) {
			sh.push(o)
		}
	}
}

func (sh *storeShard) push(e *entry) {
	b := sh.head(e.hash)
	e.next.Store(b.Load())
	b.Store(e)
}
