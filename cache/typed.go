package cache

import (
	"context"
	"hash/maphash"
	"net/http"
	"net/url"
)

// LoadTyped returns the value that was decoded, see DecodeOnce of a response's
// Body, from the stored response that may be reused for href now without
// asking. header is what the caller would send, for Vary, Authorization and
// Cache-Control; it is only read. typ is the key that the value was decoded
// under. The value is shared by everybody and must not be changed.
//
// It reports false whenever a request is needed, for whatever reason.
func (t *Transport) LoadTyped(ctx context.Context, href string, header http.Header, typ any) (value any, ok bool) {
	var buf [384]byte
	var key []byte
	if isNormal(href) {
		key = append(buf[:0], href...)
	} else {
		u, err := url.Parse(href)
		if err != nil {
			return nil, false
		}
		if key, ok = appendURI(buf[:0], u, ""); !ok {
			return nil, false
		}
	}
	var w *wishes
	if len(header) > 0 {
		if special(header) {
			return nil, false
		}
	}
	if t.partition != nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, href, http.NoBody)
		if err != nil {
			return nil, false
		}
		req.Header = header
		key = t.appendIdentity(key, req)
	} else if len(header) > 0 {
		key = t.appendAuthorization(key, header)
	}
	hash := maphash.Bytes(t.store.seed, key)
	e := t.store.lookup(hash, key, header)
	if e == nil {
		return nil, false
	}
	if value, ok = e.value(typ); !ok {
		return nil, false
	}
	v := t.judge(e, w, t.nowNano())
	if !v.reuse || v.refresh {
		return nil, false
	}
	t.count(e, v)
	t.store.shard(hash).counts.typed.Add(1)
	return value, true
}

// special reports whether a request says more than which representation it
// wants.
func special(h http.Header) bool {
	return len(h["Cache-Control"]) > 0 || len(h["Pragma"]) > 0 || len(h["Range"]) > 0 ||
		len(h["If-None-Match"]) > 0 || len(h["If-Modified-Since"]) > 0 ||
		len(h["If-Match"]) > 0 || len(h["If-Unmodified-Since"]) > 0 || len(h["Upgrade"]) > 0
}
