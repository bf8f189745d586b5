package auth

import (
	"math"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goswale/swale/resn"
)

// ClockTolerance is how far the clocks of an issuer's processes may be apart.
// A change refuses tokens that were issued up to so long after it; an issuer
// dates those that reflect the change later than that.
const ClockTolerance = 500 * time.Millisecond

// SessionPath and AccountPath are where an issuer's sessions and accounts are,
// below its identifier: a notice about one of them is about its tokens.
const (
	SessionPath = "/sessions/" // and the session's id
	AccountPath = "/accounts/" // and the application, a slash and the subject
)

// revocations is what notices say about tokens that were issued.
type revocations struct {
	issuer   string
	lifetime time.Duration // of any token
	limit    int

	// changes grows with every notice: who has looked since needn't again.
	changes atomic.Uint64

	mu     sync.RWMutex
	denied map[string]denial // by path below the issuer
	floor  time.Time         // every token that was issued until then is refused
	swept  time.Time
}

// denial refuses the tokens of one session or account that were issued until
// a time.
type denial struct {
	until time.Time // issued until then
	kept  time.Time // no such token is valid any more after that
}

// take takes a notice in. It reports whether it was about a session or an
// account, and what is refused from now on, which may be nothing.
func (r *revocations) take(e resn.Event, now time.Time) (ours bool, gone []Revocation) {
	path, ok := strings.CutPrefix(e.Href, r.issuer)
	if !ok || !strings.HasPrefix(path, SessionPath) && !strings.HasPrefix(path, AccountPath) {
		return false, nil
	}
	if e.Type == resn.Create || e.Type == resn.Noop {
		return true, nil
	}
	// A notice can refuse what was issued, not what will be.
	at := e.Time
	if at.IsZero() || at.After(now.Add(maxSkew)) {
		at = now
	}
	d := denial{until: at.Add(ClockTolerance), kept: now.Add(r.lifetime + 2*maxSkew)}
	if e.Type == resn.Delete {
		d.until = time.Unix(math.MaxInt32, 0)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.denied == nil {
		r.denied = make(map[string]denial)
	}
	if old, ok := r.denied[path]; ok && old.until.After(d.until) {
		d.until = old.until
	}
	r.denied[path] = d
	gone = []Revocation{revocation(path, d.until)}
	if len(r.denied) > r.limit && r.forget(now) {
		gone = append(gone, Revocation{Everybody: true, Until: r.floor})
	}
	r.changes.Add(1)
	return true, gone
}

// forget makes room: first of what no valid token can be concerned by any
// more, then of everything, at the price that all tokens issued so far have to
// be renewed: then it reports true.
func (r *revocations) forget(now time.Time) bool {
	if now.Sub(r.swept) > time.Second {
		r.swept = now
		for path, d := range r.denied {
			if now.After(d.kept) {
				delete(r.denied, path)
			}
		}
	}
	if len(r.denied) <= r.limit {
		return false
	}
	clear(r.denied)
	r.floor = now.Add(ClockTolerance)
	return true
}

// refused reports whether a token was revoked.
func (r *revocations) refused(c *Claims) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !c.IssuedAt.After(r.floor) {
		return true
	}
	if len(r.denied) == 0 {
		return false
	}
	var room [192]byte
	if c.Session != "" {
		path := append(append(room[:0], SessionPath...), url.PathEscape(c.Session)...)
		if d, ok := r.denied[string(path)]; ok && !c.IssuedAt.After(d.until) {
			return true
		}
	}
	path := append(append(room[:0], AccountPath...), url.PathEscape(c.Application)...)
	path = append(append(path, '/'), url.PathEscape(c.Subject)...)
	d, ok := r.denied[string(path)]
	return ok && !c.IssuedAt.After(d.until)
}

// AccountHref returns the URL of an account, which notices about it name.
func AccountHref(issuer, application, subject string) string {
	return issuer + AccountPath + url.PathEscape(application) + "/" + url.PathEscape(subject)
}

// SessionHref returns the URL of a session, which notices about it name.
func SessionHref(issuer, id string) string { return issuer + SessionPath + url.PathEscape(id) }
