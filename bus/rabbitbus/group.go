package rabbitbus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/goswale/swale/bus/driver"
)

// member is this process's part of a group.
type member struct {
	c            *conn
	topic, group string
	queue        string
	opts         driver.GroupOptions
	deliver      func(driver.Delivery)
	room         chan struct{} // one place per delivery handed over and not settled

	ctx  context.Context //nolint:containedctx // until Detach
	end  context.CancelFunc
	wg   sync.WaitGroup
	halt chan struct{} // closed by Stop

	handing sync.Mutex // held while deliver runs
	mu      sync.Mutex
	stopped bool
	session *session
}

// queueArgs are the arguments of a group's queue. A limit of deliveries would have
// the broker drop events without a word (20 is the default since version 4); the
// core gives up by itself, and keeps what it gave up on.
func (c *conn) queueArgs(shared bool) amqp.Table {
	args := amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": int64(1 << 30)}
	if !shared {
		args["x-single-active-consumer"] = true
	}
	if c.opts.Replicas > 0 {
		args["x-quorum-initial-group-size"] = int64(c.opts.Replicas)
	}
	return args
}

// declareGroup makes the group's queue where it isn't there.
func (c *conn) declareGroup(ch channel, topic, group string, shared bool) error {
	if err := c.declareExchanges(ch); err != nil {
		return err
	}
	queue := c.names.queue(topic, group)
	if _, err := ch.QueueDeclare(queue, true, false, false, false, c.queueArgs(shared)); err != nil {
		if code(err, amqp.PreconditionFailed) {
			return fmt.Errorf("queue %s is there with other arguments, such as another GroupOptions.Shared or Replicas: %w", queue, err)
		}
		return err
	}
	if c.opts.declared != nil {
		c.opts.declared(queue)
	}
	return ch.QueueBind(queue, c.names.key(topic), c.names.events(), false, nil)
}

// CreateGroup implements driver.Driver.
func (c *conn) CreateGroup(ctx context.Context, topic, group string) error {
	err := c.do(ctx, c.in, func(ch channel) error { return c.declareGroup(ch, topic, group, false) })
	if code(err, amqp.PreconditionFailed) {
		return nil // it is there, for shared work
	}
	return err
}

// Backlog implements driver.Driver. What other processes hold isn't counted.
func (c *conn) Backlog(ctx context.Context, topic, group string) (int, error) {
	return c.held.settled(ctx, c.names.queue(topic, group), func() (n, consumers int, err error) {
		return c.backlog(ctx, topic, group)
	})
}

func (c *conn) backlog(ctx context.Context, topic, group string) (n, consumers int, err error) {
	queue := c.names.queue(topic, group)
	err = c.do(ctx, c.in, func(ch channel) error {
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		n, consumers = q.Messages, q.Consumers
		return err
	})
	if code(err, amqp.NotFound) {
		return 0, 0, fmt.Errorf("group %s on %s: %w", group, topic, fs.ErrNotExist)
	}
	if err != nil {
		return 0, 0, err
	}
	return n + c.held.count(queue), consumers, nil
}

// Group implements driver.Driver.
func (c *conn) Group(ctx context.Context, topic, group string, opts driver.GroupOptions, deliver func(driver.Delivery)) (driver.Subscription, error) {
	opts.MaxInFlight = min(opts.MaxInFlight, 65535) // what a prefetch can say
	m := &member{
		c: c, topic: topic, group: group, queue: c.names.queue(topic, group), opts: opts, deliver: deliver,
		room: make(chan struct{}, opts.MaxInFlight), halt: make(chan struct{}),
	}
	m.ctx, m.end = context.WithCancel(context.Background())
	joined := make(chan error, 1)
	m.wg.Go(func() { m.run(ctx, joined) })
	select {
	case err := <-joined:
		if err != nil {
			m.end()
			m.wg.Wait()
			return nil, err
		}
		c.held.join(m)
		return m, nil
	case <-ctx.Done():
		m.end()
		return nil, context.Cause(ctx)
	}
}

// run consumes, again after every loss of the connection.
func (m *member) run(ctx context.Context, joined chan<- error) {
	joining := true
	for attempt := 0; m.ctx.Err() == nil; attempt++ {
		actx := m.ctx
		if joining {
			actx = ctx
		}
		s, in, err := m.attach(actx, !joining)
		if err != nil {
			if joining && !errors.Is(err, amqp.ErrClosed) {
				joined <- err
				return
			}
			m.c.log.Warn("rabbitbus: group", "topic", m.topic, "group", m.group, "error", err)
			pause(m.ctx, attempt)
			continue
		}
		attempt = 0
		if joining {
			joining = false
			joined <- nil
		}
		m.consume(s, in)
		s.close()
	}
	if joining {
		joined <- m.ctx.Err()
	}
}

// attach opens a channel and consumes the queue. again says that the queue should
// be there.
func (m *member) attach(ctx context.Context, again bool) (*session, <-chan amqp.Delivery, error) {
	if again {
		err := m.c.do(ctx, m.c.in, func(ch channel) error {
			_, err := ch.QueueDeclarePassive(m.queue, true, false, false, false, nil)
			return err
		})
		if code(err, amqp.NotFound) {
			m.c.log.Error("rabbitbus: the group's queue was deleted, events are lost", "topic", m.topic, "group", m.group)
		}
	}
	ch, _, err := m.c.in.channel(ctx)
	if err != nil {
		return nil, nil, err
	}
	in, err := m.declare(ch)
	if err != nil {
		_ = ch.Close()
		return nil, nil, err
	}
	s := newSession(ch)
	m.mu.Lock()
	m.session = s
	m.mu.Unlock()
	return s, in, nil
}

func (m *member) declare(ch channel) (<-chan amqp.Delivery, error) {
	if err := m.c.declareGroup(ch, m.topic, m.group, m.opts.Shared); err != nil {
		return nil, err
	}
	if err := ch.Qos(m.opts.MaxInFlight, 0, false); err != nil {
		return nil, err
	}
	return ch.Consume(m.queue, tag, false, false, false, false, nil)
}

// tag is the consumer tag; each channel has one consumer.
const tag = "swale"

// consume hands over what comes until the channel or the member ends.
func (m *member) consume(s *session, in <-chan amqp.Delivery) {
	for {
		var d amqp.Delivery
		var ok bool
		select {
		case d, ok = <-in:
			if !ok {
				return
			}
		case <-m.ctx.Done():
			return
		}
		s.came(d.DeliveryTag)
		select {
		case m.room <- struct{}{}:
		case <-m.halt:
			continue // stays unacked, and goes back to the queue in order at Detach
		case <-m.ctx.Done():
			return
		}
		m.hand(s, &d)
	}
}

func (m *member) hand(s *session, d *amqp.Delivery) {
	m.handing.Lock()
	defer m.handing.Unlock()
	select {
	case <-m.halt:
		<-m.room
		return
	default:
	}
	m.deliver(driver.Delivery{
		Message: received(d.ContentType, d.Headers, d.Body),
		Attempt: attempt(d),
		Acker:   &acker{m: m, s: s, tag: d.DeliveryTag},
	})
}

// Stop implements driver.Subscription. A member that works alone stays the queue's
// consumer until Detach, so that nobody works ahead of what it still holds.
func (m *member) Stop(context.Context) error {
	m.handing.Lock()
	defer m.handing.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped {
		return nil
	}
	m.stopped = true
	close(m.halt)
	if m.opts.Shared && m.session != nil {
		_ = m.session.ch.Cancel(tag, true) // a lost connection cancels too
	}
	return nil
}

// Detach implements driver.Subscription.
func (m *member) Detach(ctx context.Context) error {
	m.mu.Lock()
	s := m.session
	m.mu.Unlock()
	var err error
	back := 0
	if s != nil {
		err = s.flush(ctx)
		back = s.unsettled()
	}
	m.end()
	err = errors.Join(err, await(ctx, m.wg.Wait))
	m.c.held.leave(m, back)
	return err
}
