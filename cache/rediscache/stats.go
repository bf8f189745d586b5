package rediscache

import "sync/atomic"

// Stats counts what a [Cache] did since it was made.
type Stats struct {
	Gets     uint64 // asked for, of which:
	Hits     uint64 // found
	Sets     uint64
	Deletes  uint64
	Errors   uint64 // commands that failed, timeouts included
	Skipped  uint64 // commands not sent because Redis was being left alone
	TooLarge uint64 // values over the limit, not stored or not taken
}

type counters struct {
	gets, hits, sets, deletes, errors, skipped, tooLarge atomic.Uint64
}

// Stats returns the counters.
func (c *Cache) Stats() Stats {
	return Stats{
		Gets: c.counts.gets.Load(), Hits: c.counts.hits.Load(),
		Sets: c.counts.sets.Load(), Deletes: c.counts.deletes.Load(),
		Errors: c.counts.errors.Load(), Skipped: c.counts.skipped.Load(), TooLarge: c.counts.tooLarge.Load(),
	}
}
