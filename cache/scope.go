package cache

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Scope is a voucher for every entry whose response names it, as in
//
//	Cache-Control: max-age=5, resn="restaurants"
//
// An entry is vouched for if it was filled or validated while its scope was
// live, the scope wasn't reset since, and it is live now. A response that
// depends on several topics names all of them, resn="orders restaurants", and
// is vouched for if each of them vouches. Until somebody calls
// Vouch no scope is live and its entries obey HTTP's own freshness.
//
// A Scope is safe for concurrent use.
type Scope struct {
	name   string
	ledger *ledger
	clock  *steadyClock
	until  atomic.Int64  // live before this
	reset  atomic.Uint64 // ledger's number of the last Reset
	heard  atomic.Int64  // changes made before it were applied; zero if nobody says

	mu      sync.Mutex // held while changing
	since   uint64     // ledger's number from when it is live without a gap
	sinceAt int64      // the time of that
}

// Name returns the name that responses use.
func (s *Scope) Name() string { return s.name }

// Vouch says that every change made up to now was applied, and that entries
// of the scope may be reused without asking until the given time. It never
// shortens an earlier promise; [Scope.Suspend] and [Scope.Reset] do.
func (s *Scope) Vouch(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.nano()
	if s.until.Load() <= now {
		s.since, s.sinceAt = s.ledger.clock.Add(1), now
	}
	if n := s.clock.until(until); n > s.until.Load() {
		s.until.Store(n)
	}
}

// Heard says that every change made before upTo, by this process's clock, was
// applied, or if it was missed has been answered for by [Scope.Reset]. It never
// goes back.
//
// That is how the cache knows that the notice of an own write must have come,
// if there is one: until then no answer is reused that may be from a replica
// which hasn't seen the write. While a scope that never calls Heard is live,
// five seconds count instead.
func (s *Scope) Heard(upTo time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard.Store(max(s.heard.Load(), s.clock.until(upTo)))
}

// Suspend says that nobody vouches from now. A later [Scope.Vouch] restores
// everything: it says that nothing was missed in between.
func (s *Scope) Suspend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until.Store(0)
}

// Reset says that notices may have been missed. Entries vouched for so far
// fall back to HTTP's own freshness, and must be revalidated (a 304 does)
// before they are vouched for again.
func (s *Scope) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The order matters: who sees the scope live again must see the reset
	// too. See entry.vouched, which reads them the other way round.
	s.until.Store(0)
	s.reset.Store(s.ledger.clock.Add(1))
}

// Live reports whether the scope is vouched for now.
func (s *Scope) Live() bool { return s.clock.nano() < s.until.Load() }

// liveSince reports whether the scope is live and has been without a gap since
// before the question with that stamp was sent, and since when.
func (s *Scope) liveSince(stamp uint64, now int64) (since int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sinceAt, now < s.until.Load() && s.since <= stamp
}

// vouchers are the scopes that a response names. It is vouched for if all of
// them vouch: a document that embeds others depends on their topics too.
type vouchers []*Scope

// until is when the first of them stops vouching; zero if there are none.
func (v vouchers) until() (until int64) {
	for i, s := range v {
		if u := s.until.Load(); i == 0 || u < until {
			until = u
		}
	}
	return until
}

// reset is the number of the newest Reset.
func (v vouchers) reset() (reset uint64) {
	for _, s := range v {
		reset = max(reset, s.reset.Load())
	}
	return reset
}

// heard is up to when all of them have told of every change; zero if one of
// them never says so.
func (v vouchers) heard() (upTo int64) {
	for i, s := range v {
		if h := s.heard.Load(); i == 0 || h < upTo {
			upTo = h
		}
	}
	return upTo
}

// liveSince is Scope.liveSince for all of them.
func (v vouchers) liveSince(stamp uint64, now int64) (since int64, ok bool) {
	for _, s := range v {
		at, ok := s.liveSince(stamp, now)
		if !ok {
			return 0, false
		}
		since = max(since, at)
	}
	return since, len(v) > 0
}

func (v vouchers) String() string {
	var names []string
	for _, s := range v {
		names = append(names, s.name)
	}
	return strings.Join(names, " ")
}

// maxNamedScopes bounds the scopes that exist only because a response names
// them. What exceeds it is never vouched for.
const maxNamedScopes = 4096

// scopes is the set of scopes that a Transport knows.
type scopes struct {
	mu     sync.Mutex
	byName map[string]*Scope
	ledger *ledger
	clock  *steadyClock
}

// get returns the scope of that name. For one that only a response names it
// may return nil.
func (s *scopes) get(name string, named bool) *Scope {
	s.mu.Lock()
	defer s.mu.Unlock()
	scope := s.byName[name]
	if scope == nil {
		if named && len(s.byName) >= maxNamedScopes {
			return nil
		}
		scope = &Scope{name: name, ledger: s.ledger, clock: s.clock}
		s.byName[name] = scope
	}
	return scope
}

// find returns the scope of that name if there is one.
func (s *scopes) find(name string) *Scope {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byName[name]
}
