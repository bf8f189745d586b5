package httpbus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/goswale/swale/bus"
)

// TransportOptions are the options of NewTransport. The zero value is useful.
type TransportOptions struct {
	// Service names the service that a request is for. Default: the host of its
	// URL without the port, in lower case.
	Service func(*http.Request) (string, error)
	// MaxResponseBytes bounds a response's body: reading further fails with an
	// *http.MaxBytesError. Default 1 GiB; negative is no limit.
	MaxResponseBytes int64
	// MaxHeaderBytes bounds a response's header, and what is sent as a request's,
	// counting 32 bytes more per line. Default 64 KiB, less on a bus whose messages
	// are small.
	MaxHeaderBytes int
	// ChunkBytes bounds the piece of a body that travels in one message. Default
	// 256 KiB, less on a bus whose messages are small.
	ChunkBytes int
	// WindowBytes bounds what is read ahead of a request's body. It is at least
	// ChunkBytes. Default 1 MiB.
	WindowBytes int
	// Silence is after how long without a sign of life the other side counts as
	// dead. It isn't a limit for the handler: a server whose handler thinks says so.
	// Default 10 s, at least 1 s.
	Silence time.Duration
}

// Transport is an http.RoundTripper that carries requests over the bus. It is
// made by NewTransport and is safe for concurrent use.
type Transport struct {
	bus  *bus.Bus
	opts TransportOptions
}

// NewTransport returns a transport on the bus. It has no resources of its own:
// the bus's Shutdown is enough. It panics without a bus.
func NewTransport(b *bus.Bus, opts *TransportOptions) *Transport {
	if b == nil {
		panic("httpbus: NewTransport: the *bus.Bus is nil") //nolint:forbidigo // programmer error
	}
	t := &Transport{bus: b}
	if opts != nil {
		t.opts = *opts
	}
	o := &t.opts
	if o.Service == nil {
		o.Service = hostService
	}
	if o.MaxResponseBytes == 0 {
		o.MaxResponseBytes = 1 << 30
	}
	o.ChunkBytes, o.MaxHeaderBytes = fit(b, o.ChunkBytes, o.MaxHeaderBytes)
	if o.WindowBytes <= 0 {
		o.WindowBytes = 1 << 20
	}
	o.WindowBytes = max(o.WindowBytes, o.ChunkBytes)
	if o.Silence <= 0 {
		o.Silence = 10 * time.Second
	}
	o.Silence = max(o.Silence, time.Second)
	return t
}

// RoundTrip implements http.RoundTripper. The error wraps bus.ErrNoResponders,
// at once, when nobody serves the service. Nothing is sent twice: an error after
// the request was handed to the bus doesn't say whether a server had it.
//
// The response's body is fetched as it is read; the server waits meanwhile. It
// must be read to its end or closed, as always.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	c, err := t.call(req)
	if err != nil {
		if req.Body != nil {
			err = errors.Join(err, req.Body.Close())
		}
		return nil, fmt.Errorf("httpbus: %w", err)
	}
	resp, err := c.open()
	if err != nil {
		c.leave()
		return nil, fmt.Errorf("httpbus: %s %s: %w", c.req.Method, c.service, err)
	}
	return resp, nil
}

// call is one request and its response at the client.
type call struct {
	t        *Transport
	req      *http.Request
	service  string
	first    frame
	instance string // empty until the first answer
	up       *upload
	ctx      context.Context //nolint:containedctx // the request's, ended early by leave once it has an instance
	cancel   context.CancelFunc
	quiet    func() bool // has the end of ctx not be told to the server
}

// call checks a request and prepares its first frame.
func (t *Transport) call(req *http.Request) (*call, error) {
	if req.URL == nil {
		return nil, errors.New("request has no URL")
	}
	service, err := t.opts.Service(req)
	if err != nil {
		return nil, err
	}
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	if method == http.MethodConnect {
		return nil, fmt.Errorf("%s: %w", method, errors.ErrUnsupported)
	}
	header := endToEnd(req.Header)
	if err := errors.Join(checkHeader(header), checkHeader(req.Trailer)); err != nil {
		return nil, err
	}
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	f := frame{
		kind: kindOpen, id: newID(), method: method, target: req.URL.RequestURI(), host: host,
		header: header, length: req.ContentLength, silence: uint64(t.opts.Silence.Milliseconds()),
		limit: uint64(t.opts.ChunkBytes), wait: t.wait(),
	}
	for name := range req.Trailer {
		if mayTrail(name) {
			f.announced = append(f.announced, name)
		}
	}
	if n := weight(header) + len(f.target); n > t.opts.MaxHeaderBytes {
		return nil, fmt.Errorf("request header of %d bytes, allowed are %d", n, t.opts.MaxHeaderBytes)
	}
	if !token(f.method) || !visible(f.target) || !hostLike(f.host) {
		return nil, complain("method %q, target %q or host %q", f.method, f.target, f.host)
	}
	return &call{t: t, req: req, service: service, first: f, ctx: req.Context(), cancel: func() {}}, nil
}

// wait is within how many ms an answer is due, whatever it says.
func (t *Transport) wait() uint64 { return uint64(t.opts.Silence.Milliseconds() / 4) }

// open sends the request and waits for the response's head.
func (c *call) open() (*http.Response, error) {
	if err := c.begin(); err != nil {
		return nil, err
	}
	f := &c.first
	if deadline, ok := c.ctx.Deadline(); ok {
		left := time.Until(deadline)
		if left <= 0 {
			return nil, context.DeadlineExceeded
		}
		f.timeout = uint64(left.Milliseconds()) + 1
	}
	// Requests may queue at a busy server, so that this one may take longer.
	ctx, cancel := context.WithTimeout(c.ctx, 3*c.t.opts.Silence)
	defer cancel()
	data, err := c.t.bus.Ask(ctx, openSubject(c.service), pack(f))
	if err != nil {
		if errors.Is(c.ctx.Err(), context.Canceled) {
			c.sendCancel() // the answer may have crossed the cancel
		}
		return nil, c.because(err)
	}
	reply, err := c.read(data, 0)
	if err != nil {
		return nil, err
	}
	c.instance = reply.instance
	if c.instance == "" {
		return nil, complain("no instance")
	}
	if reply.flags&flagEnd == 0 {
		c.ctx, c.cancel = context.WithCancel(c.ctx)
		c.quiet = context.AfterFunc(c.ctx, c.sendCancel)
		if c.up != nil {
			c.up.start()
		}
	}
	for reply.flags&flagHead == 0 {
		if reply, err = c.pull(0, true); err != nil {
			return nil, err
		}
	}
	return c.response(&reply)
}

// because prefers the reason of the request's context and the upload's error.
func (c *call) because(err error) error {
	if c.up != nil {
		if why := c.up.failed(); why != nil {
			return why
		}
	}
	ctx := c.req.Context()
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < 50*time.Millisecond {
		<-ctx.Done() // the server's clock was a little faster
	}
	if why := ctx.Err(); why != nil {
		return why
	}
	return err
}

// pull asks for the response from the offset on, again when an answer is lost.
func (c *call) pull(offset uint64, head bool) (frame, error) {
	f := frame{kind: kindPull, id: c.first.id, offset: offset, limit: c.first.limit, wait: c.first.wait}
	if head {
		f.flags = flagWantHead
	}
	e, err := c.ask(&f)
	if err != nil {
		return frame{}, c.because(err)
	}
	return c.read(e, offset)
}

// ask asks the instance that has the exchange. An answer that doesn't come is
// asked for once more before the server counts as dead.
func (c *call) ask(f *frame) ([]byte, error) {
	for attempt := 1; ; attempt++ {
		ctx, cancel := context.WithTimeout(c.ctx, c.t.opts.Silence/2)
		data, err := c.t.bus.Ask(ctx, instanceSubject(c.service, c.instance), pack(f))
		cancel()
		if err == nil || attempt == 2 || c.ctx.Err() != nil || errors.Is(err, bus.ErrNoResponders) || errors.Is(err, bus.ErrClosed) {
			return data, err
		}
		if _, answered := errors.AsType[*bus.RemoteError](err); answered {
			return data, err
		}
	}
}

// read checks a reply about the response from the offset on.
func (c *call) read(data []byte, offset uint64) (frame, error) {
	var f frame
	if err := f.decode(data, c.t.opts.MaxHeaderBytes); err != nil {
		return f, err
	}
	switch {
	case f.kind != kindReply || f.id != c.first.id:
		return f, complain("kind %d about %q", f.kind, f.id)
	case c.instance != "" && f.instance != c.instance:
		return f, complain("instance %q instead of %q", f.instance, c.instance)
	case f.flags&flagAborted != 0:
		return f, c.because(&AbortError{Reason: f.reason})
	case f.offset != offset:
		return f, complain("body from %d, asked from %d", f.offset, offset)
	case uint64(len(f.body)) > c.first.limit && f.flags&flagEnd == 0:
		return f, complain("%d bytes of body, asked for %d", len(f.body), c.first.limit)
	}
	return f, nil
}

// sendCancel tells the server that nobody waits any more.
func (c *call) sendCancel() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), min(c.t.opts.Silence/2, 2*time.Second))
	defer cancel()
	subject := everyInstance(c.service)
	if c.instance != "" {
		subject = instanceSubject(c.service, c.instance)
	}
	// A server that doesn't hear it notices the silence.
	_, _ = c.t.bus.Ask(ctx, subject, pack(&frame{kind: kindCancel, id: c.first.id}))
}

// leave ends the call: a server that isn't done is told so before it returns, so
// that a bus that is shut down next doesn't swallow it.
func (c *call) leave() {
	tell := c.quiet != nil && c.quiet()
	c.cancel()
	if c.up != nil {
		c.up.stop()
	}
	if tell {
		c.sendCancel()
	}
}

// response makes the response of a reply with a head.
func (c *call) response(f *frame) (*http.Response, error) {
	resp := &http.Response{
		Status: status(f.status), StatusCode: f.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: endToEnd(f.header), ContentLength: f.length, Request: c.req, Trailer: announce(f.announced),
	}
	if f.length >= 0 {
		resp.Header["Content-Length"] = []string{strconv.FormatInt(f.length, 10)}
	}
	if most := c.t.opts.MaxResponseBytes; most > 0 && f.length > most && c.first.method != http.MethodHead {
		return nil, &http.MaxBytesError{Limit: most}
	}
	b := &body{call: c, resp: resp, declared: f.length}
	if c.first.method == http.MethodHead || !bodyAllowed(f.status) {
		if len(f.body) > 0 {
			return nil, complain("a body where none may be")
		}
		b.declared = -1
	}
	if err := b.take(f); err != nil {
		return nil, err
	}
	if f.flags&flagEnd == 0 {
		b.keepAlive()
	} else if len(f.body) == 0 {
		resp.Body = http.NoBody
		return resp, nil
	}
	resp.Body = b
	return resp, nil
}

func status(code int) string {
	if code == http.StatusOK {
		return "200 OK"
	}
	return strings.TrimSuffix(strconv.Itoa(code)+" "+http.StatusText(code), " ")
}

// AbortError says that the server gave up on a response, perhaps in the middle of
// its body.
type AbortError struct {
	// Reason is the server's word.
	Reason string
}

// Error returns the reason.
func (e *AbortError) Error() string { return "httpbus: response aborted: " + e.Reason }

// Unwrap returns io.ErrUnexpectedEOF, which is what a cut connection gives.
func (e *AbortError) Unwrap() error { return io.ErrUnexpectedEOF }
