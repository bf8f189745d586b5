package cache

import "sync/atomic"

// Stats counts what a [Transport] did since it was made. Counters only grow;
// Bytes, Entries and Records are what is held now.
type Stats struct {
	Hits        uint64 // answered from the store, of which:
	Vouched     uint64 // because a scope vouched
	Stale       uint64 // stale, as allowed by the request, the origin or an error
	Typed       uint64 // as a decoded value, see [Transport.LoadTyped]
	Misses      uint64 // sent to the origin, nothing to validate
	Validations uint64 // sent to the origin with a validator, of which:
	NotModified uint64 // confirmed by a 304
	Collapsed   uint64 // answered by a question that somebody else had under way
	Refreshes   uint64 // background refreshes (stale-while-revalidate)
	Bypassed    uint64 // neither answered from the store nor stored
	Stored      uint64 // responses stored
	Rejected    uint64 // responses not stored because a notice or a later question overtook them
	Evictions   uint64 // entries dropped to stay within MaxBytes
	Notices     uint64 // invalidations taken in, of whatever kind
	Errors      uint64 // questions that ended in a transport error

	Bytes   int64 // memory accounted for
	Entries int   // stored responses
	Records int   // resources and groups whose generation is kept
}

// counters live in the store's shards, so that hits on different resources
// don't share a line.
type counters struct {
	hits, vouched, stale, typed, misses, validations, notModified, collapsed atomic.Uint64
	refreshes, bypassed, stored, rejected, evictions, errors                 atomic.Uint64
}

// Stats returns the counters. It is meant to be polled by a metrics exporter.
func (t *Transport) Stats() Stats {
	s := Stats{Notices: t.notices.Load(), Bytes: t.store.queue.size(), Records: t.ledger.remembered()}
	for i := range t.store.shards {
		sh := &t.store.shards[i]
		c := &sh.counts
		s.Hits += c.hits.Load()
		s.Vouched += c.vouched.Load()
		s.Stale += c.stale.Load()
		s.Typed += c.typed.Load()
		s.Misses += c.misses.Load()
		s.Validations += c.validations.Load()
		s.NotModified += c.notModified.Load()
		s.Collapsed += c.collapsed.Load()
		s.Refreshes += c.refreshes.Load()
		s.Bypassed += c.bypassed.Load()
		s.Stored += c.stored.Load()
		s.Rejected += c.rejected.Load()
		s.Evictions += c.evictions.Load()
		s.Errors += c.errors.Load()
		sh.mu.RLock()
		s.Entries += sh.count
		sh.mu.RUnlock()
	}
	return s
}
