package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// CallbackOptions say where the gateway may send requests. Clients choose the
// URLs, so this is what stands between them and the inside of your network. The
// zero value allows https to every host whose address is public.
type CallbackOptions struct {
	// Hosts, if any, are the only ones allowed: "app.example.com", or
	// "*.example.com" for every name below it. A host says nothing about its
	// address: those are checked all the same. Default: every host.
	Hosts []string
	// Networks are addresses that are allowed although they aren't public:
	// loopback, private, link-local and other special ranges are refused
	// otherwise, when the connection is made, whatever the name resolved to
	// before. Default: none.
	Networks []netip.Prefix
	// AllowHTTP allows http beside https.
	AllowHTTP bool
	// TLS is for the certificates of callbacks, which are always verified.
	// Default: the system's roots.
	TLS *tls.Config
	// Timeout bounds one request, from dialing to the end of the answer.
	// Default 10 s.
	Timeout time.Duration
	// Transport replaces everything that makes connections, the check of addresses
	// too. Default: http.Transport without a proxy.
	Transport http.RoundTripper
}

// errAddress is wrapped by the error of a connection to an address that isn't
// allowed.
var errAddress = errors.New("callbacks to this address are not allowed")

// check returns what the callback is kept as, and the credential that stood in
// it.
func (o *CallbackOptions) check(raw string) (callback, credential string, err error) {
	if len(raw) > maxURL {
		return "", "", fmt.Errorf("callback has %d bytes; at most %d are allowed", len(raw), maxURL)
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Opaque != "":
		return "", "", errors.New("callback is not a URL")
	case u.Scheme != "https" && (u.Scheme != "http" || !o.AllowHTTP):
		return "", "", errors.New("callback is not HTTPS")
	case u.Hostname() == "":
		return "", "", errors.New("callback has no host")
	case u.RawQuery != "" || u.ForceQuery:
		return "", "", errors.New("callback has a query string")
	case u.Fragment != "":
		return "", "", errors.New("callback has a fragment")
	case !o.host(u.Hostname()):
		return "", "", errors.New("callback's host is not on the list of those allowed")
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !o.address(ip) {
		return "", "", errAddress
	}
	if u.User != nil { // as rtm asks for
		credential = u.User.Username()
		u.User = nil
	}
	return u.String(), credential, nil
}

func (o *CallbackOptions) host(name string) bool {
	if len(o.Hosts) == 0 {
		return true
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	for _, allowed := range o.Hosts {
		allowed = strings.ToLower(allowed)
		if below, ok := strings.CutPrefix(allowed, "*."); ok {
			if strings.HasSuffix(name, "."+below) {
				return true
			}
		} else if name == allowed {
			return true
		}
	}
	return false
}

// address reports whether requests may go to ip.
func (o *CallbackOptions) address(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, n := range o.Networks {
		if n.Contains(ip) {
			return true
		}
	}
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	for _, n := range special() {
		if n.Contains(ip) {
			return false
		}
	}
	return true
}

// special returns ranges that are global unicast by their form and yet lead
// inside, or nowhere (RFC 6890), and those that carry an IPv4 address inside.
func special() []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{0}), 8),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 0}), 24),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2}), 24),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18}), 15),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100}), 24),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113}), 24),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{240}), 4),
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0, 1: 0x64, 2: 0xff, 3: 0x9b}), 32), // NAT64
		netip.PrefixFrom(netip.AddrFrom16([16]byte{}), 96),                                // IPv4-compatible
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0x01}), 64),                         // discard only
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01}), 23),                // protocol assignments, Teredo
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8}), 32),
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0x20, 1: 0x02}), 16), // 6to4
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfe, 1: 0xc0}), 10), // site-local
	}
}

// client returns what requests to callbacks are made with. Redirects aren't
// followed: the answer is what counts, and a redirect leads where nobody
// checked.
func (o *CallbackOptions) client() *http.Client {
	c := &http.Client{
		Timeout:       o.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     o.Transport,
	}
	if c.Transport != nil {
		return c
	}
	dialer := &net.Dialer{Timeout: o.Timeout, KeepAlive: 30 * time.Second, ControlContext: o.control}
	c.Transport = &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        o.TLS.Clone(),
		TLSHandshakeTimeout:    o.Timeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
	}
	return c
}

// control is asked with each address just before the connection is made, so that
// a name can't resolve to one address for the check and to another for the use.
func (o *CallbackOptions) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", errAddress, err)
	}
	if !o.address(at.Addr()) {
		return fmt.Errorf("%w: %s", errAddress, at.Addr())
	}
	return nil
}
