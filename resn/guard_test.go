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

// answer is what an origin does with a request.
type answer struct {
	status     int
	retryAfter string
	err        error
}

var (
	fine        = answer{status: http.StatusOK}
	unavailable = answer{status: http.StatusServiceUnavailable}
	breaks      = answer{err: errors.New("connection reset")}
)

// script answers requests one after another; the last answer repeats.
type script struct {
	answers []answer
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
	a := s.answers[min(s.calls, len(s.answers)-1)]
	s.calls++
	if a.err != nil {
		return nil, a.err
	}
	h := http.Header{}
	if a.retryAfter != "" {
		h.Set("Retry-After", a.retryAfter)
	}
	return &http.Response{StatusCode: a.status, Header: h, Body: io.NopCloser(strings.NewReader("x"))}, nil
}

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

// Those who failed together must not come back together.
func TestGuardSpreadsRepeats(t *testing.T) {
	for rule, tt := range map[string]struct {
		first       answer
		least, most time.Duration
	}{
		"a failure is repeated within MinWait, and not before half of it": {unavailable, 25 * time.Millisecond, 50 * time.Millisecond},
		"what Retry-After asks for is the least":                          {answer{status: 503, retryAfter: "1"}, time.Second, 1500 * time.Millisecond},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				waits := map[time.Duration]bool{}
				for range 20 {
					began := time.Now()
					if got, err := send(t, NewGuard(&script{answers: []answer{tt.first, fine}}, nil), "GET", ""); err != nil || got != 200 {
						t.Fatalf("got %d, %v", got, err)
					}
					waited := time.Since(began)
					waits[waited] = true
					if waited < tt.least || waited > tt.most {
						t.Errorf("rule broken: %s: waited %v", rule, waited)
					}
				}
				if len(waits) < 10 {
					t.Errorf("20 repeats wait for %d different times: they have to be spread", len(waits))
				}
			})
		})
	}
}

func TestGuardRepeatsWhatMayBeRepeated(t *testing.T) {
	for _, tt := range []struct {
		rule         string
		method, body string
		answers      []answer
		want, calls  int
	}{
		{"a GET is repeated after a connection error", "GET", "", []answer{breaks, fine}, 200, 2},
		{"a GET is repeated after 503", "GET", "", []answer{unavailable, unavailable, fine}, 200, 3},
		{"repeats end, and the caller gets the last answer", "GET", "", []answer{unavailable}, 503, 3},
		{"a PUT is repeated with its body", "PUT", "new", []answer{breaks, {status: 204}}, 204, 2},
		{"a POST is never repeated", "POST", "new", []answer{unavailable, fine}, 503, 1},
		{"a PATCH is never repeated", "PATCH", "new", []answer{unavailable, fine}, 503, 1},
		{"404 is an answer", "GET", "", []answer{{status: 404}, fine}, 404, 1},
		{"501 stays 501", "GET", "", []answer{{status: 501}, fine}, 501, 1},
		{"429 is repeated after what it asks for", "GET", "", []answer{{status: 429, retryAfter: "1"}, fine}, 200, 2},
		{"more patience than MaxWait isn't spent", "GET", "", []answer{{status: 503, retryAfter: "60"}, fine}, 503, 1},
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
		s := &script{answers: []answer{breaks}}
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
		s.answers = []answer{fine}
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
		s.answers = append(s.answers, breaks, breaks, breaks, breaks, fine)
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
	s := &script{answers: []answer{{err: context.Canceled}}}
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
	s.answers = []answer{fine}
	if code, err := send(t, g, "GET", ""); err != nil || code != 200 {
		t.Errorf("cancelled requests opened the circuit: %d, %v", code, err)
	}
}

func TestGuardBudgetsRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{unavailable}}
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
		if _, err := g.RoundTrip(req); err != nil { //nolint:bodyclose // it is http.NoBody
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
		if _, err := g.RoundTrip(req); err != nil { //nolint:bodyclose // it is http.NoBody
			b.Fatal(err)
		}
	}
}
