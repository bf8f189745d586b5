package discovery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/discovery"
)

// wire is a network of servers by address that needs no sockets.
type wire struct {
	mu      sync.Mutex
	servers map[string]http.RoundTripper
	seen    []string // address and what was asked
	other   http.RoundTripper
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	w.mu.Lock()
	h := w.servers[req.URL.Host]
	if h == nil {
		h = w.other
	}
	w.seen = append(w.seen, req.URL.Host)
	w.mu.Unlock()
	if req.Body != nil {
		defer func() { _ = req.Body.Close() }()
	}
	if h == nil {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	return h.RoundTrip(req)
}

func (w *wire) set(address string, h http.RoundTripper) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.servers == nil {
		w.servers = make(map[string]http.RoundTripper)
	}
	w.servers[address] = h
}

func (w *wire) count(address string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.seen {
		if s == address {
			n++
		}
	}
	return n
}

// says answers with a status and a body.
func says(status int, body string) http.RoundTripper { return fixed{status, body} }

type fixed struct {
	status int
	body   string
}

func (f fixed) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: f.status, Header: http.Header{}, Request: req,
		Body: io.NopCloser(strings.NewReader(f.body)), ContentLength: int64(len(f.body)),
	}, nil
}

// does answers by a function.
type does func(*http.Request) (*http.Response, error)

func (d does) RoundTrip(req *http.Request) (*http.Response, error) { return d(req) }

// fails answers with an error.
func fails(err error) http.RoundTripper {
	return does(func(*http.Request) (*http.Response, error) { return nil, err })
}

// answer is a response without its body's duties.
type answer struct {
	status int
	body   string
	url    string
	err    error
}

func do(t *testing.T, rt http.RoundTripper, method, target string, body io.Reader) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	return roundTrip(rt, req)
}

// newRequest is a GET.
func newRequest(target string) (*http.Request, error) {
	return http.NewRequest(http.MethodGet, target, nil)
}

func roundTrip(rt http.RoundTripper, req *http.Request) answer {
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, string(b), resp.Request.URL.String(), err}
}

func TestServiceNamesAndOrigins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil)
		for _, s := range []string{"restaurants", "orders", "shop"} {
			i := restaurant("i")
			i.Service, i.Endpoints[0].Address = s, s+".internal:8080"
			f.add(t, i)
		}
		w := &wire{other: does(func(req *http.Request) (*http.Response, error) {
			return says(200, req.URL.String()+" for "+req.Host).RoundTrip(req)
		})}
		tr := discovery.NewTransport(w, f.resolver, &discovery.TransportOptions{Origins: map[string]string{
			"https://api.example":         "shop",
			"https://API.example/orders/": "orders",
			"http://other.example:8080":   "restaurants",
		}})
		for target, want := range map[string]string{
			"http://restaurants/restaurants/203?x=1":  "http://restaurants.internal:8080/restaurants/203?x=1 for restaurants",
			"https://api.example/":                    "http://shop.internal:8080/ for api.example",
			"https://api.example:443/orders":          "http://orders.internal:8080/orders for api.example:443",
			"https://api.example/orders/9":            "http://orders.internal:8080/orders/9 for api.example",
			"https://api.example/orders-of-magnitude": "http://shop.internal:8080/orders-of-magnitude for api.example",
			"http://api.example/orders/9":             "http://api.example/orders/9 for api.example",
			"http://other.example:8080/x":             "http://restaurants.internal:8080/x for other.example:8080",
			"http://localhost/x":                      "http://localhost/x for localhost",
			"http://restaurants:8080/x":               "http://restaurants:8080/x for restaurants:8080",
			"http://127.0.0.1/x":                      "http://127.0.0.1/x for 127.0.0.1",
		} {
			got := do(t, tr, http.MethodGet, target, nil)
			expect(t, target, got.body, want)
			expect(t, "the response belongs to the canonical URL", got.url, target)
		}
		strict := discovery.NewTransport(w, f.resolver, &discovery.TransportOptions{Strict: true})
		if got := do(t, strict, http.MethodGet, "http://elsewhere.example/", nil); !errors.Is(got.err, discovery.ErrUnknownService) {
			t.Errorf("Strict lets nothing out: %v", got.err)
		}
		wrong := discovery.NewTransport(w, f.resolver, &discovery.TransportOptions{Origins: map[string]string{"api.example": "shop"}})
		if got := do(t, wrong, http.MethodGet, "http://shop/", nil); got.err == nil {
			t.Error("an origin without a scheme is reported")
		}
	})
}

func TestHostFieldIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, restaurant("a"))
		w := &wire{other: does(func(req *http.Request) (*http.Response, error) { return says(200, req.Host).RoundTrip(req) })}
		tr := discovery.NewTransport(w, f.resolver, nil)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://restaurants/", nil)
		if err != nil {
			t.Fatal(err)
		}
		before := *req.URL
		req.Host = "menu.example"
		expect(t, "the caller's Host field is kept", roundTrip(tr, req).body, "menu.example")
		expect(t, "the caller's request isn't changed", *req.URL, before)
	})
}

func TestBusEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := restaurant("a")
		i.Endpoints = append(i.Endpoints, discovery.Endpoint{Scheme: "bus", Address: "restaurants"})
		only := restaurant("b")
		only.Endpoints = []discovery.Endpoint{{Scheme: "ftp", Address: "b:21"}}
		f := newFleet(t, &discovery.ResolverOptions{Schemes: []string{"bus", "http"}}, i, only)
		tcp, busLike := &wire{other: says(200, "tcp")}, &wire{other: says(200, "bus")}
		tr := discovery.NewTransport(tcp, f.resolver, &discovery.TransportOptions{Schemes: map[string]http.RoundTripper{"bus": busLike}})
		for range 20 {
			expect(t, "the preferred scheme is used", do(t, tr, http.MethodGet, "http://restaurants/", nil).body, "bus")
		}
		if busLike.count("restaurants") != 20 {
			t.Errorf("the address on the bus is the URL's host: %v", busLike.seen)
		}
	})
}

func TestRetryOnAnotherInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, many(3, "i", "", "")...)
		w := &wire{other: says(200, "fine")}
		reset := fails(errors.New("connection reset"))
		tr := discovery.NewTransport(w, f.resolver, &discovery.TransportOptions{Retry: discovery.RetryOptions{Burst: 1000}})
		for _, bad := range []http.RoundTripper{reset, says(503, "no"), says(502, "no"), says(504, "no")} {
			w.set("i001.example:80", bad)
			for range 50 {
				if got := do(t, tr, http.MethodGet, "http://restaurants/", nil); got.body != "fine" || got.err != nil {
					t.Fatalf("an idempotent request is tried on another instance: %+v", got)
				}
			}
			time.Sleep(time.Minute) // the breaker closes
			do(t, tr, http.MethodGet, "http://restaurants/", nil)
		}
	})
}

func TestWhatIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, many(5, "i", "", "")...)
		reset := errors.New("connection reset")
		sent := 0
		w := &wire{other: does(func(req *http.Request) (*http.Response, error) {
			sent++
			if req.Body != nil {
				_, _ = io.Copy(io.Discard, req.Body)
			}
			return nil, reset
		})}
		tr := discovery.NewTransport(w, f.resolver, nil)
		try := func(method, key string, body io.Reader) int {
			req, err := http.NewRequestWithContext(t.Context(), method, "http://restaurants/", body)
			if err != nil {
				t.Fatal(err)
			}
			if key != "" {
				req.Header.Set("Idempotency-Key", key)
			}
			sent = 0
			var failed *discovery.AttemptError
			if got := roundTrip(tr, req); !errors.Is(got.err, reset) || !errors.As(got.err, &failed) || failed.Service != "restaurants" {
				t.Errorf("%s: the error is the last instance's: %v", method, got.err)
			}
			time.Sleep(time.Minute)
			return sent
		}
		expect(t, "POST may have had its effect", try(http.MethodPost, "", strings.NewReader("x")), 1)
		expect(t, "POST with a key is idempotent", try(http.MethodPost, "k1", strings.NewReader("x")), 3)
		expect(t, "PUT with a body that can be had again", try(http.MethodPut, "", strings.NewReader("x")), 3)
		expect(t, "PUT with a body that was read and is gone", try(http.MethodPut, "", io.LimitReader(strings.NewReader("x"), 1)), 1)
		expect(t, "GET", try(http.MethodGet, "", nil), 3)
	})
}

func TestWhatWasNotSentGoesElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, many(10, "i", "", "")...)
		w := &wire{} // everybody refuses, except
		w.set("i007.example:80", does(func(req *http.Request) (*http.Response, error) {
			b, err := io.ReadAll(req.Body)
			return says(200, "got "+string(b)).RoundTrip(&http.Request{Method: req.Method, URL: req.URL, Header: http.Header{"X": {fmt.Sprint(err)}}})
		}))
		tr := discovery.NewTransport(w, f.resolver, nil)
		// Neither idempotent nor replayable: but nobody had it.
		closed := 0
		body := &closing{Reader: io.LimitReader(strings.NewReader("the order"), 100), closed: &closed}
		got := do(t, tr, http.MethodPost, "http://restaurants/", body)
		expect(t, "a request that reached nobody goes on to the one who is there", got.body, "got the order")
		expect(t, "the caller's body is closed once", closed, 1)
	})
}

// closing counts Close.
type closing struct {
	io.Reader
	closed *int
}

func (c *closing) Close() error { *c.closed++; return nil }

func TestReplayedBodyIsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, many(2, "i", "", "")...)
		first := true
		w := &wire{other: does(func(req *http.Request) (*http.Response, error) {
			if first {
				first = false
				_, _ = io.CopyN(io.Discard, req.Body, 5)
				return nil, errors.New("connection reset")
			}
			b, _ := io.ReadAll(req.Body)
			return says(200, string(b)).RoundTrip(req)
		})}
		tr := discovery.NewTransport(w, f.resolver, nil)
		expect(t, "the second instance gets the whole body", do(t, tr, http.MethodPut, "http://restaurants/", bytes.NewReader([]byte("the whole body"))).body, "the whole body")
	})
}

func TestRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, &discovery.ResolverOptions{Breaker: discovery.BreakerOptions{Failures: 1 << 30}, Outlier: discovery.OutlierOptions{ErrorRate: 2}}, many(10, "i", "", "")...)
		sent := 0
		w := &wire{other: does(func(*http.Request) (*http.Response, error) { sent++; return nil, errors.New("connection reset") })}
		tr := discovery.NewTransport(w, f.resolver, nil)
		const n = 10_000
		for range n {
			do(t, tr, http.MethodGet, "http://restaurants/", nil)
		}
		if sent > n+n/5+100 || sent < n+n/5 {
			t.Errorf("in an outage retries add a fifth to the load, and the burst: %d sent for %d", sent, n)
		}
	})
}

func TestInstanceDiesInTheMiddleOfABody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, many(2, "i", "", "")...)
		w := &wire{other: says(200, "the whole answer")}
		w.set("i000.example:80", does(func(req *http.Request) (*http.Response, error) {
			resp, err := says(200, "the whole answer").RoundTrip(req)
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("the who"), &broken{}))
			return resp, err
		}))
		tr := discovery.NewTransport(w, f.resolver, nil)
		for range 20 {
			if got := do(t, tr, http.MethodGet, "http://restaurants/", nil); got.body != "the whole answer" {
				t.Fatalf("a small body that breaks off is fetched from another instance: %+v", got)
			}
		}
		if w.count("i000.example:80") == 0 {
			t.Error("the broken instance was never asked, so nothing was tested")
		}
	})
}

type broken struct{}

func (*broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestStreamsAreNotHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, restaurant("a"))
		r, wr := io.Pipe()
		w := &wire{other: does(func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: r, ContentLength: -1, Request: req}, nil
		})}
		tr := discovery.NewTransport(w, f.resolver, nil)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://restaurants/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if n := f.resolver.Stats()[0].Instances[0].InFlight; n != 1 {
			t.Errorf("an instance is busy until the body has ended: %d in flight", n)
		}
		go func() { _, _ = wr.Write([]byte("now")) }()
		b := make([]byte, 3)
		if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != "now" {
			t.Errorf("a stream arrives as it comes: %q, %v", b, err)
		}
		_ = resp.Body.Close()
		_ = resp.Body.Close()
		if n := f.resolver.Stats()[0].Instances[0].InFlight; n != 0 {
			t.Errorf("and no longer: %d in flight", n)
		}
	})
}

func TestHungInstanceIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, many(3, "i", "", "")...)
		w := &wire{other: says(200, "fine")}
		w.set("i000.example:80", does(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}))
		tr := discovery.NewTransport(w, f.resolver, &discovery.TransportOptions{AttemptTimeout: time.Second})
		for range 20 {
			began := time.Now()
			if got := do(t, tr, http.MethodGet, "http://restaurants/", nil); got.body != "fine" || time.Since(began) > time.Second {
				t.Fatalf("an instance that says nothing is given up for another, after a second: %+v after %v", got, time.Since(began))
			}
		}
		if n := w.count("i000.example:80"); n == 0 || n > 6 {
			t.Errorf("after five failures in a row its breaker is open: asked %d times", n)
		}
		got := do(t, discovery.NewTransport(w, f.resolver, &discovery.TransportOptions{AttemptTimeout: time.Second}), http.MethodPost, "http://restaurants/", nil)
		for got.err == nil {
			time.Sleep(time.Second)
			got = do(t, tr, http.MethodPost, "http://restaurants/", nil)
		}
		var timeout interface{ Timeout() bool }
		if !errors.As(got.err, &timeout) || !timeout.Timeout() || !(&url.Error{Err: got.err}).Timeout() {
			t.Errorf("an attempt's timeout is one: %v", got.err)
		}
	})
}

func TestBreakerPerInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, many(3, "i", "", "")...)
		w := &wire{other: says(200, "fine")}
		tr := discovery.NewTransport(w, f.resolver, nil)
		refuse := fails(&net.OpError{Op: "dial", Err: errors.New("refused")})
		w.set("i001.example:80", refuse)
		run := func(n int) int {
			before := w.count("i001.example:80")
			for range n {
				if got := do(t, tr, http.MethodPost, "http://restaurants/", nil); got.err != nil {
					t.Fatal(got.err)
				}
			}
			return w.count("i001.example:80") - before
		}
		expect(t, "one refused connection opens the breaker", run(500), 1)
		time.Sleep(3 * time.Second)
		expect(t, "after its pause one request tries, and it opens again", run(500), 1)
		w.set("i001.example:80", says(200, "fine"))
		time.Sleep(3 * time.Second)
		if n := run(600); n < 120 { // of 200; by chance once in 10¹¹ runs
			t.Errorf("when the trial succeeds the instance has its share again: %d of 600", n)
		}
	})
}

func TestAllBreakersOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, many(3, "i", "", "")...)
		w := &wire{}
		tr := discovery.NewTransport(w, f.resolver, nil)
		for range 10 {
			if got := do(t, tr, http.MethodGet, "http://restaurants/", nil); got.err == nil {
				t.Fatal("nobody is there")
			}
		}
		w.other = says(200, "fine")
		if got := do(t, tr, http.MethodGet, "http://restaurants/", nil); got.body != "fine" {
			t.Errorf("when every breaker is open requests are tried all the same: %+v", got)
		}
	})
}

func TestTrialUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, restaurant("a"))
		w := &wire{}
		tr := discovery.NewTransport(w, f.resolver, nil)
		do(t, tr, http.MethodGet, "http://restaurants/", nil) // opens the breaker
		time.Sleep(3 * time.Second)
		hold, held := make(chan struct{}), make(chan answer)
		w.set("a.example:80", does(func(req *http.Request) (*http.Response, error) {
			if req.URL.Path == "/trial" {
				<-hold
			}
			return says(200, "fine").RoundTrip(req)
		}))
		go func() { held <- do(t, tr, http.MethodGet, "http://restaurants/trial", nil) }()
		synctest.Wait()
		if got := do(t, tr, http.MethodGet, "http://restaurants/", nil); got.body != "fine" {
			t.Errorf("while the only instance's breaker has its trial under way others are sent all the same: %+v", got)
		}
		close(hold)
		<-held
	})
}

func TestCancelledCallerBlamesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, many(2, "i", "", "")...)
		w := &wire{other: does(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		})}
		tr := discovery.NewTransport(w, f.resolver, nil)
		for range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://restaurants/", nil)
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(time.Second, cancel)
			if got := roundTrip(tr, req); !errors.Is(got.err, context.Canceled) {
				t.Errorf("a cancelled request says so: %v", got.err)
			}
		}
		expect(t, "it is sent once", len(w.seen), 20)
		for _, i := range f.resolver.Stats()[0].Instances {
			if i.Open || i.Ejected || i.InFlight != 0 {
				t.Errorf("callers that go away say nothing about the instance: %+v", i)
			}
		}
	})
}

// splitter is a binding by a header.
type splitter struct{ split *discovery.Split }

func (s splitter) Split(r *http.Request, service string) (*discovery.Split, string) {
	if service != "restaurants" {
		return nil, ""
	}
	return s.split, r.Header.Get("Customer")
}

func TestTransportAsksTheSplitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, append(many(3, "a", "", "v1"), many(1, "b", "", "v2")...)...)
		w := &wire{other: says(200, "")}
		tr := discovery.NewTransport(w, f.resolver, &discovery.TransportOptions{Splitter: splitter{&discovery.Split{Versions: weights("v1", 50, "v2", 50)}}})
		for range 200 {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://restaurants/", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Customer", "c2")
			roundTrip(tr, req)
		}
		hosts := make(map[byte]int)
		for _, s := range w.seen {
			hosts[s[0]]++
		}
		if len(hosts) != 1 {
			t.Errorf("a customer stays with a version: %v", hosts)
		}
		w.seen = nil
		for range 2000 {
			do(t, tr, http.MethodGet, "http://restaurants/", nil)
		}
		share(t, "those without a key are split", w.count("b000.example:80"), 2000, 0.5, 0.08)
	})
}

func TestOnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, nil, restaurant("a"), restaurant("b"))
		w := &wire{other: says(200, "")}
		w.set("a.example:80", says(503, ""))
		var got []string
		tr := discovery.NewTransport(w, f.resolver, &discovery.TransportOptions{OnAttempt: func(a discovery.Attempt) {
			got = append(got, fmt.Sprint(a.Service, a.Number, a.Instance.ID, a.Status, a.Request.URL))
		}})
		for !strings.Contains(strings.Join(got, " "), "503") {
			got = nil
			do(t, tr, http.MethodGet, "http://restaurants/x", nil)
		}
		expect(t, "every attempt is told", got, []string{"restaurants1a503 http://restaurants/x", "restaurants2b200 http://restaurants/x"})
	})
}
