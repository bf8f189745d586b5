package cache

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// LoadTyped returns the value that was decoded, see DecodeOnce of a response's
// Body, from the stored response that may be reused for href now without
// asking. header is what the caller would send, for Vary, Authorization and
// Cache-Control; it is only read. typ is the key that the value was decoded
// under. The value is shared by everybody and must not be changed.
//
// It reports false whenever a request is needed, for whatever reason.
func (t *Transport) LoadTyped(ctx context.Context, href string, header http.Header, typ any) (value any, ok bool) {
	return t.loadTyped(ctx, href, header, typ, t.nowNano())
}

// LoadTypedAll is LoadTyped for n hrefs, at one reading of the clock: href
// returns the i-th, which is passed over if it is empty, and found is called
// with what was found.
func (t *Transport) LoadTypedAll(ctx context.Context, header http.Header, typ any, n int, href func(i int) string, found func(i int, value any)) {
	now := t.nowNano()
	for i := range n {
		if h := href(i); h != "" {
			if v, ok := t.loadTyped(ctx, h, header, typ, now); ok {
				found(i, v)
			}
		}
	}
}

func (t *Transport) loadTyped(ctx context.Context, href string, header http.Header, typ any, now int64) (value any, ok bool) {
	more, authorized := special(header)
	if more || strings.IndexByte(href, 0) >= 0 {
		return nil, false
	}
	var identity []byte
	var room [64]byte
	switch {
	case t.partition != nil:
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, href, http.NoBody)
		if err != nil {
			return nil, false
		}
		req.Header = header
		identity = t.appendIdentity(room[:0], req)
	case authorized:
		identity = t.appendAuthorization(room[:0], header)
	}
	// An href that is a key as it stands needn't be parsed.
	e := t.named(href, identity, header)
	if e == nil {
		uri, ok := spell(href)
		if !ok || uri == href || hasUser(href) {
			return nil, false
		}
		if e = t.named(uri, identity, header); e == nil {
			return nil, false
		}
	}
	if value, ok = e.value(typ); !ok {
		return nil, false
	}
	v := t.judge(e, nil, now)
	if (!v.reuse || v.refresh) && !t.ledger.sabotage.typed {
		return nil, false
	}
	t.count(e, v)
	t.store.shard(e.hash).counts.typed.Add(1)
	return value, true
}

// named is lookup for a URI and an identity.
func (t *Transport) named(uri string, identity []byte, header http.Header) *entry {
	if len(identity) == 0 {
		hash := t.hash(uri)
		e, _ := t.store.shard(hash).find(hash, uri, header)
		return e
	}
	var buf [384]byte
	key := append(append(buf[:0], uri...), identity...)
	return t.store.lookup(t.store.hasher.bytes(key), key, header)
}

// hasUser reports whether an href names a user. A client makes an Authorization
// of that.
func hasUser(href string) bool {
	u, err := url.Parse(href)
	return strings.IndexByte(href, '@') >= 0 && (err != nil || u.User != nil)
}

// special reports whether a request says more than which representation it
// wants, and whether it says who wants it.
func special(h http.Header) (more, authorized bool) {
	// Most requests have only these, and looking is quicker than iterating.
	plain := 0
	for _, name := range [...]string{"Accept", "Authorization", "User-Agent"} {
		if plain == len(h) {
			return false, authorized
		}
		if _, ok := h[name]; ok {
			plain++
			authorized = authorized || name == "Authorization"
		}
	}
	switch {
	case plain == len(h):
		return false, authorized
	case len(h) > 4:
		return len(h["Cache-Control"]) > 0 || len(h["Pragma"]) > 0 || len(h["Range"]) > 0 ||
			len(h["If-None-Match"]) > 0 || len(h["If-Modified-Since"]) > 0 ||
			len(h["If-Match"]) > 0 || len(h["If-Unmodified-Since"]) > 0 || len(h["Upgrade"]) > 0, authorized
	}
	for name := range h {
		switch name {
		case "Cache-Control", "Pragma", "Range", "Upgrade",
			"If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since":
			return true, authorized
		}
	}
	return false, authorized
}
