package cache

import (
	"strings"
	"sync"
	"sync/atomic"
)

// The ledger knows when what was last invalidated.
//
// One counter, the clock of the ledger, orders everything that matters for
// coherence: each question to an origin takes a number before it is sent, its
// stamp, and each invalidation takes a number when it arrives, its
// generation. A stored response answers for its resource as long as no record
// that it depends on has a generation above its stamp. So invalidating is one
// store whatever the number of entries, and a hit costs a few loads.
//
// A record is kept for every resource and group that an entry or a question
// in flight refers to, and for the resources and groups of recent notices, up
// to a limit. What is forgotten raises the floor: a record that isn't there
// starts as if it had been invalidated at the floor. Forgetting therefore
// means revalidating, never trusting.
type ledger struct {
	hasher   hasher
	clock    atomic.Uint64
	all      atomic.Uint64 // generation of everything
	allAt    atomic.Int64
	shards   [ledgerShards]ledgerShard
	origins  originTable
	perShard int // unreferenced records that a shard remembers
	sabotage sabotage
}

const ledgerShards = 32

// record is the state of one resource (a URI without its query) or group.
type record struct {
	hash   uint64
	base   *floor // what had been forgotten when it was made
	last   atomic.Pointer[notice]
	origin *origin // set before the first reference is handed out
	next   *record // in its bucket; guarded by the shard
	refs   int32   // entries and flights; guarded by the shard
	queued uint32  // its newest position in the queue; guarded by the shard
}

// floor is what a shard has forgotten: anything of it may have been about a record
// that is made later. It is immutable; nil means nothing.
type floor struct {
	gen   uint64 // of the newest record that was forgotten
	at    int64  // when its notice arrived
	ownAt int64  // when the newest own write that was forgotten ended
}

func (f *floor) generation() uint64 {
	if f == nil {
		return 0
	}
	return f.gen
}

// under returns the floor once n is forgotten, too.
func (f *floor) under(n *notice) *floor {
	var next floor
	if f != nil {
		next = *f
	}
	next.gen, next.at = max(next.gen, n.gen), max(next.at, n.at)
	if n.own != nil {
		next.ownAt = max(next.ownAt, n.own.at)
	}
	return &next
}

// notice is the newest invalidation of a record. It is immutable.
type notice struct {
	gen   uint64
	prev  uint64 // generation before the run of notices that name this version
	at    int64  // when it arrived
	etag  string // opaque part of the version it names, or empty
	query string // of the URI it names, with its "?"
	gone  bool   // what it names was deleted
	scope *Scope // that announced it, if known
	// When the version was named. An own write names none and leaves the one
	// that a notice has named.
	said   uint64 // generation
	saidAt int64
	own    *ownWrite // the newest one that isn't known to have been announced
}

// generation returns the number of the newest invalidation.
func (r *record) generation() uint64 {
	if n := r.last.Load(); n != nil {
		return n.gen
	}
	return r.base.generation()
}

// noticed reports whether an invalidation is on record, or may be: what
// intermediaries keep can't be trusted then.
func (r *record) noticed() bool { return r.last.Load() != nil || r.base != nil }

type ledgerShard struct {
	mu      sync.Mutex
	buckets []*record
	count   int
	queue   []queuedRecord // ring of unreferenced records, oldest at head
	head    int
	queueN  int
	serial  uint32
	floor   *floor
}

type queuedRecord struct {
	hash   uint64
	serial uint32
}

func newLedger(remember int) *ledger {
	l := &ledger{hasher: newHasher(), perShard: max(remember/ledgerShards, 1)}
	l.origins.byName = make(map[string]*origin)
	return l
}

// stamp returns the number for a question that is about to be sent.
func (l *ledger) stamp() uint64 { return l.clock.Add(1) }

// resourceHash names the record of a resource.
func (l *ledger) resourceHash(origin, path string) uint64 {
	return l.hasher.strings(origin, "", path)
}

// groupHash names the record of a group at an origin (RFC 9875: groups of
// different origins have nothing to do with each other).
func (l *ledger) groupHash(origin, group string) uint64 {
	return l.hasher.strings(origin, "\x00", group)
}

func (l *ledger) shard(hash uint64) *ledgerShard { return &l.shards[hash>>59] }

// pin returns the record and keeps it until release. Pin before taking a
// stamp: then no invalidation can slip between.
func (l *ledger) pin(hash uint64, origin string) *record {
	s := l.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(hash)
	if r == nil {
		r = s.add(hash)
	}
	if r.origin == nil {
		r.origin = l.origins.pin(origin)
	}
	r.refs++
	return r
}

// pinAgain adds a reference to a record that the caller already holds.
func (l *ledger) pinAgain(r *record) *record {
	s := l.shard(r.hash)
	s.mu.Lock()
	r.refs++
	s.mu.Unlock()
	return r
}

func (l *ledger) release(r *record) {
	s := l.shard(r.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.refs--; r.refs > 0 {
		return
	}
	if r.last.Load() == nil {
		// Nothing to remember: base isn't above the floor.
		s.remove(r.hash, &l.origins)
		return
	}
	s.remember(r, l)
}

// note records an invalidation.
func (l *ledger) note(hash uint64, n notice) {
	l.amend(hash, func(gen uint64, r *record) *notice {
		n.gen, n.said, n.saidAt, n.prev = gen, gen, n.at, r.generation()
		last := r.last.Load()
		if last == nil {
			return &n
		}
		if last.expects() && last.etag == n.etag && last.query == n.query && last.gone == n.gone {
			n.prev = last.prev
		}
		if n.own == nil && last.own != nil && !last.own.isIn(&n) {
			n.own = last.own
		}
		return &n
	})
}

// amend replaces the newest notice of a record by another one.
func (l *ledger) amend(hash uint64, by func(gen uint64, r *record) *notice) {
	s := l.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(hash)
	if r == nil {
		r = s.add(hash)
	}
	r.last.Store(by(l.clock.Add(1), r))
	if r.refs == 0 {
		s.remember(r, l)
	}
}

// lastAt returns when the newest invalidation arrived, or may have.
func (r *record) lastAt() int64 {
	if n := r.last.Load(); n != nil {
		return n.at
	}
	at, _ := r.forgotten()
	return at
}

// forgotten returns when an invalidation of r that was forgotten arrived at the
// latest, and when an own write did; zero if there can't be one. What is forgotten
// later isn't about r.
func (r *record) forgotten() (at, ownAt int64) {
	if r.base == nil {
		return 0, 0
	}
	return r.base.at, r.base.ownAt
}

// peek returns the record if there is one.
func (l *ledger) peek(hash uint64) *record {
	s := l.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(hash)
}

// noteAll invalidates everything.
func (l *ledger) noteAll(at int64) {
	storeMax(&l.all, l.clock.Add(1))
	l.allAt.Store(at)
}

// remembered counts records, for tests and Stats.
func (l *ledger) remembered() (n int) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += s.count
		s.mu.Unlock()
	}
	return n
}

func (s *ledgerShard) find(hash uint64) *record {
	if len(s.buckets) == 0 {
		return nil
	}
	r := s.buckets[hash&uint64(len(s.buckets)-1)]
	for r != nil && r.hash != hash {
		r = r.next
	}
	return r
}

func (s *ledgerShard) add(hash uint64) *record {
	if s.count >= len(s.buckets) {
		old := s.buckets
		s.buckets = make([]*record, max(8, 2*len(old)))
		for _, r := range old {
			for r != nil {
				next := r.next
				s.link(r)
				r = next
			}
		}
	}
	r := &record{hash: hash, base: s.floor}
	s.link(r)
	s.count++
	return r
}

func (s *ledgerShard) link(r *record) {
	b := &s.buckets[r.hash&uint64(len(s.buckets)-1)]
	r.next, *b = *b, r
}

func (s *ledgerShard) remove(hash uint64, origins *originTable) {
	for p := &s.buckets[hash&uint64(len(s.buckets)-1)]; *p != nil; p = &(*p).next {
		if r := *p; r.hash == hash {
			*p = r.next
			s.count--
			if r.origin != nil {
				origins.release(r.origin)
			}
			return
		}
	}
}

// remember queues an unreferenced record and forgets the oldest one if there
// are too many.
func (s *ledgerShard) remember(r *record, l *ledger) {
	if s.queueN == l.perShard {
		s.forgetOldest(l)
	}
	if s.queueN == len(s.queue) {
		grown := make([]queuedRecord, min(max(8, 2*len(s.queue)), l.perShard))
		for i := range s.queueN {
			grown[i] = s.queue[(s.head+i)%len(s.queue)]
		}
		s.queue, s.head = grown, 0
	}
	s.serial++
	r.queued = s.serial
	s.queue[(s.head+s.queueN)%len(s.queue)] = queuedRecord{r.hash, s.serial}
	s.queueN++
}

func (s *ledgerShard) forgetOldest(l *ledger) {
	q := s.queue[s.head]
	s.head = (s.head + 1) % len(s.queue)
	s.queueN--
	r := s.find(q.hash)
	if r == nil || r.refs > 0 || r.queued != q.serial {
		return // gone, referenced again, or queued again later
	}
	n := r.last.Load()
	if l.sabotage.forgets {
		n = &notice{gen: n.gen, at: n.at, own: &ownWrite{at: n.at}}
	}
	s.floor = s.floor.under(n)
	s.remove(r.hash, &l.origins)
}

// expects reports whether the notice says which version there is now.
func (n *notice) expects() bool { return n.etag != "" || n.gone }

// naming reports whether the notice says that e is the version there is now,
// and since when. If an own write came last, what its answer named counts too.
func (n *notice) naming(e *entry) (named bool, gen uint64, at int64) {
	if w := n.own; w != nil && w.gen == n.gen && w.names(e) {
		return true, w.gen, w.at
	}
	if n.expects() && n.query == e.query() && n.names(e) {
		return true, n.said, n.saidAt
	}
	return false, 0, 0
}

// names compares versions only.
func (n *notice) names(e *entry) bool {
	if n.gone {
		return e.shape.status >= 400
	}
	return n.etag != "" && isVersion(opaqueTag(e.etag()), n.etag)
}

// isVersion reports whether a tag is that of the named version, or of another
// representation of it: "v7~json" is "v7" in JSON. Strong tags of
// representations differ (RFC 9110 section 8.8.1), and a notice speaks of the
// resource.
func isVersion(tag, named string) bool {
	if tag == named {
		return true
	}
	stem, quoted := strings.CutSuffix(named, `"`)
	if !quoted || len(stem) < 2 {
		return false
	}
	rest, ok := strings.CutPrefix(tag, stem)
	return ok && strings.HasPrefix(rest, "~")
}

// opaqueTag strips what weak comparison ignores (RFC 9110 section 8.8.3.2).
// A content coding on the way may have weakened the ETag.
func opaqueTag(etag string) string { return strings.TrimPrefix(etag, "W/") }

func storeMax(a *atomic.Uint64, n uint64) {
	for {
		have := a.Load()
		if have >= n || a.CompareAndSwap(have, n) {
			return
		}
	}
}
