package resn

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sony/gobreaker/v2"
)

// script answers requests one after another; the last answer repeats.
type script struct {
	answers []func() (*http.Response, error)
	bodies  []string
	calls   int
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		b, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		s.bodies = append(s.bodies, string(b))
		_ = req.Body.Close()
	}
	i := min(s.calls, len(s.answers)-1)
	s.calls++
	return s.answers[i]()
}

func status(code int, header ...string) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader("x"))}, nil
	}
}

func breaks() (*http.Response, error) { return nil, errors.New("connection reset") }

func send(t *testing.T, rt http.RoundTripper, method, body string) (int, error) {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://owner.example/1", r)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	_ = resp.Body.Close()
	return resp.StatusCode, nil
}

func TestGuardRepeatsWhatMayBeRepeated(t *testing.T) {
	for _, tt := range []struct {
		rule         string
		method, body string
		answers      []func() (*http.Response, error)
		want, calls  int
	}{
		{"a GET is repeated after a connection error", "GET", "", []func() (*http.Response, error){breaks, status(200)}, 200, 2},
		{"a GET is repeated after 503", "GET", "", []func() (*http.Response, error){status(503), status(503), status(200)}, 200, 3},
		{"repeats end, and the caller gets the last answer", "GET", "", []func() (*http.Response, error){status(503)}, 503, 3},
		{"a PUT is repeated with its body", "PUT", "new", []func() (*http.Response, error){breaks, status(204)}, 204, 2},
		{"a POST is never repeated", "POST", "new", []func() (*http.Response, error){status(503), status(200)}, 503, 1},
		{"a PATCH is never repeated", "PATCH", "new", []func() (*http.Response, error){status(503), status(200)}, 503, 1},
		{"404 is an answer", "GET", "", []func() (*http.Response, error){status(404), status(200)}, 404, 1},
		{"501 stays 501", "GET", "", []func() (*http.Response, error){status(501), status(200)}, 501, 1},
		{"429 is repeated after what it asks for", "GET", "", []func() (*http.Response, error){status(429, "Retry-After", "1"), status(200)}, 200, 2},
		{"more patience than MaxWait isn't spent", "GET", "", []func() (*http.Response, error){status(503, "Retry-After", "60"), status(200)}, 503, 1},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: tt.answers}
				began := time.Now()
				got, err := send(t, NewGuard(s, nil), tt.method, tt.body)
				if err != nil || got != tt.want || s.calls != tt.calls {
					t.Errorf("rule broken: %s: status %d after %d calls, %v; want %d after %d", tt.rule, got, s.calls, err, tt.want, tt.calls)
				}
				for _, b := range s.bodies {
					if b != tt.body {
						t.Errorf("a repeat sent the body %q instead of %q", b, tt.body)
					}
				}
				if strings.HasPrefix(tt.rule, "429") && time.Since(began) < time.Second {
					t.Errorf("Retry-After: 1 was answered after %v", time.Since(began))
				}
			})
		})
	}
}

func TestGuardLeavesAFailingOriginAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []func() (*http.Response, error){breaks}}
		g := NewGuard(s, &GuardOptions{Retries: -1})
		for range 5 {
			if _, err := send(t, g, "GET", ""); err == nil || errors.Is(err, gobreaker.ErrOpenState) {
				t.Fatalf("a failure below the limit gave %v", err)
			}
		}
		_, err := send(t, g, "GET", "")
		if !errors.Is(err, gobreaker.ErrOpenState) || s.calls != 5 {
			t.Fatalf("after 5 failures in a row the origin was asked again: %d calls, %v", s.calls, err)
		}
		if !strings.Contains(err.Error(), "owner.example") {
			t.Errorf("the error doesn't say which origin is left alone: %v", err)
		}
		time.Sleep(5*time.Second + time.Millisecond)
		s.answers = []func() (*http.Response, error){status(200)}
		if code, err := send(t, g, "GET", ""); err != nil || code != 200 {
			t.Fatalf("after OpenFor one request should try: %d, %v", code, err)
		}
		if code, err := send(t, g, "GET", ""); err != nil || code != 200 {
			t.Errorf("after a success the circuit should be closed: %d, %v", code, err)
		}
	})
}

func TestGuardForgetsFailuresThatASuccessInterrupts(t *testing.T) {
	s := &script{}
	for range 12 { // never five in a row
		s.answers = append(s.answers, breaks, breaks, breaks, breaks, status(200))
	}
	g := NewGuard(s, &GuardOptions{Retries: -1})
	for i := range len(s.answers) {
		if _, err := send(t, g, "GET", ""); errors.Is(err, gobreaker.ErrOpenState) {
			t.Fatalf("the circuit opened at request %d, without five failures in a row", i)
		}
	}
}

func TestGuardDoesNotCountTheCallersEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := &script{answers: []func() (*http.Response, error){func() (*http.Response, error) { return nil, context.Canceled }}}
	g := NewGuard(s, nil)
	for range 20 {
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://owner.example/", nil)
		resp, err := g.RoundTrip(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("a cancelled request gave %v", err)
		}
	}
	s.answers = []func() (*http.Response, error){status(200)}
	if code, err := send(t, g, "GET", ""); err != nil || code != 200 {
		t.Errorf("cancelled requests opened the circuit: %d, %v", code, err)
	}
}

func TestGuardBudgetsRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []func() (*http.Response, error){status(503)}}
		g := NewGuard(s, &GuardOptions{Failures: 1 << 30})
		for range 100 {
			if _, err := send(t, g, "GET", ""); err != nil {
				t.Fatal(err)
			}
		}
		if repeats := s.calls - 100; repeats > 10 {
			t.Errorf("a failing owner got %d repeats on top of 100 requests; the budget is 10", repeats)
		}
	})
}

func TestGuardCostsNothingOnSuccess(t *testing.T) {
	resp := &http.Response{StatusCode: 200, Body: http.NoBody}
	g := NewGuard(roundTripper(func(*http.Request) (*http.Response, error) { return resp, nil }), nil)
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://owner.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(1000, func() {
		if _, err := g.RoundTrip(req); err != nil { //nolint:bodyclose // http.NoBody
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("breaker and retries allocate %v times for a request that succeeds at once", n)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func BenchmarkGuard(b *testing.B) {
	resp := &http.Response{StatusCode: 200, Body: http.NoBody}
	g := NewGuard(roundTripper(func(*http.Request) (*http.Response, error) { return resp, nil }), nil)
	req, err := http.NewRequestWithContext(b.Context(), "GET", "http://owner.example/", nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := g.RoundTrip(req); err != nil { //nolint:bodyclose // http.NoBody
			b.Fatal(err)
		}
	}
}
