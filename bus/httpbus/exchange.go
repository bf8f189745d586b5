package httpbus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
)

// exchange is one request and its response at the server.
type exchange struct {
	server  *Server
	id      string
	in      *flow // the request's body, when it comes in pieces
	out     *flow // the response's body
	w       *response
	request *http.Request
	length  int64           // of the request's body, -1 unknown
	ctx     context.Context //nolint:containedctx // the request's
	cancel  context.CancelCauseFunc
	expire  context.CancelFunc // of the deadline
	silence time.Duration
	left    bool // counted out; the server's mu guards it

	mu    sync.Mutex
	open  *bus.Question // the client's first question, until it is answered
	limit uint64        // bytes of body that it wants
	// lease answers that question when there is nothing to say, and then ends an
	// exchange whose client is silent.
	lease *time.Timer
	known bool // the client was answered, or has given a sign of life
}

// begin makes the exchange, or says with which status to refuse.
func (s *Server) begin(f *frame, q *bus.Question) (*exchange, int) {
	if f.length > s.opts.MaxRequestBytes && s.opts.MaxRequestBytes > 0 {
		return nil, http.StatusRequestEntityTooLarge
	}
	whole := f.flags&flagComplete != 0
	if whole && f.length >= 0 && f.length != int64(len(f.body)) || len(f.body) > s.opts.ChunkBytes && !whole {
		return nil, http.StatusBadRequest
	}
	if s.opts.MaxRequestBytes > 0 && int64(len(f.body)) > s.opts.MaxRequestBytes {
		return nil, http.StatusRequestEntityTooLarge
	}
	u, err := target(f.method, f.target)
	if err != nil {
		return nil, http.StatusBadRequest
	}
	x := &exchange{server: s, id: f.id, length: f.length, open: q, limit: min(f.limit, uint64(s.opts.ChunkBytes))}
	x.silence = min(max(within(f.silence), time.Second), s.opts.Silence)
	ctx, cancel := context.WithCancelCause(context.Background()) // Shutdown cancels those that are left
	x.cancel, x.expire = cancel, func() {}
	if f.timeout > 0 {
		ctx, x.expire = context.WithTimeout(ctx, time.Duration(min(f.timeout, 1<<40))*time.Millisecond)
	}
	x.ctx = ctx
	x.out = &flow{limit: s.opts.WindowBytes, least: 4 << 10, first: x.answerOpen}
	r := &http.Request{
		Method: f.method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: endToEnd(f.header), Host: f.host, RequestURI: f.target, RemoteAddr: "httpbus", ContentLength: f.length,
	}
	if r.Host == "" {
		r.Host = u.Host
	}
	r.Trailer = announce(f.announced)
	if whole {
		for name, values := range trailers(f.trailer) {
			if r.Trailer == nil {
				r.Trailer = make(http.Header)
			}
			r.Trailer[name] = values
		}
		r.ContentLength = int64(len(f.body))
		r.Body = http.NoBody
		if len(f.body) > 0 {
			r.Body = io.NopCloser(bytes.NewReader(f.body))
		}
	} else {
		x.in = &flow{limit: s.opts.WindowBytes, least: 1}
		r.Body = &requestBody{x: x}
	}
	x.request = r.WithContext(ctx)
	x.w = &response{x: x, header: make(http.Header)}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exchanges[x.id] != nil || s.ctx.Err() != nil || len(s.exchanges) >= 16*s.opts.MaxConcurrent {
		x.expire()
		cancel(nil)
		return nil, http.StatusServiceUnavailable
	}
	x.mu.Lock()
	x.lease = time.AfterFunc(within(f.wait), x.expired)
	x.mu.Unlock()
	s.exchanges[x.id] = x
	s.live++
	s.handlers.Add(1)
	return x, 0
}

func target(method, target string) (*url.URL, error) {
	if target == "*" && method == http.MethodOptions {
		return &url.URL{Path: "*"}, nil
	}
	if method == http.MethodConnect {
		return nil, errors.ErrUnsupported
	}
	return url.ParseRequestURI(target)
}

// run calls the handler and ends the response.
func (x *exchange) run() {
	defer x.server.handlers.Done()
	defer func() { <-x.server.slots }()
	err := x.handle()
	if err == nil {
		err = x.w.finish()
	}
	if x.in != nil {
		x.in.stop(errHandlerDone)
	}
	if err == nil && x.ctx.Err() != nil {
		err = context.Cause(x.ctx) // what was written after that may be half an answer
	}
	x.out.end(err)
	x.expire()
}

var errHandlerDone = errors.New("the handler has returned")

// handle calls the handler and turns its panic into an error.
func (x *exchange) handle() (err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		err = errAborted
		if v != http.ErrAbortHandler { //nolint:errorlint // a panic's value, compared as net/http does
			x.server.opts.Logger.Error("httpbus: handler panicked", "method", x.request.Method, "target", x.request.RequestURI, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	x.server.handler.ServeHTTP(x.w, x.request)
	return nil
}

var errAborted = errors.New("the handler aborted the response")

// alive notes a sign of life of the client.
func (x *exchange) alive() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.known = true
	x.lease.Reset(2 * x.silence)
}

// expired answers a client that waits for the head, and ends an exchange whose
// client was silent for too long. Until the client has heard of the exchange it
// can give no sign of life.
func (x *exchange) expired() {
	x.mu.Lock()
	if !x.known {
		x.known = true
		x.lease.Reset(2 * x.silence)
		x.mu.Unlock()
		x.answerOpen()
		return
	}
	x.mu.Unlock()
	x.give(errSilent)
	x.server.forget(x)
}

var errSilent = errors.New("the client gave no sign of life")

// give ends the exchange from outside of the handler.
func (x *exchange) give(why error) {
	x.cancel(why)
	if x.in != nil {
		x.in.end(why)
	}
	x.out.stop(why)
	x.out.end(why)
}

// cancelled ends an exchange whose client gave up before it had an answer, or
// whose server did.
func (x *exchange) cancelled() {
	why := context.Canceled
	x.server.mu.Lock()
	if x.server.closed {
		why = errShutdown
	}
	x.server.mu.Unlock()
	x.give(why)
	x.server.forget(x)
}

// answerOpen answers the client's first question, if it hasn't been answered yet,
// with what there is.
func (x *exchange) answerOpen() {
	x.mu.Lock()
	q := x.open
	x.open = nil
	x.mu.Unlock()
	if q == nil {
		return
	}
	body, begun, ended, err := x.out.start(int(x.limit))
	q.Answer(x.reply(0, body, true, begun, ended, err, false))
}

// answer says what there is of the response from the offset on, and waits if there
// is nothing.
func (x *exchange) answer(ctx context.Context, f *frame) []byte {
	ctx, cancel := context.WithTimeout(ctx, within(f.wait))
	defer cancel()
	head := f.flags&flagWantHead != 0
	body, begun, ended, err := x.out.take(ctx, f.offset, int(min(f.limit, uint64(x.server.opts.ChunkBytes))), head)
	return x.reply(f.offset, body, head, begun, ended, err, true)
}

// reply makes the answer. linger says that the client may ask again if it doesn't
// hear it.
func (x *exchange) reply(offset uint64, body []byte, wantHead, begun, ended bool, err error, linger bool) []byte {
	s := x.server
	if err != nil {
		if !errors.Is(err, errFrame) {
			s.delivered(x, linger)
		}
		return s.abort(x.id, offset, err)
	}
	reply := frame{kind: kindReply, id: x.id, instance: s.instance, offset: offset, body: body}
	if wantHead && begun {
		reply.flags |= flagHead
		x.w.head(&reply)
	}
	if ended {
		reply.flags |= flagEnd
		reply.trailer = x.w.trailer
		s.delivered(x, linger)
	}
	return pack(&reply)
}

// push takes a piece of the request's body.
func (x *exchange) push(ctx context.Context, f *frame) ([]byte, error) {
	reply := frame{kind: kindTaken, id: x.id, flags: flagStop}
	if x.in == nil {
		return pack(&reply), nil
	}
	most := x.server.opts.MaxRequestBytes
	end := f.offset + uint64(len(f.body))
	switch {
	case len(f.body) > x.server.opts.WindowBytes:
		return nil, complain("%d bytes at once", len(f.body))
	case most > 0 && end > uint64(most):
		x.in.end(&http.MaxBytesError{Limit: most})
		return pack(&reply), nil
	case x.length >= 0 && end > uint64(x.length):
		x.in.end(fmt.Errorf("body is longer than its Content-Length %d", x.length))
		return pack(&reply), nil
	}
	ctx, cancel := context.WithTimeout(ctx, within(f.wait))
	defer cancel()
	at, stopped, err := x.in.put(ctx, f.offset, f.body)
	if err != nil {
		return nil, err
	}
	reply.offset = at
	if !stopped {
		reply.flags = 0
	}
	if !stopped && at == end && f.flags&flagComplete != 0 {
		x.complete(end, f.trailer)
	}
	return pack(&reply), nil
}

// complete ends the request's body.
func (x *exchange) complete(end uint64, trailer http.Header) {
	if x.length >= 0 && end != uint64(x.length) {
		x.in.end(io.ErrUnexpectedEOF)
		return
	}
	x.in.mu.Lock()
	defer x.in.mu.Unlock()
	if x.in.ended {
		return
	}
	// Handlers look at Trailer after the body's EOF, which comes after this.
	if len(trailer) > 0 && x.request.Trailer != nil {
		for name, values := range trailers(trailer) {
			if _, ok := x.request.Trailer[name]; ok {
				x.request.Trailer[name] = values
			}
		}
	}
	x.in.ended, x.in.begun = true, true
	x.in.changed()
}

// requestBody is the body that the handler reads.
type requestBody struct{ x *exchange }

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) { return b.x.in.read(b.x.ctx, p) }

// Close implements io.Closer.
func (b *requestBody) Close() error {
	b.x.in.stop(http.ErrBodyReadAfterClose)
	return nil
}
