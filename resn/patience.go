package resn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// DefaultTimeout is the default of [ClientOptions.Timeout].
const DefaultTimeout = 30 * time.Second

// SilentError says that an owner was given up on because it said nothing for too
// long. It is a timeout (net.Error) and a [context.DeadlineExceeded].
type SilentError struct {
	URL   string        // without user information and query
	After time.Duration // see ClientOptions.Timeout
	Began bool          // the answer had begun
}

func (e *SilentError) Error() string {
	what := "no answer"
	if e.Began {
		what = "nothing more of the answer"
	}
	return fmt.Sprintf("resn: %s from %s for %v; ClientOptions.Timeout says how long to wait, and resn.WithTimeout for one request", what, clip(e.URL), e.After)
}

// Timeout is true.
func (*SilentError) Timeout() bool { return true }

// Temporary is true: another time it may answer.
func (*SilentError) Temporary() bool { return true }

// Is makes it what an ended deadline is.
func (*SilentError) Is(target error) bool { return target == context.DeadlineExceeded }

type timeoutKey struct{}

// WithTimeout returns a context whose requests may wait for another time than
// [ClientOptions.Timeout] says, for a report that takes minutes for example. 0 or
// less is for ever, or rather as long as ctx allows.
func WithTimeout(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, timeoutKey{}, d)
}

// patience is a RoundTripper that gives up on an owner who says nothing for too
// long, before the answer or within it. It is not a deadline for the whole, so
// that a large or slow body isn't cut while it comes.
type patience struct {
	next  http.RoundTripper
	limit time.Duration
}

// CloseIdleConnections closes those of the transport behind.
func (p *patience) CloseIdleConnections() {
	if c, ok := p.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (p *patience) RoundTrip(req *http.Request) (*http.Response, error) {
	limit := p.limit
	if d, ok := req.Context().Value(timeoutKey{}).(time.Duration); ok {
		limit = d
	}
	if limit <= 0 {
		return p.next.RoundTrip(req)
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	w := &watch{ctx: ctx, cancel: cancel, limit: limit, url: req.URL}
	w.timer = time.AfterFunc(limit, w.expire)
	resp, err := p.next.RoundTrip(req.WithContext(ctx))
	w.timer.Stop()
	if err != nil {
		err = w.because(err)
		cancel(nil)
		return nil, err
	}
	w.began.Store(true)
	w.body = resp.Body
	switch {
	case resp.Body == nil || resp.Body == http.NoBody:
		cancel(nil)
	case resp.StatusCode == http.StatusSwitchingProtocols:
		// Not HTTP any more. Whoever speaks it keeps his own time.
		if both, ok := resp.Body.(io.ReadWriteCloser); ok {
			resp.Body = &upgraded{both, cancel}
		}
	default:
		w.endless = endless(resp)
		resp.Body = w
	}
	return resp, nil
}

// endless reports whether silence belongs to the answer, as it does to a stream of
// events.
func endless(resp *http.Response) bool {
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "text/event-stream")
}

// watch is a body that must not be silent for long while somebody reads it.
type watch struct {
	//nolint:containedctx // that of the request, which lasts as long as the body
	ctx     context.Context
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	limit   time.Duration
	url     *url.URL
	began   atomic.Bool // the answer has
	endless bool
	body    io.ReadCloser
}

func (w *watch) expire() {
	w.cancel(&SilentError{URL: w.url.Scheme + "://" + w.url.Host + w.url.EscapedPath(), After: w.limit, Began: w.began.Load()})
}

// because says that an error is silence, if it is.
func (w *watch) because(err error) error {
	var silent *SilentError
	if errors.As(context.Cause(w.ctx), &silent) && !errors.Is(err, io.EOF) {
		return silent
	}
	return err
}

func (w *watch) Read(p []byte) (int, error) {
	if !w.endless {
		w.timer.Reset(w.limit)
	}
	n, err := w.body.Read(p)
	w.timer.Stop()
	if err != nil {
		err = w.because(err)
		w.cancel(nil)
	}
	return n, err
}

func (w *watch) Close() error {
	w.timer.Stop()
	err := w.body.Close()
	w.cancel(nil)
	return err
}

// upgraded is the connection after 101 Switching Protocols.
type upgraded struct {
	io.ReadWriteCloser
	cancel context.CancelCauseFunc
}

func (u *upgraded) Close() error {
	err := u.ReadWriteCloser.Close()
	u.cancel(nil)
	return err
}
