package rabbitbus

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/goswale/swale/bus/driver"
)

// Headers of what is in a stream.
const (
	headerKey    = "swale-key"
	headerTime   = "swale-time"   // of publishing, ms
	headerMark   = "swale-mark"   // the message is no event: who reads it has read everything before it
	headerBounds = "swale-bounds" // with a mark: the stream's bounds from here on
)

// DeclareStream implements driver.Streamer. The broker's own bounds are those of
// the first declaration, and are kept by whole segments of the stream; the exact
// ones go with a mark to everybody who reads the latest of each key.
func (c *conn) DeclareStream(ctx context.Context, topic string, bounds driver.StreamConfig) error {
	queue := c.names.stream(topic)
	c.mu.Lock()
	if c.streams == nil {
		c.streams = make(map[string]*stream)
	}
	s := c.streams[queue]
	if s == nil {
		s = &stream{c: c, topic: topic, queue: queue, making: make(chan struct{}, 1)}
		c.streams[queue] = s
	}
	s.bounds = bounds
	c.mu.Unlock()
	if _, err := s.declare(ctx); err != nil {
		return temporary(err)
	}
	text, err := json.Marshal(bounds)
	if err != nil {
		return err
	}
	return s.mark(ctx, amqp.Table{headerMark: rand.Text(), headerBounds: string(text)})
}

// stream is a RabbitMQ stream that holds value objects.
type stream struct {
	c            *conn
	topic, queue string
	bounds       driver.StreamConfig // as declared here; c.mu guards it
	latest       *table              // of each key, once somebody asked; c.mu guards it
	making       chan struct{}       // held while latest is made
}

// segments is over how many segments a stream is spread: what is over its bounds
// goes a segment at a time.
const segments = 8

// declare makes the stream where it isn't there, and says whether it was. One that
// has other bounds is as good.
func (s *stream) declare(ctx context.Context) (there bool, err error) {
	err = s.c.do(ctx, s.c.in, func(ch channel) error {
		_, err := ch.QueueDeclarePassive(s.queue, true, false, false, false, nil)
		return err
	})
	if !code(err, amqp.NotFound) || !strings.Contains(err.Error(), "no queue") {
		return true, err // in other words it says that the stream is there and down
	}
	args := s.args()
	if s.c.opts.declared != nil {
		s.c.opts.declared(s.queue)
	}
	err = s.c.do(ctx, s.c.in, func(ch channel) error {
		_, err := ch.QueueDeclare(s.queue, true, false, false, false, args)
		return err
	})
	if code(err, amqp.PreconditionFailed) {
		return false, nil // somebody was quicker
	}
	return false, err
}

func (s *stream) args() amqp.Table {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	args := amqp.Table{
		"x-queue-type":                    "stream",
		"x-max-length-bytes":              s.bounds.MaxBytes,
		"x-max-age":                       seconds(s.bounds.MaxAge),
		"x-stream-max-segment-size-bytes": min(max(s.bounds.MaxBytes/segments, 1<<20), 64<<20),
	}
	if s.c.opts.Replicas > 0 {
		args["x-initial-cluster-size"] = int64(s.c.opts.Replicas)
	}
	return args
}

// seconds writes a time as the broker's arguments do, rounded up.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10) + "s"
}

// PublishStream implements driver.Streamer.
func (c *conn) PublishStream(ctx context.Context, topic string, msgs []driver.Message, done func(int, error)) {
	c.send(job{ctx: ctx, key: c.names.stream(topic), msgs: msgs, done: done, write: value, mandatory: true})
}

// value is publishing for a stream, to which the default exchange leads.
func value(m *driver.Message) amqp.Publishing {
	p := publishing(m)
	headers := amqp.Table{headerKey: m.Key, headerTime: time.Now().UnixMilli()}
	maps.Copy(headers, p.Headers)
	p.Headers = headers
	return p
}

// mark publishes a mark and waits until it is there, again after what may pass.
func (s *stream) mark(ctx context.Context, headers amqp.Table) error {
	for attempt := 0; ; attempt++ {
		done := make(chan error, 1)
		s.c.send(job{
			ctx: ctx, key: s.queue, msgs: make([]driver.Message, 1), done: func(_ int, err error) { done <- err }, mandatory: true,
			write: func(*driver.Message) amqp.Publishing {
				return amqp.Publishing{DeliveryMode: amqp.Persistent, Headers: headers}
			},
		})
		var err error
		select {
		case err = <-done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if !driver.IsTemporary(err) || !pause(ctx, attempt) {
			return err
		}
	}
}

// BroadcastStream implements driver.Streamer.
func (c *conn) BroadcastStream(ctx context.Context, topic string, sink driver.Sink) (driver.Subscription, error) {
	buf := newBuffer(c.opts.Buffer, c.opts.BufferBytes)
	t := newTail(c.stream(topic), next)
	t.message, t.marked = func(m driver.Message, _ *amqp.Delivery) {
		buf.await(&m) // the rest stays in the stream
		buf.put(m)
	}, func(amqp.Table) {}
	t.resume, t.lose = buf.resume, buf.lose
	sub, err := c.listen(ctx, topic, t, buf, sink)
	if err != nil {
		t.end()
		return nil, err
	}
	return &following{Subscription: sub, tail: t}, nil
}

// stream returns what DeclareStream made.
func (c *conn) stream(topic string) *stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.streams[c.names.stream(topic)]
}

// following is a broadcast of a stream.
type following struct {
	driver.Subscription
	tail *tail
}

// Stop implements driver.Subscription.
func (f *following) Stop(ctx context.Context) error {
	err := f.Subscription.Stop(ctx)
	f.tail.end()
	if err != nil {
		return err
	}
	return await(ctx, f.tail.wg.Wait)
}
