package cache

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
)

// ask is a reader's request.
type ask struct {
	req         *http.Request
	method      string // GET or HEAD
	key         string
	hash        uint64
	wishes      wishes
	conditional bool     // If-None-Match or If-Modified-Since
	byteRange   string   // Range
	direct      bool     // must be answered by the origin, and to this reader only
	attempts    int      // how often somebody else's answer couldn't be used
	since       uint64   // ledger's number from when he came
	vary        []string // the fields by which the URI varies, as far as is known
}

func (t *Transport) newAsk(req *http.Request) (*ask, bool) {
	key, ok := appendURI(nil, req.URL, req.Host)
	if !ok || req.Body != nil && req.Body != http.NoBody || len(req.Header["Upgrade"]) > 0 {
		return nil, false
	}
	key = t.appendIdentity(key, req)
	if len(key) > maxKey {
		return nil, false
	}
	h := req.Header
	a := &ask{req: req, method: req.Method, key: string(key), wishes: parseWishes(h), since: t.ledger.clock.Load()}
	if a.method == "" {
		a.method = http.MethodGet
	}
	a.hash = t.hash(a.key)
	a.conditional = len(h["If-None-Match"]) > 0 || len(h["If-Modified-Since"]) > 0
	if lines := h["Range"]; len(lines) > 0 && a.method == http.MethodGet {
		a.byteRange = strings.Join(lines, ",")
	}
	a.direct = len(h["If-Match"]) > 0 || len(h["If-Unmodified-Since"]) > 0
	return a, true
}

// maxKey bounds the length of a URI that is cached.
const maxKey = 16 << 10

// maxAttempts is how often a reader waits for an answer that turns out not to
// be for him, such as another variant or a body that was cut short, before he
// goes alone. Whoever waits for what can't be stored at all goes alone after the
// first time, see soloTable: another round would only add to what he waits.
const maxAttempts = 3

// get answers a GET or HEAD that isn't a plain hit.
func (t *Transport) get(req *http.Request) (*http.Response, error) {
	a, ok := t.newAsk(req)
	if !ok {
		return t.bypass(req)
	}
	for {
		e, v := t.find(a)
		if v.reuse && !a.direct {
			if resp := t.answer(a, e, v); resp != nil {
				return resp, nil
			}
			v = verdict{fwd: "partial"}
		}
		if a.wishes.onlyIfCached {
			return t.gatewayTimeout(a), nil
		}
		if err := req.Context().Err(); err != nil {
			return nil, err // who is gone, as while the second level was asked, asks nobody
		}
		if a.direct || a.method == http.MethodHead || a.byteRange != "" || a.wishes.noStore {
			return t.ask(a, e, v)
		}
		alone := a.wishes.noCache || a.wishes.maxAge == 0 || a.attempts >= maxAttempts || a.conditional && (e == nil || !e.hasValidator()) ||
			t.solo.is(a.hash, t.nowNano())
		fl, leads := t.board(a, e, alone)
		switch {
		case fl == nil: // stored meanwhile
		case leads:
			return t.lead(a, fl, e, v)
		default:
			resp, again, err := t.wait(a, fl, e, v)
			if !again {
				return resp, err
			}
		}
	}
}

// find looks for the entry of a request and judges it.
func (t *Transport) find(a *ask) (*entry, verdict) {
	sh := t.store.shard(a.hash)
	look := func() (e, other *entry) {
		sh.mu.RLock()
		defer sh.mu.RUnlock()
		return sh.find(a.hash, a.key, a.req.Header)
	}
	e, other := look()
	if e == nil && t.backing != nil {
		t.readBacking(a)
		e, other = look()
	}
	switch {
	case e != nil:
		return e, t.judge(e, &a.wishes, t.nowNano())
	case other != nil:
		return nil, verdict{fwd: "vary-miss"}
	}
	return nil, verdict{fwd: "uri-miss"}
}

// answer serves an entry, or nothing if it can't be cut as wanted.
func (t *Transport) answer(a *ask, e *entry, v verdict) *http.Response {
	return t.answerSaying(a, e, v, v.appendTo(nil))
}

// standIn serves an entry in place of a failure: the origin was asked, which is
// no hit (RFC 9211 section 2.1).
func (t *Transport) standIn(a *ask, e *entry, v verdict, m missStatus) *http.Response {
	m.detail = v.detail
	return t.answerSaying(a, e, v, m.text())
}

func (t *Transport) answerSaying(a *ask, e *entry, v verdict, status []byte) *http.Response {
	h := a.req.Header
	var s span
	kind := rangeIgnore
	if a.byteRange != "" && e.shape.status == http.StatusOK && (t.ifRange(h, e) || t.ledger.sabotage.ranges) {
		if s, kind = parseRange(a.byteRange, int64(len(e.body()))); kind == rangeMany {
			return nil
		}
	}
	resp := t.serveNow(a.req, e, status)
	t.count(e, v)
	if v.refresh {
		t.refresh(a, e)
	}
	return t.fit(a, e, resp, s, kind)
}

// fit applies the reader's precondition and range to a response from the
// store.
func (t *Transport) fit(a *ask, e *entry, resp *http.Response, s span, kind rangeKind) *http.Response {
	switch {
	case e.shape.status < 200 || e.shape.status > 299: // RFC 9110 section 13.2.1
	case a.conditional && t.notModified(a.req.Header, e.etag(), e.field("Last-Modified"), e.field("Date")):
		return strip(resp)
	case kind != rangeIgnore:
		return slice(resp, e, s, kind)
	}
	return resp
}

// count notes a hit.
func (t *Transport) count(e *entry, v verdict) {
	e.visit()
	c := &t.store.shard(e.hash).counts
	c.hits.Add(1)
	switch {
	case v.detail == "vouched":
		c.vouched.Add(1)
	case v.ttl <= 0:
		c.stale.Add(1)
	}
}

// board joins a flight, or makes one with this reader as its leader. It
// returns nil if a usable entry has appeared meanwhile.
func (t *Transport) board(a *ask, e *entry, alone bool) (fl *flight, leads bool) {
	if alone {
		fl = t.fly(a, e, 1)
		fl.launch()
		return fl, true
	}
	sh := t.store.shard(a.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now, other := sh.find(a.hash, a.key, a.req.Header)
	if now != nil && now != e && t.judge(now, nil, t.nowNano()).reuse {
		return nil, false
	}
	if other != nil {
		a.vary = other.shape.vary
	}
	if fl = sh.flight(a); fl != nil {
		fl.join()
		return fl, false
	}
	fl = t.fly(a, e, 1)
	sh.register(fl, a.vary)
	fl.launch()
	return fl, true
}

// lead waits for the header and takes the body as it comes.
func (t *Transport) lead(a *ask, fl *flight, e *entry, v verdict) (*http.Response, error) {
	ctx := a.req.Context()
	select {
	case <-fl.headed:
	case <-ctx.Done():
		fl.abandonLead()
		return nil, context.Cause(ctx)
	}
	if fl.err != nil || fl.resp != nil && serverError(fl.resp.StatusCode) {
		if sv, ok := t.staleOnError(e, &a.wishes, t.nowNano(), fl.err != nil); ok {
			fl.discard()
			fl.leave()
			return t.standIn(a, e, sv, missStatus{fwd: v.fwd, status: fl.status}), nil
		}
	}
	if fl.err != nil {
		fl.leave()
		return nil, fl.err
	}
	m := missStatus{fwd: v.fwd, status: fl.status, detail: v.detail}
	if fl.resp == nil {
		fl.leave()
		m.stored = fl.kept
		resp := t.serveNow(a.req, fl.leads, m.text())
		maps.Copy(resp.Header, fl.own)
		return t.fit(a, fl.leads, resp, span{}, rangeIgnore), nil
	}
	m.stored = fl.spool != nil && !fl.failed
	resp := fl.resp
	resp.Request = a.req
	withStatus(resp, m, fl.received)
	if fl.spool == nil {
		resp.Body = t.watched(ctx, fl, resp.Body)
	} else {
		r := &spoolReader{spool: fl.spool, ctx: ctx, gone: fl.leave}
		r.watch()
		resp.Body = r
	}
	if a.conditional && fl.validates && resp.StatusCode == http.StatusOK &&
		t.notModified(a.req.Header, resp.Header.Get("Etag"), resp.Header.Get("Last-Modified"), resp.Header.Get("Date")) {
		return strip(resp), nil
	}
	return resp, nil
}

// wait waits for what somebody else's question brings. It reports again if
// that can't be used by this reader.
func (t *Transport) wait(a *ask, fl *flight, e *entry, v verdict) (resp *http.Response, again bool, err error) {
	ctx := a.req.Context()
	select {
	case <-fl.done:
	case <-ctx.Done():
		fl.leave()
		return nil, false, context.Cause(ctx)
	}
	defer fl.leave()
	if fl.err != nil || serverError(fl.status) {
		if sv, ok := t.staleOnError(e, &a.wishes, t.nowNano(), fl.err != nil); ok {
			return t.standIn(a, e, sv, missStatus{fwd: v.fwd, status: fl.status, collapsed: true}), false, nil
		}
	}
	if fl.err != nil {
		if errors.Is(fl.err, context.Canceled) {
			return nil, true, nil // ended by Close, not by the origin
		}
		return nil, false, fl.err
	}
	got := fl.entry
	if got == nil || !got.matches(a.req.Header) {
		a.attempts++
		switch {
		case got != nil:
			a.vary = got.shape.vary // he asks for his own variant next
		case serverError(fl.status) && !fl.failed:
			a.attempts = maxAttempts // the origin forbids to share that it fails
		}
		return nil, true, nil
	}
	if !t.takes(&a.wishes, got) {
		a.attempts = maxAttempts // it took its time
		return nil, true, nil
	}
	// No notice for the resource lay between the question and this reader, or
	// he wouldn't have joined; one that came later doesn't concern him. Which
	// groups the answer is in wasn't known for sure.
	if fl.missedGroup(got, a.since) {
		return nil, true, nil
	}
	t.store.shard(a.hash).counts.collapsed.Add(1)
	got.visit()
	m := missStatus{fwd: v.fwd, status: fl.status, collapsed: true, detail: v.detail}
	resp = t.serveNow(a.req, got, m.text())
	return t.fit(a, got, resp, span{}, rangeIgnore), false, nil
}

// refresh asks in the background, unless somebody does already.
func (t *Transport) refresh(a *ask, e *entry) {
	if !t.flying.mayRefresh() {
		return
	}
	sh := t.store.shard(a.hash)
	sh.mu.Lock()
	a.vary = e.shape.vary
	if sh.flight(a) != nil {
		sh.mu.Unlock()
		t.flying.unuse()
		return
	}
	own := *a
	own.req = a.req.Clone(context.WithoutCancel(a.req.Context()))
	own.wishes, own.method = noWishes, http.MethodGet
	own.req.Method, own.byteRange = http.MethodGet, ""
	for _, name := range [...]string{"Range", "If-Range", "Cache-Control", "Pragma", "If-None-Match", "If-Modified-Since"} {
		delete(own.req.Header, name)
	}
	fl := t.fly(&own, e, 0)
	sh.register(fl, a.vary)
	fl.launch()
	sh.mu.Unlock()
	sh.counts.refreshes.Add(1)
}

func serverError(status int) bool {
	switch status {
	case 500, 502, 503, 504:
		return true
	}
	return false
}
