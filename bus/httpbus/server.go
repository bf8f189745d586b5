package httpbus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
)

// ServeOptions are the options of Serve. The zero value is useful.
type ServeOptions struct {
	// MaxConcurrent bounds the handlers that run at once. Further requests wait for
	// a while and are then answered with 503. Default 1024.
	MaxConcurrent int
	// MaxRequestBytes bounds a request's body. One that is known to be larger is
	// answered with 413; otherwise the handler's read fails with an
	// *http.MaxBytesError. Default 1 GiB; negative is no limit.
	MaxRequestBytes int64
	// MaxHeaderBytes bounds a request's header, counting 32 bytes more per line.
	// Default 64 KiB, less on a bus whose messages are small.
	MaxHeaderBytes int
	// ChunkBytes bounds the piece of a body that travels in one message, in both
	// directions. Default 256 KiB, less on a bus whose messages are small.
	ChunkBytes int
	// WindowBytes bounds what is held of each body before its writer waits. It is
	// at least ChunkBytes. Default 1 MiB.
	WindowBytes int
	// Silence bounds what a client may ask for as the time without a sign of life
	// after which its request is cancelled. Default 1 min.
	Silence time.Duration
	// Logger receives panics of the handler and frames that break the protocol.
	// Default: nothing is logged.
	Logger *slog.Logger
}

func (o *ServeOptions) fill(b *bus.Bus) {
	if o.MaxConcurrent <= 0 {
		o.MaxConcurrent = 1024
	}
	if o.MaxRequestBytes == 0 {
		o.MaxRequestBytes = 1 << 30
	}
	o.ChunkBytes, o.MaxHeaderBytes = fit(b, o.ChunkBytes, o.MaxHeaderBytes)
	if o.WindowBytes <= 0 {
		o.WindowBytes = 1 << 20
	}
	o.WindowBytes = max(o.WindowBytes, o.ChunkBytes)
	if o.Silence <= 0 {
		o.Silence = time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// fit gives sizes that go into one message together.
func fit(b *bus.Bus, chunk, header int) (int, int) {
	room := b.Driver().MaxPayload
	if room <= 0 {
		room = 1 << 20
	}
	room -= 4 << 10
	if header <= 0 {
		header = 64 << 10
	}
	header = min(header, max(room/4, 1<<10))
	if chunk <= 0 {
		chunk = 256 << 10
	}
	// The header is counted more generously than it travels.
	return min(chunk, max(room-header, 1<<10)), header
}

// group is the group of the servers of a service.
const group = "http"

func openSubject(service string) string               { return "http." + service }
func instanceSubject(service, instance string) string { return "http." + service + ".at." + instance }

// everyInstance is the subject on which every instance hears of cancels, each as
// a group of its own: for a client that doesn't know which one has its request.
func everyInstance(service string) string { return instanceSubject(service, "all") }

// newID returns a name for an exchange or instance that nobody guesses.
func newID() string {
	text := []byte(rand.Text())
	for i, c := range text {
		if c >= 'A' {
			text[i] = c + 'a' - 'A'
		}
	}
	return string(text)
}

// Server serves one http.Handler on the bus. It is made by Serve, is safe for
// concurrent use, and wants Shutdown before the bus's.
type Server struct {
	bus      *bus.Bus
	handler  http.Handler
	opts     ServeOptions
	instance string
	opens    *bus.Subscription
	rest     *bus.Subscription
	cancels  *bus.Subscription
	slots    chan struct{}
	ctx      context.Context //nolint:containedctx // ends at Shutdown
	cancel   context.CancelFunc
	handlers sync.WaitGroup

	mu        sync.Mutex
	exchanges map[string]*exchange
	live      int // those that aren't delivered
	idle      chan struct{}
	closed    bool
}

// Serve answers the requests for the service by the handler. Any number of
// processes may serve one service; each request goes to one of them and stays
// there. service follows bus.CheckName, with at most 90 characters and without ".at.". ctx bounds
// only the joining.
//
// A handler finds what it knows from net/http: the request's context ends when the
// client gives up, dies, or its deadline passes; http.NewResponseController can
// Flush; panicking with http.ErrAbortHandler aborts the response. Hijacking,
// pushing and Upgrade are not supported.
func Serve(ctx context.Context, b *bus.Bus, service string, handler http.Handler, opts *ServeOptions) (*Server, error) {
	if b == nil {
		return nil, fmt.Errorf("httpbus: serve %s: the *bus.Bus is nil", service)
	}
	if handler == nil {
		return nil, fmt.Errorf("httpbus: serve %s: the handler is nil", service)
	}
	s := &Server{bus: b, handler: handler, instance: newID(), exchanges: make(map[string]*exchange)}
	if opts != nil {
		s.opts = *opts
	}
	s.opts.fill(b)
	s.slots = make(chan struct{}, s.opts.MaxConcurrent)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.join(ctx, service); err != nil {
		s.cancel()
		return nil, fmt.Errorf("httpbus: serve %s: %w", service, err)
	}
	return s, nil
}

// join subscribes, last to what makes the service known.
func (s *Server) join(ctx context.Context, service string) (err error) {
	if err := bus.CheckName(service); err != nil {
		return err
	}
	if len(service) > 90 || strings.Contains(service, ".at.") {
		return fmt.Errorf("%w: over 90 characters, or holds \".at.\"", bus.ErrInvalidTopic)
	}
	var joined []*bus.Subscription
	defer func() {
		for _, sub := range joined {
			if err != nil {
				err = errors.Join(err, sub.Close(ctx))
			}
		}
	}()
	// Questions about bodies may wait at the server, many at once.
	s.rest, err = s.bus.Questions(ctx, instanceSubject(service, s.instance), group, s.answerRest, &bus.ServeOptions{Parallel: 8 * s.opts.MaxConcurrent})
	if err != nil {
		return err
	}
	joined = append(joined, s.rest)
	s.cancels, err = s.bus.Questions(ctx, everyInstance(service), s.instance, s.answerRest, nil)
	if err != nil {
		return err
	}
	joined = append(joined, s.cancels)
	s.opens, err = s.bus.Questions(ctx, openSubject(service), group, s.serveOpen, &bus.ServeOptions{Parallel: 2 * s.opts.MaxConcurrent})
	return err
}

// Shutdown takes no further requests, waits until those under way are answered
// and their responses fetched, and leaves the bus. When ctx ends first the
// handlers' contexts are cancelled, their clients see an error, and ctx's error is
// returned. Calling Shutdown again is fine.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	err := s.opens.Close(ctx)
	s.mu.Lock()
	idle := make(chan struct{})
	if s.live == 0 {
		close(idle)
	} else {
		s.idle = idle
	}
	s.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	}
	s.cancel()
	s.mu.Lock()
	left := make([]*exchange, 0, len(s.exchanges))
	for _, x := range s.exchanges {
		left = append(left, x)
	}
	s.mu.Unlock()
	for _, x := range left {
		x.give(errShutdown)
		s.forget(x)
	}
	err = errors.Join(err, s.rest.Close(ctx), s.cancels.Close(ctx))
	done := make(chan struct{})
	go func() {
		s.handlers.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	}
	return err
}

var errShutdown = errors.New("the server was shut down")

// serveOpen handles a kindOpen: it calls the handler. The question is answered
// while that runs, if it has something to say before it returns.
func (s *Server) serveOpen(q *bus.Question) {
	var f frame
	if err := f.decode(q.Data, s.opts.MaxHeaderBytes); err != nil {
		s.refuse(q, err)
		return
	}
	if f.kind != kindOpen || f.id == "" {
		s.refuse(q, complain("kind %d begins no exchange", f.kind))
		return
	}
	if !s.slot(q, &f) {
		return
	}
	x, status := s.begin(&f, q)
	if status != 0 {
		<-s.slots
		q.Answer(s.status(&f, status))
		return
	}
	q.OnCancel(x.cancelled)
	if f.flags&flagComplete == 0 {
		x.answerOpen() // the client needs to know where to send the body
	}
	x.run()
}

// slot waits for room for one more handler, and answers if there is none.
func (s *Server) slot(q *bus.Question, f *frame) bool {
	select {
	case s.slots <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(within(f.wait))
	defer timer.Stop()
	gone := make(chan struct{})
	q.OnCancel(sync.OnceFunc(func() { close(gone) }))
	select {
	case s.slots <- struct{}{}:
		return true
	case <-timer.C:
		q.Answer(s.status(f, http.StatusServiceUnavailable))
	case <-gone:
		q.Answer(s.status(f, http.StatusServiceUnavailable))
	}
	return false
}

// answerRest answers what concerns an exchange that is open here.
func (s *Server) answerRest(q *bus.Question) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	q.OnCancel(cancel)
	var f frame
	err := f.decode(q.Data, s.opts.MaxHeaderBytes)
	var answer []byte
	if err == nil {
		answer, err = s.about(ctx, &f)
	}
	if err != nil {
		s.refuse(q, err)
		return
	}
	q.Answer(answer)
}

// about answers a question about an exchange.
func (s *Server) about(ctx context.Context, f *frame) ([]byte, error) {
	s.mu.Lock()
	x := s.exchanges[f.id]
	s.mu.Unlock()
	if x == nil {
		if f.kind == kindCancel {
			return pack(&frame{kind: kindTaken, id: f.id}), nil
		}
		return s.abort(f.id, f.offset, errors.New("the exchange is not known here")), nil
	}
	x.alive()
	switch f.kind {
	case kindPull:
		if f.limit == 0 && f.flags&flagWantHead == 0 {
			return pack(&frame{kind: kindTaken, id: f.id}), nil // a sign of life
		}
		return x.answer(ctx, f), nil
	case kindPush:
		return x.push(ctx, f)
	case kindCancel:
		x.give(context.Canceled)
		s.forget(x)
		return pack(&frame{kind: kindTaken, id: f.id}), nil
	}
	return nil, complain("kind %d asks nothing", f.kind)
}

// refuse answers a frame that breaks the protocol.
func (s *Server) refuse(q *bus.Question, err error) {
	s.opts.Logger.Warn("httpbus: frame refused", "error", err)
	q.Fail(err)
}

// status answers a request that reaches no handler.
func (s *Server) status(f *frame, code int) []byte {
	body := http.StatusText(code) + "\n"
	if f.method == http.MethodHead {
		body = ""
	}
	return pack(&frame{
		kind: kindReply, flags: flagHead | flagEnd, id: f.id, instance: s.instance, status: code,
		length: int64(len(body)), header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, body: []byte(body),
	})
}

// abort answers that the response will never be whole.
func (s *Server) abort(id string, offset uint64, err error) []byte {
	reason := err.Error()
	return pack(&frame{kind: kindReply, flags: flagAborted, id: id, instance: s.instance, offset: offset, reason: reason[:min(len(reason), 1024)]})
}

// pack makes the message that carries a frame.
func pack(f *frame) []byte {
	size := 192 + len(f.body) + len(f.target) + weight(f.header) + weight(f.trailer)
	return f.append(make([]byte, 0, size))
}

// within reads a frame's wait, which nobody may make longer than a minute.
func within(ms uint64) time.Duration {
	return time.Duration(min(ms, 60_000)) * time.Millisecond
}

// forget ends the book-keeping of an exchange.
func (s *Server) forget(x *exchange) {
	x.lease.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exchanges[x.id] == x {
		delete(s.exchanges, x.id)
	}
	s.leave(x)
}

// delivered says that the client has been given the end of the response. It is
// kept for a while in case that answer got lost.
func (s *Server) delivered(x *exchange, linger bool) {
	if !linger {
		s.forget(x)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(x)
}

// leave counts an exchange out; s.mu is held.
func (s *Server) leave(x *exchange) {
	if x.left {
		return
	}
	x.left = true
	s.live--
	if s.live == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}
