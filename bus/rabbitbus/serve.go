package rabbitbus

import (
	"context"
	"errors"
	"strconv"
	"strings"
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
	queue          string // of the work at hand
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
		c: c, subject: subject, group: group, parallel: parallel, h: h,
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
		w, err := s.join(actx)
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
		s.listen(w)
		s.leave(w)
	}
	if joining {
		joined <- s.ctx.Err()
	}
}

const cancelTag = "swale-cancel"

func (s *server) listen(w *work) {
	for {
		select {
		case d, ok := <-w.in:
			if !ok {
				return
			}
			s.take(w, d)
		case d, ok := <-w.cancels:
			if !ok {
				return
			}
			s.cancelled(&d)
		case <-s.ctx.Done():
			return
		}
	}
}

// cancelled is told that a caller has given up.
func (s *server) cancelled(d *amqp.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel := s.running[d.CorrelationId]; cancel != nil {
		cancel()
	}
}

// take has one request handled. One that another server had before it died isn't
// done again: whoever asked hears of it.
func (s *server) take(w *work, d amqp.Delivery) {
	if d.Redelivered {
		s.answer(s.hctx, w.ch, &d, amqp.Publishing{Headers: amqp.Table{headerDied: true}})
		return
	}
	s.room <- struct{}{} // never waits for long: the prefetch is as large
	w.busy.Add(1)
	s.handlers.Go(func() {
		defer func() {
			w.busy.Done()
			<-s.room
		}()
		s.handle(w.ch, &d)
	})
}

// leave gives the group's queue up, so that nobody waits in it when this was the
// last server, and keeps the channel for the answers of handlers that run.
func (s *server) leave(w *work) {
	if s.ctx.Err() == nil {
		// The connection is gone, or the queue with its node; then those who asked
		// may still be answered.
		s.wg.Go(func() {
			w.busy.Wait()
			_ = w.ch.Close()
		})
		s.wg.Go(func() {
			for d := range w.cancels {
				s.cancelled(&d)
			}
		})
		return
	}
	if err := w.ch.Cancel(tag, false); err == nil {
		for d := range w.in {
			s.take(w, d) // came before the cancel
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
	_ = w.ch.Close()
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
	s.answer(ctx, ch, d, msg)
}

// answer sends the answer and acks the request, which until then would be known
// to have died with this server. When the channel is gone the answer takes another:
// if the queue is gone too nobody else will tell who asked.
func (s *server) answer(ctx context.Context, ch channel, d *amqp.Delivery, msg amqp.Publishing) {
	msg.DeliveryMode, msg.CorrelationId = amqp.Transient, d.CorrelationId
	var err error
	// Whoever asks says where the answer goes, which might be anybody's queue.
	if strings.HasPrefix(d.ReplyTo, replyTo) {
		err = ch.Publish("", d.ReplyTo, false, false, msg)
		if err != nil {
			err = s.c.do(ctx, s.c.in, func(other channel) error {
				return other.Publish("", d.ReplyTo, false, false, msg)
			})
		}
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
