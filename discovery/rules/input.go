package rules

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"strings"
)

// Input names something that is read of a request: "header:X-Region",
// "query:preview", "cookie:session", "attr:customer", or one of "client" (its
// IPv4 address, or the /64 network of its IPv6 address), "host", "method" and
// "request" (the request's id).
type Input string

// Request is what rules look at. The zero value of each field is "unknown",
// which only conditions on absence match.
type Request struct {
	Method string
	Host   string // port and case don't matter
	Path   string // escaped, as in url.URL.EscapedPath
	Query  string // raw, as in url.URL.RawQuery
	// Header is in canonical form, as net/http has it. It is not changed.
	Header http.Header
	// Client is the address of the client itself, proxies passed over.
	Client netip.Addr
	// FromProxy says that the request came from a proxy that the server
	// trusts, so that inputs with the trust "proxy" are believed.
	FromProxy bool
	// ID is different for each request; proportions by "request" go by it.
	ID string
	// Attributes were found out by the server, such as the claims of a
	// verified token, "region" and "source". They are believed.
	Attributes map[string]string
}

type inputKind uint8

const (
	fromNowhere inputKind = iota
	fromHeader
	fromQuery
	fromCookie
	fromAttribute
	fromClient
	fromHost
	fromMethod
	fromRequest
)

// source is an Input that was parsed.
type source struct {
	kind    inputKind
	name    string
	proxied bool // believed of trusted proxies only
	derived *source
}

// parse splits an input into its kind and canonical name.
func (in Input) parse() (source, error) {
	kind, name, named := strings.Cut(string(in), ":")
	if !named {
		switch in {
		case "client":
			return source{kind: fromClient}, nil
		case "host":
			return source{kind: fromHost}, nil
		case "method":
			return source{kind: fromMethod}, nil
		case "request":
			return source{kind: fromRequest}, nil
		}
	} else if name != "" && len(name) <= 256 {
		switch kind {
		case "header":
			if !isToken(name) {
				return source{}, fmt.Errorf("input %q: that is no name of a header field", in)
			}
			return source{kind: fromHeader, name: textproto.CanonicalMIMEHeaderKey(name)}, nil
		case "query":
			return source{kind: fromQuery, name: name}, nil
		case "cookie":
			if !isToken(name) {
				return source{}, fmt.Errorf("input %q: that is no name of a cookie", in)
			}
			return source{kind: fromCookie, name: name}, nil
		case "attr":
			return source{kind: fromAttribute, name: name}, nil
		}
	}
	return source{}, fmt.Errorf("input is %q; write header:NAME, query:NAME, cookie:NAME, attr:NAME, client, host, method or request", in)
}

// isToken reports whether s is a token (RFC 9110 section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0 {
			continue
		}
		return false
	}
	return s != ""
}

// String writes the input as it is written in a set.
func (s source) String() string {
	switch s.kind {
	case fromHeader:
		return "header:" + s.name
	case fromQuery:
		return "query:" + s.name
	case fromCookie:
		return "cookie:" + s.name
	case fromAttribute:
		return "attr:" + s.name
	case fromClient:
		return "client"
	case fromHost:
		return "host"
	case fromMethod:
		return "method"
	case fromRequest:
		return "request"
	}
	return "nothing"
}

// of reads the input of a request; empty is absent.
func (s *source) of(r *Request) string {
	if s.proxied && !r.FromProxy {
		return ""
	}
	switch s.kind {
	case fromHeader:
		return combined(r.Header[s.name], ", ")
	case fromQuery:
		return queryValue(r.Query, s.name)
	case fromCookie:
		return cookieValue(r.Header["Cookie"], s.name)
	case fromAttribute:
		if v := r.Attributes[s.name]; v != "" || s.derived == nil {
			return v
		}
		return s.derived.of(r)
	case fromClient:
		return clientKey(r.Client)
	case fromHost:
		return hostname(r.Host)
	case fromMethod:
		return r.Method
	case fromRequest:
		return r.ID
	}
	return ""
}

// clientKey is what counts as one client: an IPv4 address, or the network of
// 64 bits that an IPv6 host has to itself and can choose addresses in.
func clientKey(addr netip.Addr) string {
	addr = addr.Unmap()
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.String()
		}
	}
	if !addr.IsValid() {
		return ""
	}
	return addr.String()
}

func combined(values []string, sep string) string {
	switch len(values) {
	case 0:
		return ""
	case 1:
		return values[0]
	}
	return strings.Join(values, sep)
}

// queryValue returns the values of a parameter joined by ",", without
// allocating in the ordinary case. Semicolons separate nothing, as in
// net/url; what can't be unescaped is passed over.
func queryValue(query, name string) string {
	var first string
	var more []string
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, value, _ := strings.Cut(pair, "=")
		if strings.ContainsAny(key, "%+") {
			k, err := url.QueryUnescape(key)
			if err != nil {
				continue
			}
			key = k
		}
		if key != name {
			continue
		}
		if strings.ContainsAny(value, "%+") {
			v, err := url.QueryUnescape(value)
			if err != nil {
				continue
			}
			value = v
		}
		if first == "" {
			first = value
		} else {
			more = append(more, value)
		}
	}
	if more == nil {
		return first
	}
	return first + "," + strings.Join(more, ",")
}

// cookieValue returns the first cookie of that name (RFC 6265 section 5.4
// sends the one with the longest path first).
func cookieValue(lines []string, name string) string {
	for _, line := range lines {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			key, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
			if ok && key == name {
				if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
					value = value[1 : len(value)-1]
				}
				return value
			}
		}
	}
	return ""
}

// hostname is a host without port, dot at the end, and capitals.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
