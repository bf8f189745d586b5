package auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/auth"
)

// counter is a source of numbered tokens.
type counter struct {
	mu    sync.Mutex
	n     int
	wait  time.Duration
	lives time.Duration
	err   error
}

func (c *counter) Token(ctx context.Context, audience string) (auth.Token, error) {
	select {
	case <-time.After(c.wait):
	case <-ctx.Done():
		return auth.Token{}, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return auth.Token{Access: fmt.Sprintf("%s#%d", audience, c.n), Expires: time.Now().Add(c.lives)}, c.err
}

func (c *counter) asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// seen is what a server saw of a request.
type seen struct{ url, authorization, body string }

type recorder struct {
	mu     sync.Mutex
	all    []seen
	answer func(*http.Request) (status int, header http.Header)
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	body := ""
	if req.Body != nil {
		b, _ := io.ReadAll(req.Body)
		_ = req.Body.Close()
		body = string(b)
	}
	r.mu.Lock()
	r.all = append(r.all, seen{req.URL.String(), req.Header.Get("Authorization"), body})
	r.mu.Unlock()
	resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: req, ProtoMajor: 1, ProtoMinor: 1}
	if r.answer != nil {
		resp.StatusCode, resp.Header = r.answer(req)
	}
	return resp, nil
}

func (r *recorder) last() seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all[len(r.all)-1]
}

func send(t *testing.T, rt http.RoundTripper, method, url, body string) (int, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: rt}).Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func newTransport(t *testing.T, next http.RoundTripper, s auth.Source, opts *auth.TransportOptions) *auth.Transport {
	t.Helper()
	rt, err := auth.NewTransport(next, s, map[string]string{"https://orders.example": "orders", "http://orders": "orders", "https://riders.example:8443": "riders"}, opts)
	if err != nil {
		t.Fatal(err)
	}
	return rt
}

func TestTokensGoToTheirOriginsOnly(t *testing.T) {
	r := &recorder{answer: func(req *http.Request) (int, http.Header) {
		if req.URL.Path == "/away" {
			return 302, http.Header{"Location": {"https://evil.example/"}}
		}
		return 200, nil
	}}
	rt := newTransport(t, r, &counter{lives: time.Hour}, nil)
	for url, want := range map[string]string{
		"https://orders.example/1":       "Bearer orders#",
		"https://ORDERS.example:443/1":   "Bearer orders#",
		"http://orders/1":                "Bearer orders#",
		"https://riders.example:8443/":   "Bearer riders#",
		"http://orders.example/1":        "", // without TLS
		"https://riders.example/":        "",
		"https://orders.example.evil/":   "",
		"https://orders.example@evil.ex": "Basic ", // what is before the @ is a user
		"https://evil.example/orders":    "",
		"https://orders.example/away":    "", // where it was redirected to
	} {
		if _, err := send(t, rt, http.MethodGet, url, ""); err != nil {
			t.Fatal(err)
		}
		if got := r.last().authorization; !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: Authorization %q, want %q", url, got, want)
		}
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://orders.example/", nil)
	req.Host = "evil.example"
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := r.last().authorization; got != "" {
		t.Errorf("a request that names another host has a token: %q", got)
	}
	if len(req.Header) != 0 {
		t.Errorf("the caller's request was changed: %v", req.Header)
	}
}

func TestOneQuestionForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := &recorder{}, &counter{wait: time.Second, lives: time.Hour}
		rt := newTransport(t, r, s, nil)
		var group sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		group.Go(func() { // the one that asks first gives up
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://orders/", nil)
			if resp, err := rt.RoundTrip(req); !errors.Is(err, context.Canceled) {
				t.Errorf("a caller that gave up: %v", err)
				_ = resp.Body.Close()
			}
		})
		synctest.Wait()
		for range 50 {
			group.Go(func() {
				if _, err := send(t, rt, http.MethodGet, "http://orders/", ""); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		cancel()
		group.Wait()
		if n := s.asked(); n != 1 || len(r.all) != 50 {
			t.Errorf("%d questions for %d requests, want 1 for 50", n, len(r.all))
		}
	})
}

func TestTokensAreRenewedAheadOfTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := &recorder{}, &counter{wait: time.Second, lives: 100 * time.Second}
		rt := newTransport(t, r, s, nil)
		get := func(want string) {
			t.Helper()
			began := time.Now()
			if _, err := send(t, rt, http.MethodGet, "http://orders/", ""); err != nil {
				t.Error(err)
			}
			if got := r.last().authorization; got != "Bearer "+want {
				t.Errorf("after %s: %q, want %q", time.Since(began), got, want)
			}
			if s.asked() > 0 && time.Since(began) > 0 && want != "orders#1" {
				t.Errorf("the request waited %s for a token that wasn't needed yet", time.Since(began))
			}
		}
		get("orders#1")
		time.Sleep(85 * time.Second)
		get("orders#1") // still good, the next one is on its way
		time.Sleep(2 * time.Second)
		get("orders#2")

		s.mu.Lock()
		s.err = errors.New("the issuer is away")
		s.mu.Unlock()
		time.Sleep(90 * time.Second)
		get("orders#2")
		time.Sleep(20 * time.Second)
		if _, err := send(t, rt, http.MethodGet, "http://orders/", ""); err == nil || !strings.Contains(err.Error(), "the issuer is away") {
			t.Errorf("without a token: %v", err)
		}
	})
}

func TestATokenThatIsNotValidIsReplacedOnce(t *testing.T) {
	refuse := func(challenge string) func(*http.Request) (int, http.Header) {
		return func(req *http.Request) (int, http.Header) {
			if !strings.HasSuffix(req.Header.Get("Authorization"), "#2") {
				return 401, http.Header{"Www-Authenticate": {challenge}}
			}
			return 200, nil
		}
	}
	r, s := &recorder{answer: refuse(`Bearer error="invalid_token"`)}, &counter{lives: time.Hour}
	status, err := send(t, newTransport(t, r, s, nil), http.MethodPost, "http://orders/", "a body")
	if err != nil || status != 200 || len(r.all) != 2 || r.last().body != "a body" {
		t.Errorf("status %d, %v after %d requests, the last with body %q; want 200 after 2, with the body", status, err, len(r.all), r.last().body)
	}
	r, s = &recorder{answer: refuse(`Bearer error="insufficient_scope"`)}, &counter{lives: time.Hour}
	status, err = send(t, newTransport(t, r, s, nil), http.MethodGet, "http://orders/", "")
	if err != nil || status != 401 || len(r.all) != 1 {
		t.Errorf("status %d, %v after %d requests; another token wouldn't help", status, err, len(r.all))
	}
	r, s = &recorder{answer: func(*http.Request) (int, http.Header) {
		return 401, http.Header{"Www-Authenticate": {`Bearer error="invalid_token"`}}
	}}, &counter{lives: time.Hour}
	status, _ = send(t, newTransport(t, r, s, nil), http.MethodGet, "http://orders/", "")
	if status != 401 || len(r.all) != 2 {
		t.Errorf("status %d after %d requests; a service that refuses every token is asked twice", status, len(r.all))
	}
}

func TestOptionalTokens(t *testing.T) {
	r := &recorder{}
	rt := newTransport(t, r, &counter{err: errors.New("no"), lives: time.Hour}, &auth.TransportOptions{Optional: true})
	if status, err := send(t, rt, http.MethodGet, "http://orders/", ""); err != nil || status != 200 || r.last().authorization != "" {
		t.Errorf("status %d, %v, Authorization %q", status, err, r.last().authorization)
	}
	for _, bad := range []string{"orders", "https://x/path", "ftp://x", ""} {
		if _, err := auth.NewTransport(nil, nil, map[string]string{bad: "x"}, nil); err == nil {
			t.Errorf("origin %q is accepted", bad)
		}
	}
}
