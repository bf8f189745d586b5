package natsbus

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/bus/driver"
)

// backlog is how many requests wait at a server whose handlers are all busy; what
// comes beyond is dropped, as core NATS does, and its caller's time runs out.
const backlog = 8192

// server is one Serve. Its workers take requests from the connection's reader
// themselves: a goroutine between them would cost each request a change of
// goroutines.
type server struct {
	conn     *conn
	h        func(*question)
	parallel int
	in       chan *nats.Msg
	sub      *nats.Subscription
	cancels  *nats.Subscription
	drained  chan struct{}
	ctx      context.Context //nolint:containedctx // ends at Detach
	cancel   context.CancelFunc
	once     sync.Once
	wg       sync.WaitGroup
	idle     atomic.Int32 // workers that wait for a request

	mu      sync.Mutex
	workers int
	gone    bool                 // Detach has begun
	running map[string]*question // by reply subject
	early   early
}

// early are the latest requests that were given up while they weren't running: they
// wait for a worker, have been answered, or are another server's.
type early struct {
	known map[string]struct{}
	order []string // a ring, once it is full
	next  int
}

// maxEarly is how many of them are known. A request that waits while as many
// others are given up is handled although nobody waits for it.
const maxEarly = 1024

// maxReply is how long their reply subjects may be, many times what Request makes:
// who gives up a request may be anybody.
const maxReply = 512

func (e *early) add(reply string) {
	if len(reply) > maxReply {
		return
	}
	if e.known == nil {
		e.known = make(map[string]struct{})
	}
	if _, twice := e.known[reply]; twice {
		return
	}
	if len(e.order) < maxEarly {
		e.order = append(e.order, reply)
	} else {
		delete(e.known, e.order[e.next])
		e.order[e.next] = reply
		e.next = (e.next + 1) % maxEarly
	}
	e.known[reply] = struct{}{}
}

// forget reports whether a request was given up.
func (e *early) forget(reply string) bool {
	_, ok := e.known[reply]
	delete(e.known, reply)
	return ok
}

// Serve implements driver.Requester.
func (c *conn) Serve(ctx context.Context, subject, group string, parallel int, h func(context.Context, driver.Message) (driver.Message, error)) (driver.Subscription, error) {
	return c.serve(ctx, subject, group, parallel, func(q *question) { q.handle(h) })
}

// Questions implements driver.Questioner.
func (c *conn) Questions(ctx context.Context, subject, group string, parallel int, h func(driver.Question)) (driver.Subscription, error) {
	return c.serve(ctx, subject, group, parallel, func(q *question) { h(q) })
}

func (c *conn) serve(ctx context.Context, subject, group string, parallel int, h func(*question)) (driver.Subscription, error) {
	s := &server{
		conn: c, h: h, parallel: parallel, in: make(chan *nats.Msg, backlog), drained: make(chan struct{}),
		running: make(map[string]*question),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	var err error
	if s.cancels, err = c.nc.Subscribe(c.opts.Prefix+".c."+subject, s.cancelled); err != nil {
		s.cancel()
		return nil, temporary(err)
	}
	if s.sub, err = c.nc.ChanQueueSubscribe(c.opts.Prefix+".r."+subject, group, s.in); err != nil {
		_ = s.cancels.Unsubscribe()
		s.cancel()
		return nil, temporary(err)
	}
	s.sub.SetClosedHandler(func(string) { close(s.drained) })
	// The server knows the subscription when it has answered what came after it.
	if err := flush(ctx, c.nc); err != nil {
		_ = s.sub.Unsubscribe()
		_ = s.cancels.Unsubscribe()
		s.cancel()
		return nil, temporary(err)
	}
	s.grow()
	return s, nil
}

// grow starts a further worker, if there may be one.
func (s *server) grow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.workers < s.parallel {
		s.workers++
		s.idle.Add(1)
		s.wg.Go(s.work)
	}
}

// work handles requests until the subscription has ended. Whoever takes a request
// while nobody else waits has another worker wait. Workers stay, because a new
// goroutine would grow its stack again for every request.
func (s *server) work() {
	for {
		select {
		case m, ok := <-s.in:
			if !ok {
				return
			}
			if s.idle.Add(-1) == 0 {
				s.grow()
			}
			if s.conn.answerable(m.Reply) {
				s.serve(m)
			}
			s.idle.Add(1)
		case <-s.ctx.Done():
			return
		}
	}
}

// answerable reports whether somebody may wait for an answer there. Whoever asks
// says where, and could have this server publish an event or order JetStream about.
func (c *conn) answerable(reply string) bool {
	own := len(reply) > len(c.opts.Prefix) && reply[len(c.opts.Prefix)] == '.' && strings.HasPrefix(reply, c.opts.Prefix)
	return reply != "" && reply[0] != '$' && !own
}

// serve has one request handled.
func (s *server) serve(m *nats.Msg) {
	q := &question{server: s, msg: m}
	s.mu.Lock()
	if s.early.forget(m.Reply) {
		s.mu.Unlock()
		return // nobody waits any more
	}
	s.running[m.Reply] = q
	gone := s.gone
	q.cancelled = gone
	s.mu.Unlock()
	if gone {
		q.ctx.end(context.Canceled)
	}
	s.h(q)
}

// question is a request until it is answered. The server's mutex guards the rest
// of it.
type question struct {
	server    *server
	msg       *nats.Msg
	ctx       respite // the handler's, see handle
	answered  bool
	cancelled bool
	onCancel  func()
}

// handle has h answer when it returns.
func (q *question) handle(h func(context.Context, driver.Message) (driver.Message, error)) {
	if left, ok := timeLeft(q.msg.Reply); ok {
		q.ctx.deadline = time.Now().Add(left)
	}
	defer q.ctx.end(context.Canceled)
	out, err := h(&q.ctx, q.Message())
	if err != nil && errors.Is(q.ctx.Err(), context.DeadlineExceeded) {
		q.settle() // the caller's own clock says it better
		return
	}
	q.Answer(out, err)
}

// Message implements driver.Question.
func (q *question) Message() driver.Message { return message(q.msg) }

// OnCancel implements driver.Question.
func (q *question) OnCancel(f func()) {
	q.server.mu.Lock()
	now := q.cancelled
	q.onCancel = f
	q.server.mu.Unlock()
	if now {
		f()
	}
}

// Answer implements driver.Question.
func (q *question) Answer(out driver.Message, err error) {
	first, lone := q.settle()
	if !first {
		return
	}
	to, c := q.msg.Reply, q.server.conn
	if err == nil {
		err = c.write(to, "", &out, lone)
	} else {
		text := err.Error()
		err = c.nc.PublishMsg(&nats.Msg{Subject: to, Header: nats.Header{errorHeader: {escape(text[:min(len(text), 4096)])}}})
	}
	if err != nil {
		c.log.Debug("answer", "subject", q.msg.Subject, "error", err)
	}
}

// settle ends the question, once. lone says that few others are under way.
func (q *question) settle() (first, lone bool) {
	s := q.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.answered {
		return false, false
	}
	lone = len(s.running) <= maxLone && len(s.in) == 0
	q.answered, q.onCancel = true, nil
	if s.running[q.msg.Reply] == q {
		delete(s.running, q.msg.Reply)
	}
	return true, lone
}

// cancelled is told of every request on the subject that was given up; one server
// has it.
func (s *server) cancelled(m *nats.Msg) { s.giveUp(string(m.Data)) }

// giveUp cancels a question.
func (s *server) giveUp(reply string) {
	s.mu.Lock()
	var f func()
	q := s.running[reply]
	if q == nil || q.cancelled {
		if q == nil {
			s.early.add(reply)
		}
		s.mu.Unlock()
		return
	}
	q.cancelled = true
	f = q.onCancel
	s.mu.Unlock()
	q.ctx.end(context.Canceled)
	if f != nil {
		f()
	}
}

// timeLeft reads the end of a reply subject made by Request.
func timeLeft(reply string) (time.Duration, bool) {
	dash := strings.LastIndexByte(reply, '-')
	dot := strings.LastIndexByte(reply, '.')
	if dash < dot || dot+1 >= len(reply) || reply[dot+1] != requestMark {
		return 0, false
	}
	ms, err := strconv.ParseInt(reply[dash+1:], 10, 64)
	if err != nil || ms <= 0 || ms > int64(24*time.Hour/time.Millisecond) {
		return 0, false
	}
	return time.Duration(ms) * time.Millisecond, true
}

// Stop implements driver.Subscription.
func (s *server) Stop(ctx context.Context) error {
	if err := s.conn.drain(ctx, s.sub, s.drained); err != nil {
		return err
	}
	s.once.Do(func() { close(s.in) }) // the connection puts nothing into it any more
	return wait(ctx, &s.wg)
}

// Detach implements driver.Subscription.
func (s *server) Detach(ctx context.Context) error {
	s.cancel()
	s.mu.Lock()
	s.gone = true
	left := slices.Collect(maps.Keys(s.running))
	s.mu.Unlock()
	for _, reply := range left {
		s.giveUp(reply)
	}
	_ = s.cancels.Unsubscribe()
	if !s.conn.nc.IsConnected() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return s.conn.nc.FlushWithContext(ctx)
}
