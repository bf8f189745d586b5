package resn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/goswale/swale/bus"
)

// Answer is a response that was read to its end.
type Answer struct {
	Status int
	Header http.Header // not to be changed
	Body   []byte
	URL    string // where it came from, after redirects
}

// Gone reports whether the owner said that there is no such resource (404, 410).
func (a *Answer) Gone() bool {
	return a.Status == http.StatusNotFound || a.Status == http.StatusGone
}

// Err is the error of an answer that is neither a representation nor the word that
// there is none: a [*StatusError], with the wait that the owner asks for as
// [bus.RetryAfter] has it.
func (a *Answer) Err() error {
	if a.Gone() || a.Status >= 200 && a.Status < 300 {
		return nil
	}
	err := &StatusError{Href: a.URL, Status: a.Status}
	if a.Status != http.StatusTooManyRequests && a.Status != http.StatusServiceUnavailable {
		return err
	}
	after := a.Header.Get("Retry-After")
	if s, bad := strconv.Atoi(after); bad == nil && s >= 0 {
		return bus.RetryAfter(min(time.Duration(s)*time.Second, time.Hour), err)
	}
	if at, bad := http.ParseTime(after); bad == nil {
		return bus.RetryAfter(min(max(time.Until(at), 0), time.Hour), err)
	}
	return err
}

// AskOptions are the options of [Client.Ask]. The zero value, and nil, are useful.
type AskOptions struct {
	// Header is sent. Default: Accept for HAL and JSON.
	Header http.Header
	// MaxBytes bounds the body; of a longer one the error is made by
	// [bus.Reject]. Default 8 MiB.
	MaxBytes int64
	// Redirect says whether a redirect may lead to a URL. Its error is made
	// one by [bus.Reject]. Default: anywhere.
	Redirect func(*url.URL) error
}

// acceptHAL is sent where nothing else is asked for.
const acceptHAL = "application/hal+json, application/json;q=0.9, */*;q=0.1"

func (o AskOptions) filled() AskOptions {
	if o.Header == nil {
		o.Header = http.Header{"Accept": {acceptHAL}}
	}
	o.MaxBytes = min(positive(o.MaxBytes, 8<<20), math.MaxInt64-1)
	return o
}

// Ask asks the owner of a resource past every cache, this client's too, which
// keeps the answer. What it returns was sent by the owner after Ask was called.
func (c *Client) Ask(ctx context.Context, href string, opts *AskOptions) (Answer, error) {
	var o AskOptions
	if opts != nil {
		o = *opts
	}
	return c.past(ctx, href, o.filled())
}

// past asks past caches. A question with that wish goes alone: one that was under
// way already could be from before what the caller knows.
func (c *Client) past(ctx context.Context, href string, o AskOptions) (Answer, error) {
	o.Header = maps.Clone(o.Header)
	o.Header["Cache-Control"] = []string{"no-cache"}
	return c.get(ctx, href, o)
}

// get reads a resource, from the cache if that may answer.
func (c *Client) get(ctx context.Context, href string, o AskOptions) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, href, http.NoBody)
	if err != nil {
		return Answer{}, bus.Reject(err)
	}
	maps.Copy(req.Header, o.Header)
	client := &http.Client{Transport: c.http.Transport, CheckRedirect: o.checkRedirect}
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, rejectRedirect(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, o.MaxBytes+1))
	if err != nil {
		return Answer{}, fmt.Errorf("resn: body of %s: %w", href, err)
	}
	if int64(len(body)) > o.MaxBytes {
		return Answer{}, bus.Reject(fmt.Errorf("resn: body of %s has more than %d bytes", href, o.MaxBytes))
	}
	return Answer{resp.StatusCode, resp.Header, body, resp.Request.URL.String()}, nil
}

// redirectError is the error of a redirect that isn't followed.
type redirectError struct{ error }

func (e *redirectError) Unwrap() error { return e.error }

func (o *AskOptions) checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= 5 {
		return &redirectError{errors.New("more than 5 redirects")}
	}
	if o.Redirect == nil {
		return nil
	}
	if err := o.Redirect(req.URL); err != nil {
		return &redirectError{err}
	}
	return nil
}

func rejectRedirect(err error) error {
	var redirect *redirectError
	if errors.As(err, &redirect) {
		return bus.Reject(err)
	}
	return err
}
