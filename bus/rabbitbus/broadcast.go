package rabbitbus

import (
	"context"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/goswale/swale/bus/driver"
)

// listener is a broadcast subscription: a reader that fills a buffer, and a
// goroutine that takes from it for the sink.
type listener struct {
	*reader
	sink driver.Sink
	buf  *buffer
	tell sync.WaitGroup // the sink's goroutine
}

// listen subscribes the sink to a feed that fills buf.
func (c *conn) listen(ctx context.Context, what string, f feed, buf *buffer, sink driver.Sink) (driver.Subscription, error) {
	r, err := c.read(ctx, what, f)
	if err != nil {
		return nil, err
	}
	l := &listener{reader: r, sink: sink, buf: buf}
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

// Stop implements driver.Subscription.
func (l *listener) Stop(ctx context.Context) error {
	l.end()
	l.buf.close()
	return await(ctx, func() {
		l.wg.Wait()
		l.tell.Wait()
	})
}

// Detach implements driver.Subscription.
func (l *listener) Detach(context.Context) error { return nil }

// Broadcast implements driver.Driver.
func (c *conn) Broadcast(ctx context.Context, topic string, sink driver.Sink) (driver.Subscription, error) {
	buf := newBuffer(c.opts.Buffer, c.opts.BufferBytes)
	return c.listen(ctx, topic, &passing{c: c, topic: topic, buf: buf}, buf, sink)
}

// passing is a topic from now on: an exclusive queue, named by the broker, that
// vanishes with the connection. So every reconnect is a hole.
type passing struct {
	c     *conn
	topic string
	buf   *buffer
}

func (p *passing) attach(ctx context.Context) (channel, <-chan amqp.Delivery, error) {
	ch, _, err := p.c.in.channel(ctx)
	if err != nil {
		return nil, nil, err
	}
	in, err := p.declare(ch)
	if err != nil {
		_ = ch.Close()
		return nil, nil, err
	}
	p.buf.resume(false)
	return ch, in, nil
}

func (p *passing) declare(ch channel) (<-chan amqp.Delivery, error) {
	if err := p.c.declareExchanges(ch); err != nil {
		return nil, err
	}
	q, err := ch.QueueDeclare("", false, true, true, false, classic())
	if err != nil {
		return nil, err
	}
	if err := ch.QueueBind(q.Name, p.c.names.key(p.topic), p.c.names.events(), false, nil); err != nil {
		return nil, err
	}
	// Without acks: the buffer is the bound, and a message that was sent while
	// the connection broke is part of the hole.
	return ch.Consume(q.Name, tag, true, true, false, false, nil)
}

func (p *passing) take(_ channel, d *amqp.Delivery) error {
	p.buf.put(received(d.ContentType, d.Headers, d.Body))
	return nil
}

func (p *passing) lost(reason error) { p.buf.lose(reason) }
