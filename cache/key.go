package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
)

// A key is the normalised URI (RFC 3986 section 6.2.2), followed by what
// separates identities, each part led in by a zero byte and a letter:
//
//	https://api.example/orders/9?page=2 \x00p partition \x00a digest
//
// Its part before the "?" is the resource, which is what invalidation is
// about. The URI of a request that is already in its normal form is copied
// as it is.

// appendURI appends the normal form of a URI. It reports false for one that
// can't be cached: not http or https, or opaque.
func appendURI(b []byte, u *url.URL, host string) ([]byte, bool) {
	if u.Opaque != "" {
		return b, false
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
	if u.RawPath == "" && plainPath(u.Path) {
		b = append(b, u.Path...)
	} else {
		b = appendPath(b, u.EscapedPath())
	}
	if u.RawQuery != "" || u.ForceQuery {
		if strings.IndexByte(u.RawQuery, 0) >= 0 {
			return b, false // it would pass for what separates identities
		}
		b = append(b, '?')
		b = appendPercent(b, u.RawQuery)
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

// plainPath reports whether a path is what appendPath would make of it: most
// are, and looking is quicker than escaping.
func plainPath(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	for i := 1; i < len(path); i++ {
		switch c := path[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', 'A' <= c && c <= 'Z', c == '-', c == '_', c == '~', c == '/':
		case c == '.' && path[i-1] != '/': // else it may be a dot segment
		default:
			return false
		}
	}
	return true
}

func appendPath(b []byte, path string) []byte {
	if path == "" {
		return append(b, '/')
	}
	if path[0] != '/' {
		b = append(b, '/')
	}
	if strings.IndexByte(path, '%') < 0 && !strings.Contains(path, "/.") {
		return append(b, path...)
	}
	root := len(b)
	b = appendPercent(b, path)
	if !strings.Contains(string(b[root:]), "/.") {
		return b
	}
	// RFC 3986 section 5.2.4.
	segments := strings.Split(string(b[root+1:]), "/")
	b = b[:root]
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
	for _, segment := range kept {
		b = append(b, '/')
		b = append(b, segment...)
	}
	if len(kept) == 0 {
		b = append(b, '/')
	}
	return b
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

// splitKey cuts a key into origin, path and query (with its "?").
func splitKey(key string) (origin, path, query string) {
	if i := strings.IndexByte(key, 0); i >= 0 {
		key = key[:i]
	}
	origin = originOf(key)
	path = key[len(origin):]
	if i := strings.IndexByte(path, '?'); i >= 0 {
		path, query = path[:i], path[i:]
	}
	return origin, path, query
}

// originOf returns the part of a normalised URI before its path.
func originOf(uri string) string {
	authority := strings.Index(uri, "://") + 3
	if i := strings.IndexByte(uri[authority:], '/'); i >= 0 {
		return uri[:authority+i]
	}
	return uri
}

// normalize returns the normal form of an absolute URL.
func normalize(href string) (string, bool) {
	u, err := url.Parse(href)
	if err != nil {
		return "", false
	}
	b, ok := appendURI(nil, u, "")
	return string(b), ok
}
