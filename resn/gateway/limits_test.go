package gateway_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/goswale/swale/resn/gateway"
)

// A client that sends its body slowly is cut off.
func TestSlowPublisherIsCutOff(t *testing.T) {
	r := newRig(t, func(o *gateway.Options) { o.ReadTimeout = 50 * time.Millisecond })
	owner := r.token("owner")
	server := httptest.NewServer(r.g)
	defer server.Close()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	req, _ := http.NewRequest("POST", "/", http.NoBody)
	req.SetBasicAuth(owner, "x")
	fmt.Fprintf(conn, "POST /topics/widgets HTTP/1.1\r\nHost: gateway\r\nAuthorization: %s\r\nContent-Length: 1000\r\n\r\n{", req.Header.Get("Authorization"))
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	line, err := bufio.NewReader(conn).ReadString('\n')
	if errors.Is(err, os.ErrDeadlineExceeded) || err == nil && !strings.Contains(line, " 400 ") {
		t.Errorf("a client that doesn't go on sending gets %q, %v", line, err)
	}
}

// The time for the body is the body's alone: what follows may take longer.
func TestReadTimeoutEndsWithTheBody(t *testing.T) {
	var status int
	// On a busy machine a short time may not be enough for the body.
	for timeout := 50 * time.Millisecond; timeout < 10*time.Second; timeout *= 5 {
		if status = handshakeSlowerThanTheBody(t, timeout); status == http.StatusNoContent {
			return
		}
	}
	t.Errorf("a subscription whose handshake takes longer than the body may is answered %d", status)
}

// handshakeSlowerThanTheBody returns the status of a subscription whose callback
// takes four times the ReadTimeout.
func handshakeSlowerThanTheBody(t *testing.T, timeout time.Duration) int {
	t.Helper()
	callback := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(4 * timeout)
		w.Header().Set("WebHook-Allowed-Origin", "*")
	}))
	defer callback.Close()
	r := newRig(t, func(o *gateway.Options) {
		o.ReadTimeout = timeout
		o.Callbacks = gateway.CallbackOptions{AllowHTTP: true, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	})
	server := httptest.NewServer(r.g)
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/subscription",
		strings.NewReader(`{"topics":["widgets"],"callback":"`+callback.URL+`","format":"cloudevents-batch"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(r.token("reader"), "x")
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// A body that is too large is refused whole.
func TestLargeBodyIsRefused(t *testing.T) {
	r := newRig(t, func(o *gateway.Options) { o.MaxBody = 200 })
	owner := r.token("owner")
	const event = `{"type":"create","url":"https://api.example/widgets/1"}`
	r.must(413, owner, "POST", "/topics/widgets", event+strings.Repeat(" ", 200))
	r.must(413, owner, "POST", "/subscription", `{"topics":["widgets"`+strings.Repeat(" ", 200)+`]}`)
	r.must(200, owner, "POST", "/topics/widgets", event)
}

// A callback that answers slowly, or without end, holds its subscriber up no
// longer than the timeout.
func TestSlowCallbackIsCutOff(t *testing.T) {
	release := make(chan struct{})
	callback := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer callback.Close()
	defer close(release)
	r := newRig(t, func(o *gateway.Options) {
		o.Callbacks = gateway.CallbackOptions{AllowHTTP: true, Timeout: 50 * time.Millisecond, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	})
	owner, reader := r.token("owner"), r.token("reader")
	r.must(204, reader, "POST", "/subscription", `{"topics":["widgets"],"callback":"`+callback.URL+`","timeout":0}`)
	r.push(owner, "widgets", "https://api.example/widgets/1")
	// It has the event and doesn't answer: that is a refusal, for it may be the
	// event that it stumbles over.
	r.eventually("the request is given up", func() bool { return r.g.Stats().Refused > 0 })
}

// The whole way over TLS, with the certificates of the callback checked.
func TestEndToEndOverTLS(t *testing.T) {
	got := make(chan string, 10)
	callback := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		got <- user + ":" + password
		w.WriteHeader(http.StatusNoContent)
	}))
	defer callback.Close()
	r := newRig(t, func(o *gateway.Options) {
		o.Callbacks.Transport = nil
		o.Callbacks.Networks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		o.Callbacks.TLS = callback.Client().Transport.(*http.Transport).TLSClientConfig
	})
	owner, reader := r.token("owner"), r.token("reader")
	r.must(204, reader, "POST", "/subscription", `{"topics":["widgets"],"callback":"`+callback.URL+`/events","uuid":"u","timeout":0}`)
	r.push(owner, "widgets", "https://api.example/widgets/1")
	select {
	case auth := <-got:
		if auth != "u:x" {
			t.Errorf("the callback got the credentials %q", auth)
		}
	case <-time.After(patience):
		t.Fatalf("nothing came; %+v", r.g.Subscribers())
	}
}
