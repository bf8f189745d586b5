package cache

import (
	"net/http"
	"net/url"
	"slices"
	"time"
)

// A client that has written wants to see what he wrote. What was stored or
// under way before is ended by the write itself. What is asked for afterwards
// may come from a replica that hasn't seen the write, and until the notice of
// it arrives nothing else tells. So until it must have arrived, answers are
// good for who asked only, unless they have the ETag that the write's answer
// named.

// The same holds for what shows it among other things, its lists and what embeds
// it, as far as the cache knows them before the notice does: by the group that is
// named like its path, by the groups that its stored responses are in, and by the
// topics that they, or the write's answer, name.

// lagTime is how long a replica of an owner that doesn't say by how much its
// reads lag is mistrusted where nothing else tells.
const lagTime = 5 * time.Second

// ownWrite is what is known of a resource from a write through this Transport.
// It is immutable.
type ownWrite struct {
	sent  uint64 // before it was sent
	gen   uint64 // when it ended
	at    int64  // the same by the clock
	etag  string // opaque part of the version that it made, if its answer says so
	query string // of the URI that it was about, with its "?"
	gone  bool   // it was a deletion
}

// names reports whether e is what the write made.
func (w *ownWrite) names(e *entry) bool {
	if w.query != e.query() {
		return false
	}
	if w.gone {
		return e.shape.status >= 400
	}
	return w.etag != "" && w.etag == opaqueTag(e.etag())
}

// isIn reports whether a notice is known to be the one of this write.
func (w *ownWrite) isIn(n *notice) bool {
	return w.query == n.query && (w.etag != "" && w.etag == n.etag || w.gone && n.gone)
}

// noteOwn records an own write. What a notice named stays named: it may be the
// one of this write, which was faster than the write's answer. If it isn't,
// then another notice follows, or notices were missed; so it stays only while
// somebody listens.
//
// Of writes that were under way at the same time nobody knows which one came last,
// so the version that one of them made need not be the one there is.
func (l *ledger) noteOwn(hash uint64, w ownWrite) {
	l.amend(hash, func(gen uint64, r *record) *notice {
		w.gen = gen
		if last := r.last.Load(); r.generation() > w.sent && (last == nil || !w.isIn(last)) {
			w.etag, w.gone = "", false
		}
		n := &notice{gen: gen, prev: gen, at: w.at, own: &w}
		last := r.last.Load()
		if last == nil || last.scope == nil || !last.scope.Live() || l.sabotage.erases {
			return n
		}
		n.etag, n.query, n.gone, n.scope = last.etag, last.query, last.gone, last.scope
		n.said, n.saidAt = last.said, last.saidAt
		if w.isIn(n) {
			n.own = nil
		}
		return n
	})
}

// unseen reports whether e, which shows what a group is about, may come from a
// replica that hasn't seen an own write to that.
func (f *fill) unseen(g *record, e *entry) bool {
	if _, at := g.forgotten(); at > 0 && !f.settled(&ownWrite{at: at}, e) {
		return true // one that was forgotten may be one of this
	}
	n := g.last.Load()
	return n != nil && n.own != nil && !f.settled(n.own, e)
}

// settled reports whether an answer that was asked for after an own write can't
// be from before it, or whether that is for notices to tell.
func (f *fill) settled(w *ownWrite, e *entry) bool {
	t := f.t
	if w.names(e) {
		return true
	}
	s := e.shape.scopes
	live := s.until() > t.nowNano()
	if heard := s.heard(); heard > 0 && live {
		return heard > w.at
	}
	// Nobody tells. HTTP asks no more than that the write invalidates, but
	// another version than the one that it made is worth a second look.
	known := w.query == e.query() && (w.etag != "" || w.gone)
	return !live && !known || t.clock.at(f.requested)-w.at >= int64(lagTime)
}

// invalidateAfter applies RFC 9111 section 4.4 and RFC 9875 section 3 to the
// outcome of an unsafe request, which was sent after stamp was taken. It runs before
// the response is handed out.
func (t *Transport) invalidateAfter(req *http.Request, resp *http.Response, stamp uint64) {
	b, ok := appendURI(nil, req.URL, req.Host)
	if !ok || t.ledger.sabotage.writes || t.ledger.sabotage.failures && resp == nil {
		return
	}
	sent := string(b)
	if resp == nil || resp.StatusCode == http.StatusBadGateway || resp.StatusCode == http.StatusGatewayTimeout {
		t.invalidateOwn(sent, req, nil, ownWrite{sent: stamp}) // nobody knows what the origin did
		return
	}
	origin := originOf(sent)
	if groups, ok := sfStrings(resp.Header["Cache-Group-Invalidation"]); ok {
		t.InvalidateGroup(origin, groups...)
	}
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return
	}
	target := normalForm(sent)
	location := t.reference(req, resp, "Location", origin)
	content := t.reference(req, resp, "Content-Location", origin)
	w := ownWrite{sent: stamp, gone: req.Method == http.MethodDelete && (resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusNoContent)}
	about := described(req, resp, target, location, content)
	if about == target {
		w.etag = opaqueTag(resp.Header.Get("Etag"))
	}
	t.invalidateOwn(sent, req, parsePolicy(resp.Header, t.target, t.directive).scopes, w)
	if t.ledger.sabotage.references {
		return
	}
	for _, uri := range [...]string{location, content} {
		if uri == "" || uri == target {
			continue
		}
		w := ownWrite{sent: stamp}
		if about == uri {
			w.etag = opaqueTag(resp.Header.Get("Etag"))
		}
		t.wrote(uri, w)
	}
}

// reference returns the URI that a field of a response names, or nothing if it
// is of another origin: a host can't speak for another one.
func (t *Transport) reference(req *http.Request, resp *http.Response, name, origin string) string {
	value := resp.Header.Get(name)
	ref, err := url.Parse(value)
	if err != nil || value == "" {
		return ""
	}
	base := *req.URL
	if req.Host != "" {
		base.Host = req.Host
	}
	b, ok := appendURI(nil, base.ResolveReference(ref), "")
	if !ok || originOf(string(b)) != origin {
		return ""
	}
	return normalForm(string(b))
}

// described returns which of the URIs the ETag of a write's response is about,
// or nothing if that isn't for sure (RFC 9110 sections 8.8, 9.3.4, 15.3.2).
func described(req *http.Request, resp *http.Response, target, location, content string) string {
	created := resp.StatusCode == http.StatusCreated
	switch {
	case !created && resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNoContent:
		return ""
	case created && resp.Header.Get("Location") != "":
		return location
	case resp.Header.Get("Content-Location") != "":
		return content
	case req.Method == http.MethodPut, req.Method == http.MethodPatch:
		return target
	}
	return ""
}

// invalidateOwn invalidates the target of an own write, the groups that the
// stored responses of that very URI are in (RFC 9875 section 2.2), and those of
// the topics that will announce it: named says which the write's answer names.
func (t *Transport) invalidateOwn(sent string, req *http.Request, named []string, w ownWrite) {
	key := string(t.appendIdentity([]byte(sent), req))
	origin := originOf(sent)
	for _, topic := range named {
		t.wroteGroup(t.ledger.groupHash(origin, topic))
	}
	for _, g := range t.groupsOf(key) {
		t.wroteGroup(g)
	}
	t.wrote(sent, w)
	if t.backing != nil {
		t.backing.forget(req.Context(), key, t.hash(key))
	}
}

// wrote invalidates a URI that an own write was about.
func (t *Transport) wrote(uri string, w ownWrite) {
	origin, path, query := splitKey(uri)
	w.at, w.query = t.nowNano(), query
	t.notices.Add(1)
	t.ledger.noteOwn(t.ledger.resourceHash(origin, path), w)
	// What embeds it, as the notice will.
	t.wroteGroup(t.ledger.groupHash(origin, path))
}

// wroteGroup invalidates a group that an own write was about.
func (t *Transport) wroteGroup(g uint64) {
	now := t.nowNano()
	t.ledger.note(g, notice{at: now, own: &ownWrite{at: now}})
}

// groupsOf returns the records of the groups that a key's entries are in, and of
// those that are named like their topics.
func (t *Transport) groupsOf(key string) (groups []uint64) {
	hash := t.hash(key)
	sh := t.store.shard(hash)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for e := sh.bucket(hash); e != nil; e = e.next.Load() {
		if e.hash == hash && e.key() == key {
			for _, g := range e.groups() {
				groups = append(groups, g.hash)
			}
			for _, s := range e.shape.scopes {
				groups = append(groups, t.ledger.groupHash(e.res.origin.name, s.name))
			}
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}
