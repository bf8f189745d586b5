package thinapi

import (
	"crypto/rand"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// peer is who sent a request, and for whom.
type peer struct {
	remote    netip.Addr // the other end of the connection
	client    netip.Addr // whom it speaks for
	fromProxy bool       // remote is trusted
}

// peerOf finds the client: the remote address, or, as long as addresses are
// trusted proxies, what they say in X-Forwarded-For, from the last on. What an
// untrusted peer says there is never looked at.
func (h *Handler) peerOf(r *http.Request) peer {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return peer{}
	}
	addr := at.Addr().Unmap().WithZone("")
	p := peer{remote: addr, client: addr, fromProxy: h.trusts(addr)}
	if !p.fromProxy {
		return p
	}
	for _, rest := range slices.Backward(r.Header["X-Forwarded-For"]) {
		for rest != "" {
			var item string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, item = rest[:comma], rest[comma+1:]
			} else {
				rest, item = "", rest
			}
			said, ok := parseForwarded(strings.TrimSpace(item))
			if !ok {
				return p // what was said before this can't be attributed
			}
			p.client = said
			if !h.trusts(said) {
				return p
			}
		}
	}
	return p
}

// parseForwarded reads an address, with a port perhaps.
func parseForwarded(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		at, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = at.Addr()
	}
	return addr.Unmap().WithZone(""), true
}

func (h *Handler) trusts(addr netip.Addr) bool {
	for _, p := range h.opts.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// requestID keeps the id that a trusted proxy gave, if it is fit to be logged,
// and makes one otherwise.
func (h *Handler) requestID(r *http.Request, p peer) string {
	if p.fromProxy {
		if id := r.Header.Get(h.opts.RequestID); validID(id) {
			return id
		}
	}
	return rand.Text()
}

func validID(id string) bool {
	for i := range len(id) {
		c := id[i]
		if ('a' > c || c > 'z') && ('A' > c || c > 'Z') && ('0' > c || c > '9') && strings.IndexByte("-_.:/+=", c) < 0 {
			return false
		}
	}
	return id != "" && len(id) <= 128
}
