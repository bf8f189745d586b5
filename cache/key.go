package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
)

// A key is the URI as it is sent, followed by what separates identities, each
// part led in by a zero byte and a letter:
//
//	https://api.example/orders/9?page=2 \x00p partition \x00a digest
//
// What is sent in one form is one (RFC 9110 section 4.2.3): the case of scheme
// and host, the default port, an empty path. Path and query are sent as they
// stand, and an origin may answer "/a/../b" otherwise than "/b", for example by
// a redirect to it; so each spelling has an entry of its own.
//
// What invalidation is about is the resource: the normal form (RFC 3986 section
// 6.2.2) of what is before the "?". Every spelling of it ends together.

// appendURI appends a URI as it is sent. It reports false for one that can't be
// cached: not http or https, or without a host.
func appendURI(b []byte, u *url.URL, host string) ([]byte, bool) {
	if u.Opaque != "" {
		v, err := url.Parse(u.Scheme + ":" + u.Opaque)
		if err != nil || v.Opaque != "" || !strings.HasSuffix(u.Opaque, v.EscapedPath()) {
			return b, false // not what is sent
		}
		// It is sent whole, and the host in it counts (RFC 9112 section 3.2.2).
		v.RawQuery, v.ForceQuery = u.RawQuery, u.ForceQuery
		return appendURI(b, v, "")
	}
	port := ""
	switch {
	case strings.EqualFold(u.Scheme, "https"):
		b, port = append(b, "https://"...), ":443"
	case strings.EqualFold(u.Scheme, "http"):
		b, port = append(b, "http://"...), ":80"
	default:
		return b, false
	}
	if host == "" {
		host = u.Host
	}
	host = strings.TrimSuffix(strings.TrimSuffix(host, port), ":")
	if host == "" {
		return b, false
	}
	for i := range len(host) {
		c := hostBytes[host[i]]
		if c == 0 {
			return b, false
		}
		b = append(b, c)
	}
	path := u.Path
	if u.RawPath != "" || !plainPath(path) {
		path = u.EscapedPath()
	}
	if path == "" || path[0] != '/' {
		b = append(b, '/')
	}
	b = append(b, path...)
	if u.RawQuery != "" || u.ForceQuery {
		if strings.IndexByte(u.RawQuery, 0) >= 0 || strings.IndexByte(u.RawQuery, '#') >= 0 {
			return b, false // it would pass for what separates identities, or for an href with a fragment
		}
		b = append(b, '?')
		b = append(b, u.RawQuery...)
	}
	return b, true
}

// hostBytes are the bytes of a host as they are in a key, in lower case; zero
// for those that no host has.
var hostBytes = func() (t [256]byte) {
	for i := range t {
		switch c := byte(i); {
		case c >= 'A' && c <= 'Z':
			t[i] = c + 'a' - 'A'
		case c > ' ' && strings.IndexByte(`/\?#@`, c) < 0:
			t[i] = c
		}
	}
	return t
}()

// plainPath reports whether a path is what escaping would make of it: most are,
// and looking is quicker.
func plainPath(path string) bool {
	for i := range len(path) {
		switch c := path[i]; {
		case 'a' <= c && c <= 'z', '/' <= c && c <= '9', 'A' <= c && c <= 'Z', c == '-', c == '_', c == '~', c == '.':
		default:
			return false
		}
	}
	return true
}

// normalPath returns the normal form of a path as it was sent.
func normalPath(path string) string {
	if strings.IndexByte(path, '%') < 0 && !strings.Contains(path, "/.") {
		return path
	}
	path = string(appendPercent(nil, path))
	if !strings.Contains(path, "/.") {
		return path
	}
	// RFC 3986 section 5.2.4.
	segments := strings.Split(path[1:], "/")
	var kept []string
	for i, segment := range segments {
		last := i == len(segments)-1
		switch segment {
		case ".", "..":
			if segment == ".." && len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
			if last {
				kept = append(kept, "")
			}
		default:
			kept = append(kept, segment)
		}
	}
	return "/" + strings.Join(kept, "/")
}

// appendPercent appends s with its percent-encoded octets in normal form:
// upper case hexadecimal, unreserved characters decoded.
func appendPercent(b []byte, s string) []byte {
	for {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			return append(b, s...)
		}
		b = append(b, s[:i]...)
		s = s[i:]
		var octet [1]byte
		if len(s) < 3 {
			return append(b, s...)
		}
		if _, err := hex.Decode(octet[:], []byte(s[1:3])); err != nil {
			b = append(b, '%')
			s = s[1:]
			continue
		}
		if c := octet[0]; isUnreserved(c) {
			b = append(b, c)
		} else {
			const upper = "0123456789ABCDEF"
			b = append(b, '%', upper[c>>4], upper[c&15])
		}
		s = s[3:]
	}
}

func isUnreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// appendIdentity appends what keeps identities apart.
func (t *Transport) appendIdentity(b []byte, req *http.Request) []byte {
	if req.Host != "" && req.Host != req.URL.Host {
		// The same authority asked for at another address.
		b = append(b, 0, 'h')
		b = append(b, req.URL.Host...)
	}
	if t.partition != nil {
		if p := t.partition(req); p != "" {
			b = append(b, 0, 'p')
			b = append(b, p...)
		}
	}
	return t.appendAuthorization(b, req.Header)
}

// appendAuthorization appends a digest, so that a key can be shown and stored
// without giving a credential away.
func (t *Transport) appendAuthorization(b []byte, h http.Header) []byte {
	if t.shareAuthorized {
		return b
	}
	lines := h["Authorization"]
	if len(lines) == 0 {
		return b
	}
	var sum [sha256.Size]byte
	if len(lines) == 1 {
		sum = sha256.Sum256([]byte(lines[0]))
	} else {
		sum = sha256.Sum256([]byte(strings.Join(lines, "\x00")))
	}
	b = append(b, 0, 'a')
	return hex.AppendEncode(b, sum[:16])
}

// splitKey cuts a key into the origin, the path and the query (with its "?") of
// the resource, in their normal form.
func splitKey(key string) (origin, path, query string) {
	if i := strings.IndexByte(key, 0); i >= 0 {
		key = key[:i]
	}
	origin = originOf(key)
	path = key[len(origin):]
	if i := strings.IndexByte(path, '?'); i >= 0 {
		path, query = path[:i], path[i:]
	}
	return origin, normalPath(path), normalQuery(query)
}

func normalQuery(query string) string {
	if strings.IndexByte(query, '%') < 0 {
		return query
	}
	return string(appendPercent(nil, query))
}

// originOf returns the part of a normalised URI before its path.
func originOf(uri string) string {
	authority := strings.Index(uri, "://") + 3
	if i := strings.IndexByte(uri[authority:], '/'); i >= 0 {
		return uri[:authority+i]
	}
	return uri
}

// spell returns an absolute URL as it is sent.
func spell(href string) (string, bool) {
	u, err := url.Parse(href)
	if err != nil {
		return "", false
	}
	b, ok := appendURI(nil, u, "")
	return string(b), ok
}

// normalize returns the normal form of an absolute URL.
func normalize(href string) (string, bool) {
	uri, ok := spell(href)
	if !ok {
		return "", false
	}
	return normalForm(uri), true
}

// normalForm returns the normal form of a URI as it is sent.
func normalForm(uri string) string {
	if strings.IndexByte(uri, '%') < 0 && !strings.Contains(uri, "/.") {
		return uri
	}
	origin, path, query := splitKey(uri)
	return origin + path + query
}
