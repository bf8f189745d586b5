package discoverysvc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/goswale/swale/discovery/binding"
	"github.com/goswale/swale/discovery/driver"
	"github.com/goswale/swale/hal"
)

// ClientOptions configure Dial and DialBindings. The zero value and nil are
// useful.
type ClientOptions struct {
	// HTTP sends the requests; its transport may add a token. It must have no
	// Timeout, which would end streams. Default: one with a transport of its
	// own.
	HTTP *http.Client
	// Others are the URLs of further servers in front of the same store. When
	// one can't be reached the next is asked. Default: none.
	Others []string
	// Timeout bounds each call but streams. Default: 5 s.
	Timeout time.Duration
}

// caller is what both clients have in common.
type caller struct {
	http  *http.Client
	own   *http.Transport // to be closed, if nobody gave another
	bases []string
	at    atomic.Uint32
	limit time.Duration
}

func newCaller(base string, opts *ClientOptions) *caller {
	c := &caller{limit: 5 * time.Second}
	if opts != nil {
		c.http, c.bases = opts.HTTP, opts.Others
		if opts.Timeout > 0 {
			c.limit = opts.Timeout
		}
	}
	c.bases = append([]string{base}, c.bases...)
	for i := range c.bases {
		c.bases[i] = strings.TrimSuffix(c.bases[i], "/")
	}
	if c.http == nil {
		c.own = &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true}
		c.http = &http.Client{Transport: c.own}
	}
	return c
}

func (c *caller) close() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// send sends a request to the server in turn. When that can't be reached, the
// next call goes to another one.
func (c *caller) send(ctx context.Context, method, path string, header http.Header, body any) (*http.Response, error) {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	at := c.at.Load()
	req, err := http.NewRequestWithContext(ctx, method, c.bases[int(at)%len(c.bases)]+path, bytes.NewReader(data)) //nolint:gosec // the caller's own server
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, header)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req) //nolint:gosec // the caller's own server
	if (err != nil || resp.StatusCode == http.StatusBadGateway || resp.StatusCode == http.StatusServiceUnavailable) && ctx.Err() == nil {
		c.at.CompareAndSwap(at, at+1)
	}
	return resp, err
}

// call sends a request and reads the answer into out, if it isn't nil.
func (c *caller) call(ctx context.Context, method, path string, header http.Header, body, out any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	resp, err := c.send(ctx, method, path, header, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return resp.Header, failure(resp)
	}
	if out == nil {
		return resp.Header, nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxEvent)).Decode(out); err != nil {
		return resp.Header, fmt.Errorf("discoverysvc: the answer of %s %s can't be read: %w", method, path, err)
	}
	return resp.Header, nil
}

// failure is the error of an answer that isn't a success.
func failure(resp *http.Response) error {
	p := &hal.Problem{Status: resp.StatusCode}
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil || json.Unmarshal(data, p) != nil {
		p = hal.NewProblem(resp.StatusCode, "")
	}
	p.Status = resp.StatusCode
	switch resp.StatusCode {
	case http.StatusConflict:
		return fmt.Errorf("%w: %w", driver.ErrTaken, p)
	case http.StatusGone:
		return fmt.Errorf("%w: %w", driver.ErrGone, p)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: %w", driver.ErrDenied, p)
	case http.StatusPreconditionFailed:
		return fmt.Errorf("%w: %w", binding.ErrConflict, p)
	case http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: %w", binding.ErrInvalid, p)
	}
	return p
}

// stream reads a stream until it ends, which is always an error: ctx's, or
// that the stream was lost.
func (c *caller) stream(ctx context.Context, path string, f func(event) error) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(heartbeatPatience, cancel)
	defer silence.Stop()
	resp, err := c.send(inner, http.MethodGet, path, http.Header{"Accept": {"text/event-stream"}}, nil)
	if err == nil {
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			err = failure(resp)
		} else {
			err = events(resp.Body, func(e event) error {
				silence.Reset(heartbeatPatience)
				return f(e)
			})
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", driver.ErrLost, err)
}

// Client is a driver.Driver that speaks to a Server: what discovery.New wants.
type Client struct{ c *caller }

// Dial returns a client of the server at base. It connects when it is used.
func Dial(base string, opts *ClientOptions) *Client { return &Client{newCaller(base, opts)} }

// Info implements [driver.Driver].
func (c *Client) Info() driver.Info {
	return driver.Info{Name: "discoverysvc", MinTTL: time.Second, Authorises: "the server asks its Options.Authorise about each call"}
}

func recordPath(k driver.Key) string {
	return "/records/" + url.PathEscape(string(k.Kind)) + "/" + url.PathEscape(k.Service) + "/" + url.PathEscape(k.ID)
}

func owned(owner string) http.Header {
	if owner == "" {
		return nil
	}
	return http.Header{ownerField: {owner}}
}

// Put implements [driver.Driver].
func (c *Client) Put(ctx context.Context, r driver.Record) error {
	_, err := c.c.call(ctx, http.MethodPut, recordPath(r.Key), owned(r.Owner), wirePut{Value: r.Value, TTL: r.TTL.String()}, nil)
	return err
}

// Renew implements [driver.Driver].
func (c *Client) Renew(ctx context.Context, key driver.Key, owner string) error {
	_, err := c.c.call(ctx, http.MethodPost, recordPath(key)+"/renewals", owned(owner), nil, nil)
	return err
}

// Delete implements [driver.Driver].
func (c *Client) Delete(ctx context.Context, key driver.Key, owner string) error {
	_, err := c.c.call(ctx, http.MethodDelete, recordPath(key), owned(owner), nil, nil)
	return err
}

// List implements [driver.Driver].
func (c *Client) List(ctx context.Context, service string) ([]driver.Record, error) {
	var doc wireRecords
	if _, err := c.c.call(ctx, http.MethodGet, "/records"+of(service), nil, nil, &doc); err != nil {
		return nil, err
	}
	return recordsOf(doc), nil
}

func recordsOf(doc wireRecords) []driver.Record {
	records := make([]driver.Record, len(doc.Records))
	for i, w := range doc.Records {
		records[i] = w.record()
	}
	return records
}

func of(service string) string {
	if service == "" {
		return ""
	}
	return "?service=" + url.QueryEscape(service)
}

// Watch implements [driver.Driver].
func (c *Client) Watch(ctx context.Context, service string, sink driver.Sink) error {
	return c.c.stream(ctx, "/records/events"+of(service), func(e event) error {
		var one wireRecord
		var all wireRecords
		switch e.name {
		case "reset":
			if err := json.Unmarshal(e.data, &all); err != nil {
				return err
			}
			sink.Reset(recordsOf(all))
		case "put", "delete":
			if err := json.Unmarshal(e.data, &one); err != nil {
				return err
			}
			if e.name == "put" {
				sink.Put(one.record())
			} else {
				sink.Delete(one.key())
			}
		case "current":
			sink.Current()
		}
		return nil
	})
}

// Close implements [driver.Driver].
func (c *Client) Close(context.Context) error {
	c.c.close()
	return nil
}

// Bindings is a binding.Store that speaks to a Server.
type Bindings struct{ c *caller }

// DialBindings returns a store of the bindings at base. It connects when it is
// used; Close it in the end.
func DialBindings(base string, opts *ClientOptions) *Bindings {
	return &Bindings{newCaller(base, opts)}
}

// Close closes idle connections.
func (b *Bindings) Close() { b.c.close() }

// Current implements [binding.Store].
func (b *Bindings) Current(ctx context.Context) ([]binding.Revision, error) {
	ctx, cancel := context.WithTimeout(ctx, b.c.limit)
	defer cancel()
	var got []binding.Revision
	err := b.Watch(ctx, func(revs []binding.Revision) {
		got = revs
		cancel()
	})
	if got == nil && !errors.Is(err, context.Canceled) {
		return nil, err
	}
	return got, nil
}

// Put implements [binding.Store].
func (b *Bindings) Put(ctx context.Context, r binding.Revision, expect uint64) (binding.Revision, error) {
	for {
		at := expect
		if expect == binding.Latest {
			newest, err := b.History(ctx, r.Service, 1)
			if err != nil {
				return binding.Revision{}, err
			}
			if at = 0; len(newest) > 0 {
				at = newest[0].Number
			}
		}
		got, err := b.put(ctx, r, at)
		if expect == binding.Latest && errors.Is(err, binding.ErrConflict) {
			continue // somebody was faster, and is to be overwritten too
		}
		return got, err
	}
}

func (b *Bindings) put(ctx context.Context, r binding.Revision, expect uint64) (binding.Revision, error) {
	condition := http.Header{"If-Match": {tagOf(expect)}}
	if expect == 0 {
		condition = http.Header{"If-None-Match": {"*"}}
	}
	path := bindingPath(r.Service)
	if r.Binding != nil {
		var doc bindingDocument
		_, err := b.c.call(ctx, http.MethodPut, path, condition, wireBind{Binding: *r.Binding, Message: r.Message, Author: r.Author}, &doc)
		return doc.Revision, err
	}
	header, err := b.c.call(ctx, http.MethodDelete, path+queryOf(r.Author, r.Message), condition, nil, nil)
	if err != nil {
		return binding.Revision{}, err
	}
	r.Number, _ = numberOf(header.Get("Etag"))
	return r, nil
}

// History implements [binding.Store].
func (b *Bindings) History(ctx context.Context, service string, limit int) ([]binding.Revision, error) {
	var doc historyDocument
	_, err := b.c.call(ctx, http.MethodGet, bindingPath(service)+"/history?limit="+strconv.Itoa(limit), nil, nil, &doc)
	return doc.Revisions, err
}

// Watch implements [binding.Store].
func (b *Bindings) Watch(ctx context.Context, f func([]binding.Revision)) error {
	return b.c.stream(ctx, "/bindings/events", func(e event) error {
		if e.name != "revisions" {
			return nil
		}
		var doc wireRevisions
		if err := json.Unmarshal(e.data, &doc); err != nil {
			return err
		}
		f(doc.Revisions)
		return nil
	})
}
