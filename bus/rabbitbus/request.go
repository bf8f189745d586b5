package rabbitbus

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"strconv"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/goswale/swale/bus/driver"
)

// Headers of requests and answers.
const (
	headerTimeout = "swale-timeout" // ms until the caller gives up
	headerError   = "swale-error"   // what the handler failed with
	headerDied    = "swale-died"    // the server that had the request is gone
)

const replyTo = "amq.rabbitmq.reply-to"

// caller asks questions on one channel; answers come straight to it, without a
// queue (direct reply-to). One goroutine writes.
type caller struct {
	c     *conn
	sends chan send
	ctx   context.Context //nolint:containedctx // the caller's life
	end   context.CancelFunc
	wg    sync.WaitGroup
	line  *line // of the writing goroutine
}

// send is a request, or the cancel of one.
type send struct {
	q      *question // nil is a cancel
	key    string
	msg    amqp.Publishing
	ctx    context.Context //nolint:containedctx // a call's, on its way to the writer
	cancel *line
}

type question struct {
	answer chan result // one place
	line   *line       // where it was asked; set before its answer can come
	mu     sync.Mutex
}

type result struct {
	m   driver.Message
	err error
}

// line is one channel of the caller.
type line struct {
	ch channel

	mu   sync.Mutex
	open map[string]*question // nil when the channel is gone
	sent []string             // what the broker hasn't confirmed, in order; empty is a cancel
}

func newCaller(c *conn) *caller {
	r := &caller{c: c, sends: make(chan send, 64)}
	r.ctx, r.end = context.WithCancel(context.Background())
	r.wg.Go(r.write)
	return r
}

var (
	errDied = errors.New("the server ended while it had the request")
	errGone = errors.New("the broker lost the request with its queue; a server may have begun it")
)

// Request implements driver.Requester.
func (c *conn) Request(ctx context.Context, subject string, m *driver.Message, deadline time.Time) (driver.Message, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return driver.Message{}, err
	}
	msg := publishing(m)
	msg.DeliveryMode = amqp.Transient
	msg.ReplyTo, msg.CorrelationId = replyTo, rand.Text()
	left := max(time.Until(deadline), time.Millisecond)
	ms := strconv.FormatInt(min(left.Milliseconds()+1, 1<<31-1), 10)
	msg.Expiration = ms // nobody needs to begin after that
	if msg.Headers == nil {
		msg.Headers = make(amqp.Table, 1)
	}
	msg.Headers[headerTimeout] = ms
	q := &question{answer: make(chan result, 1)}
	select {
	case c.calls.sends <- send{q: q, key: short(subject), msg: msg, ctx: ctx}:
	case <-ctx.Done():
		return driver.Message{}, context.Cause(ctx)
	case <-c.calls.ctx.Done():
		return driver.Message{}, net.ErrClosed
	}
	select {
	case r := <-q.answer:
		return r.m, r.err
	case <-ctx.Done():
		q.mu.Lock()
		l := q.line
		q.mu.Unlock()
		if l != nil && l.take(msg.CorrelationId) != nil {
			c.calls.cancel(l, c.names.cancels(subject), msg.CorrelationId)
		}
		return driver.Message{}, context.Cause(ctx)
	case <-c.calls.ctx.Done():
		return driver.Message{}, net.ErrClosed
	}
}

// cancel tells the servers of a subject, each of which knows what it has, if the
// writer isn't busy.
func (r *caller) cancel(l *line, key, id string) {
	select {
	case r.sends <- send{key: key, msg: amqp.Publishing{CorrelationId: id}, cancel: l}:
	default:
	}
}

// write sends what it is given until end.
func (r *caller) write() {
	for {
		select {
		case s := <-r.sends:
			if s.q == nil {
				s.cancel.sending("")
				if err := s.cancel.ch.Publish(r.c.names.requests(), s.key, false, false, s.msg); err != nil {
					r.c.log.Debug("rabbitbus: cancel", "error", err)
				}
				continue
			}
			if err := r.ask(&s); err != nil {
				s.q.answer <- result{err: err}
			}
		case <-r.ctx.Done():
			if r.line != nil {
				r.line.hangUp(net.ErrClosed)
			}
			return
		}
	}
}

// ask sends one request.
func (r *caller) ask(s *send) error {
	if left(s.ctx) {
		return nil
	}
	l, err := r.connect(s.ctx)
	if err != nil {
		return driver.Temporary(err)
	}
	s.q.mu.Lock()
	s.q.line = l
	s.q.mu.Unlock()
	if !l.add(s.msg.CorrelationId, s.q) {
		return driver.Temporary(errLost)
	}
	if left(s.ctx) {
		l.take(s.msg.CorrelationId)
		return nil
	}
	// Mandatory: without a server's queue the request comes back at once. One whose
	// queue is lost is refused by the broker.
	l.sending(s.msg.CorrelationId)
	if err := l.ch.Publish(r.c.names.requests(), s.key, true, false, s.msg); err != nil {
		if l.take(s.msg.CorrelationId) != nil {
			return driver.Temporary(err)
		}
	}
	return nil
}

// left reports whether the caller waits no more.
func left(ctx context.Context) bool { return ctx.Err() != nil }

// connect returns the line, a new one if the old one is gone.
func (r *caller) connect(ctx context.Context) (*line, error) {
	if r.line != nil && r.line.alive() {
		return r.line, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)()
	ch, _, err := r.c.out.channel(ctx)
	if err != nil {
		return nil, err
	}
	returns := ch.NotifyReturn(make(chan amqp.Return)) // taken before the confirmation behind it is handed over
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, 64))
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	var answers <-chan amqp.Delivery
	if err = ch.Confirm(false); err == nil {
		answers, err = ch.Consume(replyTo, tag, true, false, false, false, nil)
	}
	if err != nil {
		_ = ch.Close()
		return nil, err
	}
	l := &line{ch: ch, open: make(map[string]*question)}
	r.wg.Go(func() { l.listen(answers, returns, confirms, closed) })
	r.line = l
	return l, nil
}

func (l *line) alive() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open != nil
}

func (l *line) add(id string, q *question) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		return false
	}
	l.open[id] = q
	return true
}

// sending notes what is about to be sent.
func (l *line) sending(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, id)
}

// confirmed returns the first of what was sent, which the broker has or refuses.
func (l *line) confirmed() (id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.sent) > 0 {
		id, l.sent = l.sent[0], l.sent[1:]
	}
	return id
}

// take returns the question and forgets it: the first answer counts.
func (l *line) take(id string) *question {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.open[id]
	delete(l.open, id)
	return q
}

// hangUp fails everything that waits.
func (l *line) hangUp(err error) {
	l.mu.Lock()
	open := l.open
	l.open = nil
	l.mu.Unlock()
	for _, q := range open {
		q.answer <- result{err: err}
	}
}

// listen gives answers to those who asked, until the channel is gone.
func (l *line) listen(answers <-chan amqp.Delivery, returns <-chan amqp.Return, confirms <-chan amqp.Confirmation, closed <-chan *amqp.Error) {
	for {
		select {
		case d, ok := <-answers:
			if !ok {
				l.hangUp(driver.Temporary(reason(<-closed)))
				return
			}
			if q := l.take(d.CorrelationId); q != nil {
				q.answer <- read(&d)
			}
		case back, ok := <-returns:
			if !ok {
				returns = nil
				continue
			}
			if q := l.take(back.CorrelationId); q != nil {
				q.answer <- result{err: driver.ErrNoResponders}
			}
		case c, ok := <-confirms:
			if !ok {
				confirms = nil
				continue
			}
			id := l.confirmed()
			if c.Ack {
				continue
			}
			if q := l.take(id); q != nil {
				q.answer <- result{err: driver.Temporary(errGone)}
			}
		}
	}
}

func read(d *amqp.Delivery) result {
	if text, ok := d.Headers[headerError].(string); ok {
		return result{err: &driver.AnswerError{Text: text}}
	}
	if _, ok := d.Headers[headerDied]; ok {
		return result{err: errDied}
	}
	return result{m: received(d.ContentType, d.Headers, d.Body)}
}
