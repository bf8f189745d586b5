package cache

import "time"

// Scope is a voucher for every entry whose response names it. It is safe for
// concurrent use.
type Scope struct{}

// Vouch says that every change made up to now was applied, and that entries
// of the scope may be reused without asking until the given time. It never
// shortens an earlier promise; [Scope.Suspend] and [Scope.Reset] do.
func (s *Scope) Vouch(until time.Time) {}

// Suspend says that nobody vouches from now. A later [Scope.Vouch] restores
// everything: it says that nothing was missed in between.
func (s *Scope) Suspend() {}

// Reset says that notices may have been missed. Entries vouched for so far
// must be revalidated before they are again.
func (s *Scope) Reset() {}

// Change is one notice.
type Change struct {
	URL   string // what changed, absolute
	ETag  string // the version it has now, as in the ETag field; empty if unknown
	Scope string // the scope (topic) that announced it
	Gone  bool   // it was deleted
}
