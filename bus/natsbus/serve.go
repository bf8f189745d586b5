package natsbus

import (
	"context"
	"errors"
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
	h        func(context.Context, driver.Message) (driver.Message, error)
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
	running map[string]context.CancelFunc // by reply subject
}

// Serve implements driver.Requester.
func (c *conn) Serve(ctx context.Context, subject, group string, parallel int, h func(context.Context, driver.Message) (driver.Message, error)) (driver.Subscription, error) {
	s := &server{
		conn: c, h: h, parallel: parallel, in: make(chan *nats.Msg, backlog), drained: make(chan struct{}),
		running: make(map[string]context.CancelFunc),
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
			if m.Reply != "" { // else nobody waits for an answer
				s.serve(m)
			}
			s.idle.Add(1)
		case <-s.ctx.Done():
			return
		}
	}
}

// serve answers one request.
func (s *server) serve(m *nats.Msg) {
	var ctx context.Context
	var cancel context.CancelFunc
	if left, ok := timeLeft(m.Reply); ok {
		ctx, cancel = context.WithTimeout(s.ctx, left)
	} else {
		ctx, cancel = context.WithCancel(s.ctx)
	}
	defer cancel()
	s.mu.Lock()
	s.running[m.Reply] = cancel
	s.mu.Unlock()
	out, err := s.h(ctx, message(m))
	s.mu.Lock()
	lone := len(s.running) <= maxLone && len(s.in) == 0
	delete(s.running, m.Reply)
	s.mu.Unlock()
	if err = s.reply(ctx, m.Reply, &out, err, lone); err != nil {
		s.conn.log.Debug("answer", "subject", m.Subject, "error", err)
	}
}

// reply sends what the handler returned.
func (s *server) reply(ctx context.Context, to string, out *driver.Message, err error, lone bool) error {
	switch {
	case err == nil:
		return s.conn.write(to, "", out, lone)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil // the caller's own clock says it better
	}
	text := err.Error()
	return s.conn.nc.PublishMsg(&nats.Msg{Subject: to, Header: nats.Header{errorHeader: {escape(text[:min(len(text), 4096)])}}})
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

// cancelled is told of every request on the subject that was given up; one server
// has it.
func (s *server) cancelled(m *nats.Msg) {
	s.mu.Lock()
	cancel := s.running[string(m.Data)]
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
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
	_ = s.cancels.Unsubscribe()
	if !s.conn.nc.IsConnected() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return s.conn.nc.FlushWithContext(ctx)
}
