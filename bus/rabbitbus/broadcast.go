package rabbitbus

import (
	"context"
	"errors"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/goswale/swale/bus/driver"
)

// listener is a broadcast subscription: an exclusive queue, named by the broker,
// that vanishes with the connection. So every reconnect is a hole.
type listener struct {
	c     *conn
	topic string
	sink  driver.Sink
	buf   *buffer

	ctx  context.Context //nolint:containedctx // until Stop
	end  context.CancelFunc
	wg   sync.WaitGroup
	tell sync.WaitGroup // the sink's goroutine
}

// Broadcast implements driver.Driver.
func (c *conn) Broadcast(ctx context.Context, topic string, sink driver.Sink) (driver.Subscription, error) {
	l := &listener{c: c, topic: topic, sink: sink, buf: newBuffer(c.opts.Buffer, c.opts.BufferBytes)}
	l.ctx, l.end = context.WithCancel(context.Background())
	joined := make(chan error, 1)
	l.wg.Go(func() { l.run(ctx, joined) })
	select {
	case err := <-joined:
		if err != nil {
			l.end()
			l.wg.Wait()
			return nil, err
		}
	case <-ctx.Done():
		l.end()
		return nil, context.Cause(ctx)
	}
	l.tell.Go(l.talk)
	return l, nil
}

// talk calls the sink.
func (l *listener) talk() {
	l.sink.State(driver.Live, nil)
	for {
		s, ok := l.buf.next()
		switch {
		case ok && s.state != 0:
			l.sink.State(s.state, s.why)
		case ok:
			l.sink.Message(s.m)
		default:
			if l.ctx.Err() != nil {
				return
			}
			<-l.buf.ready
		}
	}
}

// run listens, again after every loss.
func (l *listener) run(ctx context.Context, joined chan<- error) {
	joining := true
	for attempt := 0; l.ctx.Err() == nil; attempt++ {
		actx := l.ctx
		if joining {
			actx = ctx
		}
		ch, in, err := l.attach(actx)
		if err != nil {
			if joining && !errors.Is(err, amqp.ErrClosed) {
				joined <- err
				return
			}
			l.c.log.Debug("rabbitbus: broadcast", "topic", l.topic, "error", err)
			pause(l.ctx, attempt)
			continue
		}
		attempt = 0
		if joining {
			joining = false
			joined <- nil
		}
		l.buf.resume()
		closed := ch.NotifyClose(make(chan *amqp.Error, 1))
		l.listen(in)
		if l.ctx.Err() == nil {
			l.buf.lose(why(closed))
		}
		_ = ch.Close() // it is closed already unless the queue was deleted
	}
	if joining {
		joined <- l.ctx.Err()
	}
}

var errDeleted = errors.New("the subscription's queue was deleted")

// why says why a consumer ended.
func why(closed <-chan *amqp.Error) error {
	select {
	case err := <-closed:
		return reason(err)
	default:
		return errDeleted
	}
}

func (l *listener) attach(ctx context.Context) (channel, <-chan amqp.Delivery, error) {
	ch, _, err := l.c.in.channel(ctx)
	if err != nil {
		return nil, nil, err
	}
	in, err := l.declare(ch)
	if err != nil {
		_ = ch.Close()
		return nil, nil, err
	}
	return ch, in, nil
}

func (l *listener) declare(ch channel) (<-chan amqp.Delivery, error) {
	if err := l.c.declareExchanges(ch); err != nil {
		return nil, err
	}
	q, err := ch.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		return nil, err
	}
	if err := ch.QueueBind(q.Name, l.c.names.key(l.topic), l.c.names.events(), false, nil); err != nil {
		return nil, err
	}
	// Without acks: the buffer is the bound, and a message that was sent while
	// the connection broke is part of the hole.
	return ch.Consume(q.Name, tag, true, true, false, false, nil)
}

func (l *listener) listen(in <-chan amqp.Delivery) {
	for {
		select {
		case d, ok := <-in:
			if !ok {
				return
			}
			l.buf.put(received(d.ContentType, d.Headers, d.Body))
		case <-l.ctx.Done():
			return
		}
	}
}

// Stop implements driver.Subscription.
func (l *listener) Stop(ctx context.Context) error {
	l.end()
	l.buf.close()
	done := make(chan struct{})
	go func() {
		l.wg.Wait()
		l.tell.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Detach implements driver.Subscription.
func (l *listener) Detach(context.Context) error { return nil }
