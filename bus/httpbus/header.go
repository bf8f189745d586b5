package httpbus

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// hopByHop are the fields that belong to one connection (RFC 9110 section 7.6.1),
// those of the next proxy (section 11.7), and those that frames carry themselves.
var hopByHop = [...]string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// endToEnd returns h without what belongs to one hop. It copies only when there
// is something to leave out; values are shared.
func endToEnd(h http.Header) http.Header {
	if len(h) == 0 {
		return h
	}
	drop := func(name string) bool { return slices.Contains(hopByHop[:], name) }
	listed := connectionOptions(h)
	some := false
	for name := range h {
		if drop(name) || slices.Contains(listed, name) {
			some = true
			break
		}
	}
	if !some {
		return h
	}
	out := make(http.Header, len(h))
	for name, values := range h {
		if !drop(name) && !slices.Contains(listed, name) {
			out[name] = values
		}
	}
	return out
}

// connectionOptions are the fields that Connection names as belonging to one hop.
func connectionOptions(h http.Header) []string {
	var names []string
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = textproto.TrimString(name); name != "" {
				names = append(names, textproto.CanonicalMIMEHeaderKey(name))
			}
		}
	}
	return names
}

// mayTrail reports whether a field may stand in a trailer (RFC 9110 section
// 6.5.1): nothing that frames or routes the message.
func mayTrail(name string) bool {
	switch name {
	case "Content-Length", "Content-Type", "Content-Encoding", "Content-Range", "Host", "Authorization", "Set-Cookie", "Cache-Control":
		return false
	}
	return token(name) && !slices.Contains(hopByHop[:], name)
}

// trailers returns those lines of h that may stand in a trailer.
func trailers(h http.Header) http.Header {
	if len(h) == 0 {
		return nil
	}
	out := make(http.Header, len(h))
	for name, values := range h {
		if mayTrail(name) && len(values) > 0 {
			out[name] = values
		}
	}
	return out
}

// announce returns a header with the names and no values, or nil.
func announce(names []string) http.Header {
	var h http.Header
	for _, name := range names {
		if mayTrail(name) {
			if h == nil {
				h = make(http.Header, len(names))
			}
			h[name] = nil
		}
	}
	return h
}

// checkHeader returns an error for lines that must not be sent.
func checkHeader(h http.Header) error {
	for name, values := range h {
		if !token(name) {
			return complain("header name %q", name)
		}
		for _, v := range values {
			if !fieldValue(v) {
				return complain("value of header %q", name)
			}
		}
	}
	return nil
}

// weight is what the lines count towards the limit.
func weight(h http.Header) int {
	n := 0
	for name, values := range h {
		for _, v := range values {
			n += len(name) + len(v) + 32
		}
	}
	return n
}
