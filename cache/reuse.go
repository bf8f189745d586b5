package cache

import "time"

// verdict says whether an entry may answer a request without asking.
type verdict struct {
	reuse   bool
	refresh bool // answer, and ask in the background
	ttl     int64
	detail  string // how, for Cache-Status
	fwd     string // why not, in the words of RFC 9211
}

// judge applies RFC 9111 section 4 and the ledger. A nil w means that the
// request has no wishes.
func (t *Transport) judge(e *entry, w *wishes, now int64) verdict {
	if s := t.standingOf(e); s != current {
		return verdict{fwd: "stale", detail: s.detail()}
	}
	p := &e.shape.policy
	age := now - e.birth
	v := verdict{reuse: true, ttl: e.lifetime - age, detail: "fresh"}
	// Whoever vouches for an entry has taken the place of the origin that
	// must-revalidate wants to be asked: it would have told of a change.
	// no-cache goes further, it asks for the origin's word each time.
	if until := t.vouched(e, now); until > 0 {
		v.ttl, v.detail = max(v.ttl, until-now), "vouched"
	}
	switch {
	case p.noCache:
		return verdict{fwd: "stale", ttl: v.ttl, detail: "no-cache"}
	case w == nil:
	case w.noCache:
		return verdict{fwd: "request", ttl: v.ttl}
	case w.minFresh != absent && v.ttl < w.minFresh*int64(time.Second):
		return verdict{fwd: "request", ttl: v.ttl}
	case w.maxAge != absent && age > w.maxAge*int64(time.Second) || w.maxAge == 0:
		// RFC 8246: what is immutable hasn't changed while it is fresh.
		if (!p.immutable || v.ttl <= 0) && !w.allowStale(p, min(v.ttl, w.maxAge*int64(time.Second)-age)) {
			return verdict{fwd: "request", ttl: v.ttl}
		}
	}
	if v.ttl > 0 {
		return v
	}
	switch {
	case p.mustRevalidate:
	case w != nil && w.allowStale(p, v.ttl):
		v.detail = "max-stale"
		return v
	case w != nil && (w.maxAge != absent || w.maxStale != absent):
		// Section 5.2.1.1: who names a max-age doesn't want it stale; who
		// names a max-stale doesn't want it staler.
	case p.swr != absent && -v.ttl < p.swr*int64(time.Second):
		v.detail, v.refresh = "stale-while-revalidate", true
		return v
	}
	return verdict{fwd: "stale", ttl: v.ttl}
}

// takes reports whether the request takes an answer that somebody else's question
// brought, as old as it is.
func (t *Transport) takes(w *wishes, e *entry) bool {
	if *w == noWishes {
		return true
	}
	now := t.nowNano()
	return (w.maxAge == absent || now-e.birth <= w.maxAge*int64(time.Second)) &&
		(w.minFresh == absent || t.judge(e, nil, now).ttl >= w.minFresh*int64(time.Second))
}

// allowStale applies the request's max-stale.
func (w *wishes) allowStale(p *policy, ttl int64) bool {
	return w.maxStale != absent && !p.mustRevalidate && -ttl <= w.maxStale*int64(time.Second)
}

// staleOnError reports whether e may answer because the origin failed
// (RFC 5861 section 4), or because, with Options.StaleIfDisconnected, it can't
// be reached (RFC 9111 section 4.2.4). Nothing that a notice has overtaken does.
func (t *Transport) staleOnError(e *entry, w *wishes, now int64, disconnected bool) (verdict, bool) {
	if e == nil || t.standingOf(e) != current {
		return verdict{}, false
	}
	p := &e.shape.policy
	limit := p.sie
	if w != nil {
		limit = max(limit, w.sie)
		if w.noCache {
			return verdict{}, false
		}
	}
	if disconnected && t.disconnected > 0 {
		limit = max(limit, t.disconnected)
	}
	ttl := e.lifetime - (now - e.birth)
	if limit == absent || p.noCache || p.mustRevalidate || -ttl > limit*int64(time.Second) {
		return verdict{}, false
	}
	return verdict{reuse: true, ttl: ttl, detail: "stale-if-error"}, true
}

func (s standing) detail() string {
	switch s {
	case doubted:
		return "doubted"
	case superseded:
		return "invalidated"
	}
	return ""
}
