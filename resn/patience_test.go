package resn_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/resn"
)

// silent never answers.
type silent struct{ asked atomic.Int64 }

func (s *silent) RoundTrip(req *http.Request) (*http.Response, error) {
	s.asked.Add(1)
	<-req.Context().Done()
	return nil, context.Cause(req.Context())
}

// slow answers at once and sends its body in pieces, one after each pause.
type slow struct {
	kind   string
	pauses []time.Duration
}

func (s *slow) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req, ContentLength: -1,
		Header: http.Header{"Content-Type": {s.kind}, "Cache-Control": {"no-store"}},
		Body:   &slowBody{ctx: req.Context(), pauses: s.pauses},
	}, nil
}

type slowBody struct {
	ctx    context.Context
	pauses []time.Duration
}

func (b *slowBody) Read(p []byte) (int, error) {
	if len(b.pauses) == 0 {
		return 0, io.EOF
	}
	select {
	case <-time.After(b.pauses[0]):
		b.pauses = b.pauses[1:]
		return copy(p, "a piece\n"), nil
	case <-b.ctx.Done():
		return 0, context.Cause(b.ctx)
	}
}

func (*slowBody) Close() error { return nil }

// get reads the resource to its end, or to the error.
func get(ctx context.Context, t *testing.T, owner http.RoundTripper, opts resn.ClientOptions) (body string, took time.Duration, err error) {
	t.Helper()
	opts.Transport = owner
	client, err := resn.NewClient(nil, &opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close(t.Context()) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, href, nil)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	resp, err := client.HTTP().Do(req)
	if err != nil {
		return "", time.Since(began), err
	}
	data, err := io.ReadAll(resp.Body)
	if closing := resp.Body.Close(); err == nil {
		err = closing
	}
	return string(data), time.Since(began), err
}

// An owner that accepts a request and says nothing holds nobody up for ever.
func TestASilentOwnerIsGivenUpOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		owner := &silent{}
		_, took, err := get(t.Context(), t, owner, resn.ClientOptions{})
		var timeout net.Error
		var is *resn.SilentError
		if !errors.As(err, &timeout) || !timeout.Timeout() || !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &is) || is.Began {
			t.Errorf("the request ended with %v, want a timeout", err)
		}
		if took != resn.DefaultTimeout || owner.asked.Load() != 1 {
			t.Errorf("the default is %v, and once is enough: took %v, asked %d times", resn.DefaultTimeout, took, owner.asked.Load())
		}
		if err != nil && !strings.Contains(err.Error(), "ClientOptions.Timeout") {
			t.Errorf("the error says what to do: %v", err)
		}
		if _, took, _ := get(t.Context(), t, owner, resn.ClientOptions{Timeout: 3 * time.Second}); took != 3*time.Second {
			t.Errorf("ClientOptions.Timeout is 3 s: took %v", took)
		}
	})
}

func TestACallersDeadlineWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			opts    resn.ClientOptions
			timeout time.Duration // of WithTimeout
			bound   time.Duration // of the context
			want    time.Duration
		}{
			"an earlier one":                  {bound: 2 * time.Second, want: 2 * time.Second},
			"one request is given more":       {timeout: 5 * time.Minute, want: 5 * time.Minute},
			"one request is given less":       {timeout: time.Second, want: time.Second},
			"one request, for ever":           {timeout: -1, bound: time.Hour, want: time.Hour},
			"every request as its context is": {opts: resn.ClientOptions{Timeout: -1}, bound: time.Hour, want: time.Hour},
		} {
			ctx := t.Context()
			if test.timeout != 0 {
				ctx = resn.WithTimeout(ctx, test.timeout)
			}
			if test.bound != 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, test.bound)
				defer cancel()
			}
			_, took, err := get(ctx, t, &silent{}, test.opts)
			if took != test.want || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: ended after %v with %v, want %v and a deadline", name, took, err, test.want)
			}
		}
	})
}

// The bound is on silence: what keeps coming isn't cut, and a stream of events may
// be silent.
func TestABodyThatKeepsComingIsNotCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			owner slow
			whole bool
		}{
			"slow, for two minutes":    {slow{"text/plain", []time.Duration{25 * time.Second, 25 * time.Second, 25 * time.Second, 25 * time.Second, 25 * time.Second}}, true},
			"stalled in the middle":    {slow{"text/plain", []time.Duration{time.Second, time.Hour}}, false},
			"a quiet stream of events": {slow{"text/event-stream; charset=utf-8", []time.Duration{time.Second, 10 * time.Minute, 10 * time.Minute}}, true},
		} {
			body, took, err := get(t.Context(), t, &test.owner, resn.ClientOptions{})
			var silent *resn.SilentError
			if test.whole && (err != nil || strings.Count(body, "\n") != len(test.owner.pauses)) {
				t.Errorf("%s: %q after %v, %v", name, body, took, err)
			}
			if !test.whole && (!errors.As(err, &silent) || !silent.Began || took != 31*time.Second) {
				t.Errorf("%s: ended after %v with %v; who waits for the rest waits %v", name, took, err, resn.DefaultTimeout)
			}
		}
	})
}

// An origin that answers nobody is left alone like one that fails.
func TestSilenceOpensTheCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		owner := &silent{}
		client, err := resn.NewClient(nil, &resn.ClientOptions{Transport: owner, Timeout: time.Second, Guard: &resn.GuardOptions{Failures: 3}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = client.Close(t.Context()) }()
		for range 10 {
			resp, err := client.HTTP().Get(href)
			if err == nil {
				_ = resp.Body.Close()
				t.Fatal("a silent owner answered")
			}
		}
		if n := owner.asked.Load(); n != 3 {
			t.Errorf("asked %d times, want 3", n)
		}
	})
}
