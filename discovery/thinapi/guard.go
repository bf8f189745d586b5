package thinapi

import (
	"net/http"
	"strings"
)

// refusal is why a request isn't let in.
type refusal struct {
	status int
	detail string
}

// guard refuses requests that a backend might read in another way than the
// rules do, or nil.
func (h *Handler) guard(r *http.Request) *refusal {
	bad := func(detail string) *refusal { return &refusal{http.StatusBadRequest, detail} }
	switch r.Method {
	case http.MethodConnect, http.MethodTrace:
		return &refusal{http.StatusMethodNotAllowed, "The method " + r.Method + " isn't served here."}
	case http.MethodGet, http.MethodHead:
		if r.ContentLength != 0 {
			return bad("A " + r.Method + " request has no body.")
		}
	}
	for _, value := range r.Header["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "", "keep-alive", "close", "te", "upgrade", "http2-settings":
			default:
				return bad("The Connection field may name only keep-alive, close, te and upgrade.")
			}
		}
	}
	if r.Method == http.MethodOptions && r.URL.Path == "*" {
		return nil
	}
	if r.URL.Opaque != "" || !strings.HasPrefix(r.URL.Path, "/") {
		return bad("The request target must be a path.")
	}
	return h.guardPath(r.URL.EscapedPath(), r.URL.Path)
}

// guardPath refuses paths that normalise to something else (RFC 3986 section
// 6.2.2), or that some servers take for something else.
func (h *Handler) guardPath(escaped, plain string) *refusal {
	for i := range len(plain) {
		if c := plain[i]; c < ' ' || c == 0x7f || c == '\\' && !h.opts.EscapedSlash {
			return &refusal{http.StatusBadRequest, "The path has a backslash or a control character."}
		}
	}
	if strings.Contains(plain, "//") && strings.Contains(escaped, "//") {
		return &refusal{http.StatusBadRequest, "The path has an empty segment."}
	}
	if !h.opts.EscapedSlash && strings.IndexByte(escaped, '%') >= 0 {
		upper := strings.ToUpper(escaped)
		if strings.Contains(upper, "%2F") || strings.Contains(upper, "%5C") {
			return &refusal{http.StatusBadRequest, "The path has an escaped slash."}
		}
	}
	if strings.Contains(plain, "/.") {
		for segment := range strings.SplitSeq(plain, "/") {
			if segment == "." || segment == ".." {
				return &refusal{http.StatusBadRequest, "The path has a dot segment."}
			}
		}
	}
	return nil
}

// forwarding are the header fields by which proxies speak of the client.
func forwarding() []string {
	return []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip"}
}

// cleaned returns the request's header as the rules and backends may see it.
// The request's own isn't changed.
func (h *Handler) cleaned(r *http.Request, fromProxy bool, proxied []string) http.Header {
	out := make(http.Header, len(r.Header))
	for name, values := range r.Header {
		if strings.IndexByte(name, '_') < 0 {
			out[name] = values
		}
	}
	delete(out, "Proxy") // becomes HTTP_PROXY in CGI
	delete(out, shadowField)
	for _, name := range h.opts.StripHeaders {
		delete(out, name)
	}
	if !fromProxy {
		for _, name := range h.forwarding {
			delete(out, name)
		}
		for _, name := range proxied {
			delete(out, name)
		}
	}
	return out
}
