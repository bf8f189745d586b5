package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/goswale/swale/resn/gateway"
)

// http0 reads HTTP Basic of a header.
type http0 struct{ header http.Header }

func (h *http0) basic() (user, password string, ok bool) {
	return (&http.Request{Header: h.header}).BasicAuth()
}

// Callbacks that lead inside are refused when the subscription is made.
func TestCallbacksInsideAreRefused(t *testing.T) {
	r := newRig(t, nil)
	reader := r.token("reader")
	for _, host := range []string{
		"127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
		"192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"[::1]", "[::]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]",
		"[64:ff9b::a00:1]", "[2002:a00:1::]", "[2001::1]", "[::127.0.0.1]", "[2001:db8::1]", "[fec0::1]",
	} {
		a := r.call(reader, "POST", "/subscription", `{"topics":["widgets"],"callback":"https://`+host+`/","uuid":"u"}`)
		if a.status != 400 {
			t.Errorf("callback to %s is answered %d", host, a.status)
		}
	}
	for _, callback := range []string{"file:///etc/passwd", "gopher://example.com", "https:example.com", "https:///x", "https://app.example/#x", "//app.example", "https://" + strings.Repeat("a", 2048)} {
		if a := r.call(reader, "POST", "/subscription", `{"topics":["widgets"],"callback":"`+callback+`","uuid":"u"}`); a.status != 400 {
			t.Errorf("callback %.40s is answered %d", callback, a.status)
		}
	}
	for _, host := range []string{"1.1.1.1", "[2606:4700::1111]", "app.example"} {
		r.must(204, reader, "POST", "/subscription", `{"topics":["widgets"],"callback":"https://`+host+`/","uuid":"u"}`)
	}
}

// Only hosts on the list are allowed if there is one.
func TestCallbackHostsAreListed(t *testing.T) {
	r := newRig(t, func(o *gateway.Options) { o.Callbacks.Hosts = []string{"app.example", "*.apps.example"} })
	reader := r.token("reader")
	for host, status := range map[string]int{
		"app.example": 204, "APP.example": 204, "app.example.": 204, "a.apps.example": 204, "a.b.apps.example:8443": 204,
		"apps.example": 400, "evilapps.example": 400, "app.example.evil.example": 400, "other.example": 400, "app.example@evil.example": 400,
	} {
		if a := r.call(reader, "POST", "/subscription", `{"topics":["widgets"],"callback":"https://`+host+`/","uuid":"u"}`); a.status != status {
			t.Errorf("callback to %s is answered %d, want %d", host, a.status, status)
		}
	}
}

// A name is judged by the address that the connection goes to, when it goes
// there: no resolving to one address for the check and another for the use.
func TestAddressIsCheckedWhenDialing(t *testing.T) {
	var asked atomic.Int64
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer inside.Close()
	port := inside.URL[strings.LastIndex(inside.URL, ":"):]
	r := newRig(t, func(o *gateway.Options) {
		o.Callbacks.Transport = nil
		o.Callbacks.AllowHTTP = true
	})
	owner, reader := r.token("owner"), r.token("reader")
	// The name passes; where it leads shows when it is dialed.
	r.must(204, reader, "POST", "/subscription", `{"topics":["widgets"],"callback":"http://localhost`+port+`/","uuid":"u","timeout":0}`)
	r.push(owner, "widgets", "https://api.example/widgets/1")
	r.eventually("the connection is refused", func() bool {
		s := r.g.Subscribers()
		return len(s) == 1 && strings.Contains(s[0].LastError, "not allowed")
	})
	// The handshake is no way around it, and tells nothing.
	a := r.must(400, reader, "POST", "/subscription", `{"topics":["widgets"],"callback":"http://localhost`+port+`/","uuid":"u","format":"cloudevents-batch"}`)
	if strings.Contains(a.body, "127.0.0.1") {
		t.Errorf("the answer tells what the name resolves to: %s", a.body)
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the server inside was asked %d times", n)
	}
}

// An allowed callback can't redirect to one that isn't.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var asked atomic.Int64
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer inside.Close()
	callback := httptest.NewServer(http.RedirectHandler(inside.URL, http.StatusTemporaryRedirect))
	defer callback.Close()
	r := newRig(t, func(o *gateway.Options) {
		o.Callbacks.Transport = nil
		o.Callbacks.AllowHTTP = true
		o.Callbacks.Networks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	owner, reader := r.token("owner"), r.token("reader")
	r.must(204, reader, "POST", "/subscription", `{"topics":["widgets"],"callback":"`+callback.URL+`","uuid":"u","timeout":0}`)
	r.push(owner, "widgets", "https://api.example/widgets/1")
	r.eventually("the redirect counts as a refusal", func() bool { return r.g.Stats().Refused > 0 })
	if n := asked.Load(); n != 0 {
		t.Errorf("the redirect was followed %d times", n)
	}
}
