package natsbus

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/bus/driver"
)

// requestMark begins the last token of a request's reply subject.
const requestMark = 'R'

// errorHeader marks an answer that is a handler's error.
const errorHeader = "Swale-Error"

// replies are the requests that wait for an answer. Answers come out of one
// channel, from which those who wait take them, each handing on what is another's:
// with a goroutine in between, an answer would wake two.
type replies struct {
	prefix string
	in     chan *nats.Msg
	sub    *nats.Subscription
	flying atomic.Int32 // requests that wait

	mu   sync.Mutex
	next uint64
	wait map[string]*waiter // by reply subject
}

// waiter is one request that waits; they are used again.
type waiter struct{ answer chan *nats.Msg }

var waiters = sync.Pool{New: func() any { return &waiter{make(chan *nats.Msg, 1)} }}

// maxAnswers is how many answers may lie around that nobody has taken yet.
const maxAnswers = 8192

func (r *replies) open(ctx context.Context, nc *nats.Conn) (err error) {
	r.wait = make(map[string]*waiter)
	inbox := nats.NewInbox() + "."
	r.prefix = inbox + string(requestMark)
	r.in = make(chan *nats.Msg, maxAnswers)
	if r.sub, err = nc.ChanSubscribe(inbox+"*", r.in); err != nil {
		return err
	}
	// The first request may overtake what the client hasn't flushed.
	return flush(ctx, nc)
}

// add returns the reply subject, which ends with a number and the milliseconds
// that the server has.
func (r *replies) add(left time.Duration) (reply string, w *waiter) {
	w = waiters.Get().(*waiter) //nolint:forcetypeassert // the pool's own
	b := make([]byte, 0, 64)
	b = append(b, r.prefix...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	b = strconv.AppendUint(b, r.next, 36)
	b = append(b, '-')
	b = strconv.AppendInt(b, max(left.Milliseconds(), 1), 10)
	reply = string(b)
	r.wait[reply] = w
	return reply, w
}

// drop ends the waiting. A waiter that somebody may still hand an answer isn't
// used again.
func (r *replies) drop(reply string, w *waiter) {
	r.mu.Lock()
	_, waiting := r.wait[reply]
	delete(r.wait, reply)
	r.mu.Unlock()
	if waiting {
		waiters.Put(w)
	}
}

// settle hands on an answer.
func (r *replies) settle(m *nats.Msg) {
	r.mu.Lock()
	w := r.wait[m.Subject]
	delete(r.wait, m.Subject)
	r.mu.Unlock()
	if w != nil {
		w.answer <- m
	}
}

// sweep throws away the answers that came too late, or hands them on.
func (r *replies) sweep() {
	for {
		select {
		case m := <-r.in:
			r.settle(m)
		default:
			return
		}
	}
}

// receive waits for the answer to reply.
func (r *replies) receive(ctx context.Context, reply string, w *waiter, late <-chan time.Time) (*nats.Msg, error) {
	for {
		select {
		case m := <-r.in:
			if m.Subject == reply {
				return m, nil
			}
			r.settle(m)
		case m := <-w.answer:
			return m, nil
		case <-late:
			return nil, context.DeadlineExceeded
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// timers are those of the requests whose context has no deadline.
var timers = sync.Pool{New: func() any { t := time.NewTimer(time.Hour); t.Stop(); return t }}

// Request implements driver.Requester. The time that is left travels as the end
// of the reply subject, which costs no header.
func (c *conn) Request(ctx context.Context, subject string, m *driver.Message, deadline time.Time) (driver.Message, error) {
	if err := c.roomUntil(ctx, deadline); err != nil {
		return driver.Message{}, err
	}
	r := &c.replies
	if len(r.in) > 0 {
		r.sweep()
	}
	left := time.Until(deadline)
	reply, w := r.add(left)
	defer r.drop(reply, w)
	var late <-chan time.Time
	if _, ok := ctx.Deadline(); !ok {
		t := timers.Get().(*time.Timer) //nolint:forcetypeassert // the pool's own
		t.Reset(left)
		late = t.C
		defer func() { t.Stop(); timers.Put(t) }()
	}
	lone := r.flying.Add(1) <= maxLone
	defer r.flying.Add(-1)
	if err := c.write(c.opts.Prefix+".r."+subject, reply, m, lone); err != nil {
		return driver.Message{}, err
	}
	a, err := r.receive(ctx, reply, w, late)
	if err == nil {
		return read(a)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		_ = c.nc.Publish(c.opts.Prefix+".c."+subject, []byte(reply))
	}
	return driver.Message{}, err
}

// read judges an answer.
func read(m *nats.Msg) (driver.Message, error) {
	if m.Header != nil {
		if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
			return driver.Message{}, driver.ErrNoResponders
		}
		if text, ok := m.Header[errorHeader]; ok && len(text) > 0 {
			return driver.Message{}, &driver.AnswerError{Text: unescape(text[0])}
		}
	}
	return message(m), nil
}
