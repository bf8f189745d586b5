package resn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/sony/gobreaker/v2"
)

// GuardOptions configures a [Guard]. The zero value, and nil, are useful.
type GuardOptions struct {
	// Retries is how many times a request that may be repeated is repeated at
	// the most. Negative for never. Default 2.
	Retries int

	// MinWait and MaxWait bound the wait before a repeat: exponential with
	// jitter, or what Retry-After asks for. An answer that asks for more than
	// MaxWait is handed to the caller instead. Defaults 50 ms and 2 s.
	MinWait, MaxWait time.Duration

	// RetryRatio bounds repeats as a share of the requests that succeed, so
	// that a struggling owner isn't buried under them; 10 are always allowed
	// to begin with. Default 0.1.
	RetryRatio float64

	// Failures in a row after which an origin isn't asked any more. Default 5.
	Failures int

	// OpenFor is how long an origin is left alone before one request tries
	// it. Default 5 s.
	OpenFor time.Duration

	// MaxOrigins bounds the origins that are kept account of; more share one
	// account. Default 1024.
	MaxOrigins int
}

// Guard is a RoundTripper that leaves a failing origin alone (a circuit
// breaker for each origin) and repeats what failed in passing. Only requests
// with a safe or idempotent method (RFC 9110 section 9.2.2) and a body that
// can be sent again are repeated. A request that succeeds at once at an origin
// without trouble costs neither of them anything. It is safe for concurrent
// use.
type Guard struct {
	next    http.RoundTripper
	opts    GuardOptions
	mu      sync.Mutex                         // for writing origins
	origins atomic.Pointer[map[string]*origin] // by host and port; copied on write
	rest    *origin                            // account of all beyond MaxOrigins
}

// origin is the account of one origin.
type origin struct {
	breaker *gobreaker.CircuitBreaker[*http.Response]
	// troubled is set by a failure and taken back by a success in the closed
	// state. The breaker trips on failures in a row, so while it isn't set
	// a success would change nothing, and the breaker needn't hear of it.
	troubled atomic.Bool
	failure  atomic.Pointer[string] // the newest, in words
	credit   atomic.Int64           // repeats allowed, in thousandths
}

const (
	creditOne  = 1000
	creditMost = 10 * creditOne
)

// NewGuard returns a Guard in front of next.
func NewGuard(next http.RoundTripper, opts *GuardOptions) *Guard {
	g := &Guard{next: next}
	if opts != nil {
		g.opts = *opts
	}
	o := &g.opts
	if o.Retries == 0 {
		o.Retries = 2
	}
	if o.MinWait <= 0 {
		o.MinWait = 50 * time.Millisecond
	}
	if o.MaxWait <= 0 {
		o.MaxWait = 2 * time.Second
	}
	if o.RetryRatio <= 0 {
		o.RetryRatio = 0.1
	}
	if o.Failures <= 0 {
		o.Failures = 5
	}
	if o.OpenFor <= 0 {
		o.OpenFor = 5 * time.Second
	}
	if o.MaxOrigins <= 0 {
		o.MaxOrigins = 1024
	}
	g.origins.Store(&map[string]*origin{})
	g.rest = g.newOrigin("other origins")
	return g
}

// CloseIdleConnections closes those of the transport behind.
func (g *Guard) CloseIdleConnections() {
	if c, ok := g.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RoundTrip sends the request. While an origin's circuit is open the error
// wraps [gobreaker.ErrOpenState].
func (g *Guard) RoundTrip(req *http.Request) (*http.Response, error) {
	o := g.origin(req.URL)
	resp, err := g.try(o, req)
	if err == nil && !failed(resp) {
		return resp, nil
	}
	return g.repeat(o, req, resp, err)
}

// try sends the request once.
func (g *Guard) try(o *origin, req *http.Request) (*http.Response, error) {
	if !o.troubled.Load() {
		resp, err := g.next.RoundTrip(req)
		if err == nil && resp.StatusCode < http.StatusInternalServerError {
			g.earn(o)
			return resp, nil
		}
		o.troubled.Store(true)
		return o.count(req.Context(), func() (*http.Response, error) { return resp, err })
	}
	resp, err := o.count(req.Context(), func() (*http.Response, error) { return g.next.RoundTrip(req) })
	if err == nil && resp.StatusCode < http.StatusInternalServerError && o.breaker.State() == gobreaker.StateClosed {
		o.troubled.Store(false)
		g.earn(o)
	}
	return resp, err
}

// count lets the breaker decide on f and hear what came of it.
func (o *origin) count(ctx context.Context, f func() (*http.Response, error)) (*http.Response, error) {
	var answer *http.Response
	resp, err := o.breaker.Execute(func() (*http.Response, error) {
		resp, err := f()
		answer = resp
		o.note(resp, err)
		switch {
		case err != nil && ctx.Err() != nil:
			return resp, &callerGoneError{err}
		case err == nil && resp.StatusCode >= http.StatusInternalServerError:
			return resp, errServer
		}
		return resp, err
	})
	switch e := err.(type) { //nolint:errorlint // exactly what f returned above
	case *callerGoneError:
		return nil, e.error
	case serverError:
		return answer, nil
	}
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return nil, fmt.Errorf("resn: %s is left alone for a while, because it kept failing (%s): %w", o.breaker.Name(), *o.failure.Load(), err)
	}
	return resp, err
}

// repeat goes on after a first attempt that failed.
func (g *Guard) repeat(o *origin, req *http.Request, resp *http.Response, err error) (*http.Response, error) {
	ctx := req.Context()
	for n := 0; n < g.opts.Retries && repeatable(req); n++ {
		again, _ := retryablehttp.DefaultRetryPolicy(ctx, resp, err)
		if silent := (*SilentError)(nil); errors.As(err, &silent) {
			break // it has had its time
		}
		if !again || o.breaker.State() == gobreaker.StateOpen || !o.spend() {
			break
		}
		wait, ok := g.wait(n, resp)
		if !ok {
			break
		}
		next := req
		if req.GetBody != nil {
			body, bodyErr := req.GetBody()
			if bodyErr != nil {
				break
			}
			next = req.Clone(ctx)
			next.Body = body
		}
		discard(resp)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		resp, err = g.try(o, next)
		if err == nil && !failed(resp) {
			break
		}
	}
	return resp, err
}

// wait returns how long to wait before repeat n, or false if the origin asks
// for more patience than the caller may have.
func (g *Guard) wait(n int, resp *http.Response) (time.Duration, bool) {
	wait := retryablehttp.DefaultBackoff(g.opts.MinWait, g.opts.MaxWait, n, resp)
	if wait > g.opts.MaxWait {
		return 0, false
	}
	spread := wait / 2
	if resp == nil || resp.Header.Get("Retry-After") == "" {
		wait -= spread // what the origin asked for is the least, ours the most
	}
	return wait + rand.N(spread+1), true
}

// origin returns the account of the origin of u.
func (g *Guard) origin(u *url.URL) *origin {
	if o, ok := (*g.origins.Load())[u.Host]; ok {
		return o
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	old := *g.origins.Load()
	if o, ok := old[u.Host]; ok {
		return o
	}
	if len(old) >= g.opts.MaxOrigins {
		return g.rest
	}
	grown := make(map[string]*origin, len(old)+1)
	maps.Copy(grown, old)
	o := g.newOrigin(u.Host)
	grown[u.Host] = o
	g.origins.Store(&grown)
	return o
}

func (g *Guard) newOrigin(name string) *origin {
	//nolint:bodyclose // the type is named, nothing is opened
	o := &origin{breaker: gobreaker.NewCircuitBreaker[*http.Response](gobreaker.Settings{
		Name:    name,
		Timeout: g.opts.OpenFor,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return int64(c.ConsecutiveFailures) >= int64(g.opts.Failures)
		},
		IsExcluded: func(err error) bool {
			_, gone := err.(*callerGoneError) //nolint:errorlint // exactly what count returned
			return gone
		},
	})}
	o.credit.Store(creditMost)
	o.failure.Store(new(string))
	return o
}

// note keeps what went wrong, for those who are refused because of it.
func (o *origin) note(resp *http.Response, err error) {
	var what string
	switch {
	case err != nil:
		what = err.Error()
	case resp.StatusCode >= http.StatusInternalServerError:
		what = resp.Status
	default:
		return
	}
	o.failure.Store(&what)
}

// earn pays a success into the budget of repeats.
func (g *Guard) earn(o *origin) {
	if c := o.credit.Load(); c < creditMost {
		o.credit.Store(min(creditMost, c+int64(g.opts.RetryRatio*creditOne)))
	}
}

// spend takes a repeat out of the budget.
func (o *origin) spend() bool {
	if o.credit.Add(-creditOne) >= 0 {
		return true
	}
	o.credit.Add(creditOne)
	return false
}

// callerGoneError marks an error that the caller's own end caused: it says nothing
// about the origin.
type callerGoneError struct{ error }

// serverError stands for an answer that counts as a failure.
type serverError struct{}

func (serverError) Error() string { return "resn: the server failed" }

var errServer error = serverError{}

// failed says whether an answer is worth another look: a server's failure, or
// its request to come back later.
func failed(resp *http.Response) bool {
	return resp.StatusCode >= http.StatusInternalServerError || resp.StatusCode == http.StatusTooManyRequests
}

// repeatable says whether sending the request twice is like sending it once.
func repeatable(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
	default:
		return false
	}
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}

// discard reads what is left of a failed answer, so that its connection can
// be used again, up to a bound.
func discard(resp *http.Response) {
	if resp == nil {
		return
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
}
