package cache

import (
	"net/http"
	"net/url"
)

// Change is one notice: what its owner says about a resource, without saying
// what it is now.
type Change struct {
	URL   string // what changed, absolute
	ETag  string // the version it has now, as in the ETag field; empty if unknown
	Scope string // the scope (topic) that announced it
	Gone  bool   // it was deleted
}

// Invalidate makes every stored response of each URL, and of every URI that
// differs from it only by a query, in all variants and partitions, unusable
// without asking. A question that is under way is answered, but what it
// brings isn't kept as fresh. URLs that aren't absolute http or https URLs are
// ignored.
func (t *Transport) Invalidate(urls ...string) {
	for _, u := range urls {
		if uri, ok := normalize(u); ok {
			t.invalidate(uri)
		}
	}
}

func (t *Transport) invalidate(uri string) {
	origin, path, _ := splitKey(uri)
	t.notices.Add(1)
	t.ledger.note(t.ledger.resourceHash(uri[:len(origin)+len(path)]), notice{at: t.nowNano()})
}

// InvalidateGroup invalidates the members of cache groups at an origin
// (RFC 9875), such as "https://api.example".
func (t *Transport) InvalidateGroup(origin string, groups ...string) {
	uri, ok := normalize(origin)
	if !ok {
		return
	}
	origin = originOf(uri)
	for _, g := range groups {
		t.notices.Add(1)
		t.ledger.note(t.ledger.groupHash(origin, g), notice{at: t.nowNano()})
	}
}

// InvalidatePrefix invalidates every resource whose URL begins with one of
// the given URLs: "https://api.example/orders/" means everything below it.
func (t *Transport) InvalidatePrefix(urls ...string) {
	for _, u := range urls {
		if uri, ok := normalize(u); ok {
			origin, path, _ := splitKey(uri)
			t.notices.Add(1)
			t.ledger.origins.note(origin, path, &t.ledger.clock, t.nowNano())
		}
	}
}

// InvalidateOrigin invalidates everything of each origin.
func (t *Transport) InvalidateOrigin(origins ...string) {
	for _, o := range origins {
		if uri, ok := normalize(o); ok {
			t.notices.Add(1)
			t.ledger.origins.note(originOf(uri), "", &t.ledger.clock, t.nowNano())
		}
	}
}

// InvalidateAll invalidates everything.
func (t *Transport) InvalidateAll() {
	t.notices.Add(1)
	t.ledger.noteAll(t.nowNano())
}

// Apply takes in one notice. It invalidates what URL names and every URI that
// differs from it by its query, the group named like the scope and the group
// named like the URL's path, all at the URL's origin only.
//
// If the notice names an ETag, stored responses of exactly that URL which
// have it already stay usable, and a later answer that doesn't have it is
// used but neither fresh nor vouched for: it comes from a place that hasn't
// seen the change. So an owner must name an ETag only if it is the same for
// every variant.
func (t *Transport) Apply(c Change) {
	uri, ok := normalize(c.URL)
	if !ok {
		t.logger.Warn("cache: notice ignored: not an absolute http URL", "url", c.URL)
		return
	}
	origin, path, query := splitKey(uri)
	now := t.nowNano()
	t.notices.Add(1)
	t.ledger.note(t.ledger.resourceHash(uri[:len(origin)+len(path)]),
		notice{at: now, etag: opaqueTag(c.ETag), query: query, gone: c.Gone})
	t.ledger.note(t.ledger.groupHash(origin, path), notice{at: now})
	if c.Scope != "" && c.Scope != path {
		t.ledger.note(t.ledger.groupHash(origin, c.Scope), notice{at: now})
	}
}

// safeMethod reports whether a method is known not to change anything. What
// isn't known may.
func safeMethod(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace,
		"PROPFIND", "REPORT", "SEARCH", "QUERY":
		return true
	}
	return false
}

// invalidateAfter applies RFC 9111 section 4.4 and RFC 9875 section 3 to the
// outcome of an unsafe request. It runs before the response is handed out.
func (t *Transport) invalidateAfter(req *http.Request, resp *http.Response) {
	b, ok := appendURI(nil, req.URL, req.Host)
	if !ok || t.ledger.sabotage.writes || t.ledger.sabotage.failures && resp == nil {
		return
	}
	target := string(b)
	if resp == nil || resp.StatusCode == http.StatusBadGateway || resp.StatusCode == http.StatusGatewayTimeout {
		t.invalidateOwn(target, req) // nobody knows what the origin did
		return
	}
	origin := originOf(target)
	if groups, ok := sfStrings(resp.Header["Cache-Group-Invalidation"]); ok {
		t.InvalidateGroup(origin, groups...)
	}
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return
	}
	t.invalidateOwn(target, req)
	if t.ledger.sabotage.references {
		return
	}
	base := *req.URL
	if req.Host != "" {
		base.Host = req.Host
	}
	for _, name := range [...]string{"Location", "Content-Location"} {
		ref, err := url.Parse(resp.Header.Get(name))
		if err != nil || resp.Header.Get(name) == "" {
			continue
		}
		// A host can't speak for another one.
		if b, ok := appendURI(nil, base.ResolveReference(ref), ""); ok && originOf(string(b)) == origin {
			t.invalidate(string(b))
		}
	}
}

// invalidateOwn invalidates the target of an own write, and the groups that
// the stored responses of that very URI are in (RFC 9875 section 2.2).
func (t *Transport) invalidateOwn(target string, req *http.Request) {
	key := string(t.appendIdentity([]byte(target), req))
	for _, g := range t.groupsOf(key) {
		t.ledger.note(g, notice{at: t.nowNano()})
	}
	t.invalidate(target)
	if t.backing != nil {
		t.backing.forget(key)
	}
}

// groupsOf returns the records of the groups that a key's entries are in.
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
		}
	}
	return groups
}
