package rabbitbus

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/goswale/swale/bus/driver"
)

// server answers requests of a subject as one of a group, which shares a queue that
// is there as long as one of its servers is.
type server struct {
	c              *conn
	subject, group string
	queue          string
	parallel       int
	h              func(context.Context, driver.Message) (driver.Message, error)

	ctx      context.Context //nolint:containedctx // until Stop: listening
	end      context.CancelFunc
	hctx     context.Context //nolint:containedctx // until Detach: handlers
	hend     context.CancelFunc
	wg       sync.WaitGroup
	handlers sync.WaitGroup
	room     chan struct{} // one place per handler

	mu      sync.Mutex
	running map[string]context.CancelFunc
}

// Serve implements driver.Requester.
func (c *conn) Serve(ctx context.Context, subject, group string, parallel int, h func(context.Context, driver.Message) (driver.Message, error)) (driver.Subscription, error) {
	parallel = min(parallel, 65535)
	s := &server{
		c: c, subject: subject, group: group, queue: c.names.servers(subject, group), parallel: parallel, h: h,
		room: make(chan struct{}, parallel), running: make(map[string]context.CancelFunc),
	}
	s.ctx, s.end = context.WithCancel(context.Background())
	s.hctx, s.hend = context.WithCancel(context.Background())
	joined := make(chan error, 1)
	s.wg.Go(func() { s.run(ctx, joined) })
	select {
	case err := <-joined:
		if err != nil {
			s.end()
			s.hend()
			s.wg.Wait()
			return nil, err
		}
		return s, nil
	case <-ctx.Done():
		s.end()
		s.hend()
		return nil, context.Cause(ctx)
	}
}

// run listens, again after every loss of the connection.
func (s *server) run(ctx context.Context, joined chan<- error) {
	joining := true
	for attempt := 0; s.ctx.Err() == nil; attempt++ {
		actx := s.ctx
		if joining {
			actx = ctx
		}
		ch, _, err := s.c.in.channel(actx)
		var in, cancels <-chan amqp.Delivery
		if err == nil {
			if in, cancels, err = s.declare(ch); err != nil {
				_ = ch.Close()
			}
		}
		if err != nil {
			// The queue of a group whose last server just left is going away.
			again := errors.Is(err, amqp.ErrClosed) || code(err, amqp.NotFound) && ctx.Err() == nil
			if joining && !again {
				joined <- err
				return
			}
			s.c.log.Debug("rabbitbus: serve", "subject", s.subject, "error", err)
			pause(s.ctx, attempt)
			continue
		}
		attempt = 0
		if joining {
			joining = false
			joined <- nil
		}
		s.listen(ch, in, cancels)
		s.leave(ch, in)
	}
	if joining {
		joined <- s.ctx.Err()
	}
}

const cancelTag = "swale-cancel"

func (s *server) declare(ch channel) (in, cancels <-chan amqp.Delivery, err error) {
	if err := s.c.declareExchanges(ch); err != nil {
		return nil, nil, err
	}
	// Durable, because newer brokers don't want other shared queues; what is left
	// of it by a broker that stopped goes away unused.
	args := classic()
	args["x-expires"] = int64(60_000)
	if _, err := ch.QueueDeclare(s.queue, true, true, false, false, args); err != nil {
		return nil, nil, err
	}
	own, err := ch.QueueDeclare("", false, true, true, false, classic())
	if err != nil {
		return nil, nil, err
	}
	if err := ch.QueueBind(own.Name, s.c.names.cancels(s.subject), s.c.names.requests(), false, nil); err != nil {
		return nil, nil, err
	}
	if err := ch.Qos(s.parallel, 0, false); err != nil {
		return nil, nil, err
	}
	if cancels, err = ch.Consume(own.Name, cancelTag, true, true, false, false, nil); err != nil {
		return nil, nil, err
	}
	if in, err = ch.Consume(s.queue, tag, false, false, false, false, nil); err != nil {
		return nil, nil, err
	}
	// Last, so that nobody reaches a queue that isn't served.
	return in, cancels, ch.QueueBind(s.queue, short(s.subject), s.c.names.requests(), false, nil)
}

func (s *server) listen(ch channel, in, cancels <-chan amqp.Delivery) {
	for {
		select {
		case d, ok := <-in:
			if !ok {
				return
			}
			s.take(ch, d)
		case d, ok := <-cancels:
			if !ok {
				return
			}
			s.mu.Lock()
			if cancel := s.running[d.CorrelationId]; cancel != nil {
				cancel()
			}
			s.mu.Unlock()
		case <-s.ctx.Done():
			return
		}
	}
}

// take has one request handled. One that another server had before it died isn't
// done again: whoever asked hears of it.
func (s *server) take(ch channel, d amqp.Delivery) {
	if d.Redelivered {
		s.answer(ch, &d, amqp.Publishing{Headers: amqp.Table{headerDied: true}})
		return
	}
	s.room <- struct{}{} // never waits for long: the prefetch is as large
	s.handlers.Go(func() {
		defer func() { <-s.room }()
		s.handle(ch, &d)
	})
}

// leave gives the group's queue up, so that nobody waits in it when this was the
// last server, and keeps the channel for the answers of handlers that run.
func (s *server) leave(ch channel, in <-chan amqp.Delivery) {
	if s.ctx.Err() == nil {
		_ = ch.Close()
		return
	}
	if err := ch.Cancel(tag, false); err == nil {
		for d := range in {
			s.take(ch, d) // came before the cancel
		}
		err = s.c.do(s.hctx, s.c.in, func(other channel) error {
			_, err := other.QueueDelete(s.queue, true, false, false)
			return err
		})
		if err != nil && !code(err, amqp.PreconditionFailed) && !code(err, amqp.NotFound) {
			s.c.log.Debug("rabbitbus: serve", "subject", s.subject, "error", err)
		}
	}
	s.handlers.Wait()
	_ = ch.Close()
}

// handle runs the handler for one request.
func (s *server) handle(ch channel, d *amqp.Delivery) {
	ctx, cancel := context.WithCancel(s.hctx)
	defer cancel()
	if text, ok := d.Headers[headerTimeout].(string); ok {
		if ms, err := strconv.ParseInt(text, 10, 64); err == nil && ms > 0 {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(min(ms, 1<<31))*time.Millisecond)
			defer cancel()
		}
	}
	s.mu.Lock()
	s.running[d.CorrelationId] = cancel
	s.mu.Unlock()
	m, err := s.h(ctx, received(d.ContentType, d.Headers, d.Body))
	s.mu.Lock()
	delete(s.running, d.CorrelationId)
	s.mu.Unlock()
	var msg amqp.Publishing
	switch {
	case err == nil:
		msg = publishing(&m)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		d.ReplyTo = "" // the caller's own clock says it better
	default:
		msg.Headers = amqp.Table{headerError: err.Error()}
	}
	s.answer(ch, d, msg)
}

// answer sends the answer and acks the request, which until then would be known
// to have died with this server.
func (s *server) answer(ch channel, d *amqp.Delivery, msg amqp.Publishing) {
	msg.DeliveryMode, msg.CorrelationId = amqp.Transient, d.CorrelationId
	var err error
	if d.ReplyTo != "" {
		err = ch.Publish("", d.ReplyTo, false, false, msg)
	}
	if err = errors.Join(err, ch.Ack(d.DeliveryTag, false)); err != nil {
		s.c.log.Debug("rabbitbus: answer", "subject", s.subject, "error", err)
	}
}

// Stop implements driver.Subscription.
func (s *server) Stop(ctx context.Context) error {
	s.end()
	return await(ctx, func() {
		s.wg.Wait()
		s.handlers.Wait()
	})
}

// Detach implements driver.Subscription.
func (s *server) Detach(context.Context) error {
	s.hend()
	return nil
}
