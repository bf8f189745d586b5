package discovery

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// origin is one line of TransportOptions.Origins.
type origin struct {
	scheme, host, path string
	service            string
}

// parseOrigins reads TransportOptions.Origins; longer paths come first.
func parseOrigins(origins map[string]string) ([]origin, error) {
	all := make([]origin, 0, len(origins))
	for text, service := range origins {
		u, err := url.Parse(text)
		if err != nil || u.Scheme == "" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			return nil, fmt.Errorf("discovery: origin %q: give a scheme and a host, and perhaps a path, as in https://api.example/orders", text)
		}
		if !ValidService(service) {
			return nil, fmt.Errorf("discovery: origin %q: %q is no service's name", text, service)
		}
		scheme := strings.ToLower(u.Scheme)
		all = append(all, origin{scheme, authority(scheme, u.Host), strings.TrimRight(u.EscapedPath(), "/"), service})
	}
	slices.SortFunc(all, func(a, b origin) int { return len(b.path) - len(a.path) })
	return all, nil
}

// covers reports whether the path is below the origin's, at a segment's border.
func (o *origin) covers(path string) bool {
	rest, ok := strings.CutPrefix(path, o.path)
	return ok && (rest == "" || rest[0] == '/')
}

// authority is a host in lower case without the scheme's default port.
func authority(scheme, host string) string {
	switch scheme {
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "https":
		host = strings.TrimSuffix(host, ":443")
	}
	return strings.ToLower(host)
}

// serviceOf returns the service that a URL is for, or "" if it is for none.
func (t *Transport) serviceOf(u *url.URL) string {
	if len(t.origins) > 0 {
		host := authority(u.Scheme, u.Host)
		for i := range t.origins {
			if o := &t.origins[i]; o.host == host && o.scheme == u.Scheme && o.covers(u.EscapedPath()) {
				return o.service
			}
		}
	}
	// A name without a dot and a port is a service's.
	if !ValidService(u.Host) || u.Host == "localhost" {
		return ""
	}
	if _, err := netip.ParseAddr(u.Host); err == nil {
		return ""
	}
	return u.Host
}
