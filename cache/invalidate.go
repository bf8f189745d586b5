package cache

import "net/http"

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
	t.ledger.note(t.ledger.resourceHash(origin, path), notice{at: t.nowNano()})
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
// seen the change. That holds until the next notice, or until notices were
// missed (see [Scope.Reset]) and the named version is five seconds old. So an
// owner must name an ETag only if it is the same for every variant.
func (t *Transport) Apply(c Change) {
	uri, ok := normalize(c.URL)
	if !ok {
		t.logger.Warn("cache: notice ignored: not an absolute http URL", "url", c.URL)
		return
	}
	origin, path, query := splitKey(uri)
	now := t.nowNano()
	t.notices.Add(1)
	t.ledger.note(t.ledger.resourceHash(origin, path),
		notice{at: now, etag: opaqueTag(c.ETag), query: query, gone: c.Gone, scope: t.scopes.find(c.Scope)})
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
