package cache

import (
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Transport is a private HTTP cache as an [http.RoundTripper]. It is safe for
// concurrent use. Make one with [New].
type Transport struct {
	next            http.RoundTripper
	partition       func(*http.Request) string
	shareAuthorized bool
	backing         *secondLevel // nil without a Backing
	directive       string
	target          string
	vouchLimit      time.Duration
	disconnected    int64 // seconds, see Options.StaleIfDisconnected
	maxEntry        int64
	clock           *steadyClock
	logger          *slog.Logger

	ledger  *ledger
	store   *store
	scopes  scopes
	shapes  shapes
	solo    soloTable
	sayings sayings
	flying  flying
	notices atomic.Uint64

	announcer announcer
}

// New returns a cache in front of next; nil means [http.DefaultTransport].
//
// Put what adds to a request, such as a token, outside of the cache, so that
// the cache sees it and keeps identities apart; put what retries, balances or
// dials inside.
func New(next http.RoundTripper, opts *Options) *Transport {
	if next == nil {
		next = http.DefaultTransport
	}
	o := Options{}
	if opts != nil {
		o = *opts
	}
	o.setDefaults()
	l := newLedger(o.MaxRecords)
	t := &Transport{
		next: next, partition: o.Partition, shareAuthorized: o.ShareAuthorized,
		directive: o.Directive, target: o.Target, vouchLimit: o.VouchLimit, disconnected: int64(o.StaleIfDisconnected.Seconds()), maxEntry: o.MaxEntryBytes,
		clock: newSteadyClock(o.Clock), logger: o.Logger,
		ledger: l, store: newStore(l, o.MaxBytes),
	}
	if o.Backing != nil {
		t.backing = newSecondLevel(o.Backing, l)
	}
	t.scopes = scopes{byName: make(map[string]*Scope), ledger: l, clock: t.clock}
	t.shapes.byKey = make(map[string]*shape)
	t.announcer.call = o.OnScope
	return t
}

// RoundTrip implements [http.RoundTripper]. The response says in its
// Cache-Status field (RFC 9211) how it came about.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL == nil {
		return t.next.RoundTrip(req) // which says what it thinks of that
	}
	switch req.Method {
	case "", http.MethodGet, http.MethodHead:
		if resp := t.hit(req); resp != nil {
			return resp, nil
		}
		return t.get(req)
	}
	if safeMethod(req.Method) {
		return t.bypass(req)
	}
	return t.write(req)
}

// hit answers a plain request from the store if that takes no more than
// looking. Everything else is for get.
func (t *Transport) hit(req *http.Request) *http.Response {
	if more, _ := special(req.Header); more || req.Body != nil && req.Body != http.NoBody {
		return nil
	}
	var buf [384]byte
	key, ok := appendURI(buf[:0], req.URL, req.Host)
	if !ok {
		return nil
	}
	key = t.appendIdentity(key, req)
	e := t.store.lookup(t.store.hasher.bytes(key), key, req.Header)
	if e == nil {
		return nil
	}
	now := t.nowNano()
	v := t.judge(e, nil, now)
	if !v.reuse || v.refresh {
		return nil
	}
	t.count(e, v)
	said := t.sayings.of(e.seconds(now), v)
	return t.serve(req, e, said.text[:said.cut], said.text[said.cut:])
}

// Scope returns the scope of that name. Nobody vouches for it at first.
func (t *Transport) Scope(name string) *Scope { return t.scopes.get(name, false) }

// maxAnnounced bounds the pairs of origin and scope that OnScope hears of.
const maxAnnounced = 4096

// announcer calls OnScope, one call at a time and without a lock held, so
// that it may use the Transport.
type announcer struct {
	call    func(origin, scope string)
	mu      sync.Mutex
	known   map[[2]string]struct{}
	waiting [][2]string
	busy    bool
}

func (t *Transport) announce(origin string, scopes []string) {
	n := &t.announcer
	if n.call == nil || len(scopes) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, scope := range scopes {
		pair := [2]string{origin, scope}
		if _, known := n.known[pair]; known || len(n.known) >= maxAnnounced {
			continue
		}
		if n.known == nil {
			n.known = make(map[[2]string]struct{})
		}
		n.known[pair] = struct{}{}
		n.waiting = append(n.waiting, pair)
	}
	if n.busy {
		return
	}
	n.busy = true
	for len(n.waiting) > 0 {
		pair := n.waiting[0]
		n.waiting = n.waiting[1:]
		n.mu.Unlock()
		n.call(pair[0], pair[1])
		n.mu.Lock()
	}
	n.busy = false
}

// CloseIdleConnections closes those of the transport inside, for
// [http.Client.CloseIdleConnections].
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Close ends what runs without a reader, background refreshes and bodies that
// nobody reads any more, and waits for it. Requests may still be made; they
// start nothing that outlives them. Close may be called twice.
func (t *Transport) Close() error {
	for _, fl := range t.flying.close() {
		<-fl.ended
	}
	if t.backing != nil {
		t.backing.close()
	}
	return nil
}

func (t *Transport) standingOf(e *entry) standing { return t.ledger.standing(e) }

func (t *Transport) hash(key string) uint64 { return t.store.hasher.string(key) }

func (t *Transport) now() time.Time { return t.clock.read() }

func (t *Transport) nowNano() int64 { return t.clock.nano() }
