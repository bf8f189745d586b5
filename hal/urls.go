package hal

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// URLOptions configure NewURLs. The zero value and nil are useful.
type URLOptions struct {
	// Absolute makes hrefs with scheme and host. Default: hrefs relative to the
	// host ("/restaurants/203"), which are right behind every proxy that keeps
	// paths.
	Absolute bool
	// Prefix is put before every path, for a service that is mounted under one.
	// Default: none. X-Forwarded-Prefix of a trusted proxy goes before it.
	Prefix string
	// TrustedProxies are the networks whose Forwarded (RFC 7239) or
	// X-Forwarded-Proto, -Host and -Prefix fields are believed, judged by the
	// address that the connection comes from. Default: none, nobody is believed.
	TrustedProxies []netip.Prefix
}

// URLs builds the hrefs of a service's own resources. It is safe for
// concurrent use.
type URLs struct{ opts URLOptions }

// NewURLs returns URLs with the given options.
func NewURLs(opts *URLOptions) *URLs {
	u := &URLs{}
	if opts != nil {
		u.opts = *opts
	}
	u.opts.Prefix = strings.TrimSuffix(u.opts.Prefix, "/")
	return u
}

// Href returns the href for a path of the service, which begins with a slash
// and may have a query or be a template, as the client that sent r sees it.
func (u *URLs) Href(r *http.Request, path string) string {
	if !u.opts.Absolute && len(u.opts.TrustedProxies) == 0 {
		if u.opts.Prefix == "" {
			return path
		}
		return u.opts.Prefix + path
	}
	scheme, host, prefix := u.seen(r)
	if !u.opts.Absolute {
		return prefix + u.opts.Prefix + path
	}
	return scheme + "://" + host + prefix + u.opts.Prefix + path
}

// Self returns the href of the request itself, query included.
func (u *URLs) Self(r *http.Request) string {
	path := r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		path += "?" + r.URL.RawQuery
	}
	return u.Href(r, path)
}

// seen returns what the client has put before the path.
func (u *URLs) seen(r *http.Request) (scheme, host, prefix string) {
	scheme, host = "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if !u.trusted(r.RemoteAddr) {
		return scheme, host, ""
	}
	if f := r.Header.Get("Forwarded"); f != "" {
		// The last element is the trusted proxy's own; those before it may be
		// anybody's.
		f = f[strings.LastIndexByte(f, ',')+1:]
		for pair := range strings.SplitSeq(f, ";") {
			k, v, _ := strings.Cut(strings.TrimSpace(pair), "=")
			v = strings.Trim(v, `"`)
			switch strings.ToLower(k) {
			case "proto":
				scheme = cleanScheme(v, scheme)
			case "host":
				host = cleanHost(v, host)
			}
		}
	} else {
		scheme = cleanScheme(lastOf(r.Header.Get("X-Forwarded-Proto")), scheme)
		host = cleanHost(lastOf(r.Header.Get("X-Forwarded-Host")), host)
	}
	prefix = strings.TrimSuffix(lastOf(r.Header.Get("X-Forwarded-Prefix")), "/")
	if !strings.HasPrefix(prefix, "/") || strings.HasPrefix(prefix, "//") || strings.ContainsAny(prefix, "?#\\\"<> ") {
		prefix = ""
	}
	return scheme, host, prefix
}

func (u *URLs) trusted(remote string) bool {
	if len(u.opts.TrustedProxies) == 0 {
		return false
	}
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	addr = addr.Unmap().WithZone("")
	for _, p := range u.opts.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

func lastOf(list string) string {
	return strings.TrimSpace(list[strings.LastIndexByte(list, ',')+1:])
}

func cleanScheme(v, otherwise string) string {
	switch strings.ToLower(v) {
	case "http", "https":
		return strings.ToLower(v)
	}
	return otherwise
}

func cleanHost(v, otherwise string) string {
	if v == "" || strings.ContainsAny(v, "/\\?#@\"<> {}") {
		return otherwise
	}
	return v
}
