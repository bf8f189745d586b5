package natsbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/goswale/swale/bus/driver"
)

// pinGroup is the priority group of every exclusive consumer.
const pinGroup = "members"

// CreateGroup implements driver.Driver.
func (c *conn) CreateGroup(ctx context.Context, topic, group string) error {
	if c.opts.Core {
		return errCore
	}
	stream, name := c.streamName(c.shard(topic)), consumerName(topic, group)
	if _, err := c.js.Consumer(ctx, stream, name); err == nil || !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return temporary(err)
	}
	_, err := c.js.CreateConsumer(ctx, stream, c.groupConfig(topic, name, driver.GroupOptions{MaxInFlight: 256, AckWait: 30 * time.Second, Shared: !c.pins}))
	if errors.Is(err, jetstream.ErrConsumerExists) {
		return nil // another process was quicker
	}
	return temporary(err)
}

// groupConfig is a group's durable consumer.
func (c *conn) groupConfig(topic, name string, opts driver.GroupOptions) jetstream.ConsumerConfig {
	config := jetstream.ConsumerConfig{
		Durable: name, FilterSubject: c.subject(topic), DeliverPolicy: jetstream.DeliverNewPolicy,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: opts.AckWait, MaxDeliver: -1,
		MaxAckPending: opts.MaxInFlight, MaxWaiting: 512,
	}
	if opts.Shared {
		config.MaxAckPending = 1 << 16 // each member bounds its own
	} else {
		config.PriorityPolicy, config.PriorityGroups, config.PinnedTTL = jetstream.PriorityPolicyPinned, []string{pinGroup}, c.opts.PinTTL
	}
	return config
}

// Backlog implements driver.Driver.
func (c *conn) Backlog(ctx context.Context, topic, group string) (int, error) {
	if c.opts.Core {
		return 0, errCore
	}
	consumer, err := c.js.Consumer(ctx, c.streamName(c.shard(topic)), consumerName(topic, group))
	if err != nil {
		return 0, temporary(err)
	}
	info := consumer.CachedInfo()
	return int(info.NumPending) + info.NumAckPending, nil
}

// Group implements driver.Driver.
func (c *conn) Group(ctx context.Context, topic, group string, opts driver.GroupOptions, deliver func(driver.Delivery)) (driver.Subscription, error) {
	if c.opts.Core {
		return nil, errCore
	}
	opts.Shared = opts.Shared || !c.pins
	p := &puller{
		conn: c, topic: topic, stream: c.streamName(c.shard(topic)), name: consumerName(topic, group),
		opts: opts, deliver: deliver, kick: make(chan struct{}, 1), gone: make(chan struct{}, 1), stop: make(chan struct{}), drained: make(chan struct{}),
	}
	if err := p.join(ctx); err != nil {
		return nil, temporary(err)
	}
	if err := p.listen(); err != nil {
		return nil, temporary(err)
	}
	c.mu.Lock()
	c.tails[p] = struct{}{}
	c.mu.Unlock()
	p.wg.Go(p.run)
	return p, nil
}

// join makes the consumer, or brings its bounds to these, and remembers where the
// group stands.
func (p *puller) join(ctx context.Context) error {
	config := p.conn.groupConfig(p.topic, p.name, p.opts)
	consumer, err := p.conn.js.Consumer(ctx, p.stream, p.name)
	switch {
	case err == nil:
		have := consumer.CachedInfo().Config
		if have.PriorityPolicy != config.PriorityPolicy {
			return fmt.Errorf("group %s is there with another setting of Shared", p.name)
		}
		if have.MaxAckPending == config.MaxAckPending && have.AckWait == config.AckWait && have.PinnedTTL == config.PinnedTTL {
			break
		}
		config.DeliverPolicy, config.OptStartSeq = have.DeliverPolicy, have.OptStartSeq
		if consumer, err = p.conn.js.UpdateConsumer(ctx, p.stream, config); err != nil {
			return err
		}
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		if at := p.floor.Load(); at > 0 {
			// Somebody deleted the consumer under us: go on behind what was acked.
			p.conn.log.Error("group's consumer was deleted; made anew behind what was acked", "consumer", p.name)
			config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, at+1
		}
		if consumer, err = p.conn.js.CreateConsumer(ctx, p.stream, config); errors.Is(err, jetstream.ErrConsumerExists) {
			consumer, err = p.conn.js.Consumer(ctx, p.stream, p.name)
		}
		if err != nil {
			return err
		}
	default:
		return err
	}
	info := consumer.CachedInfo()
	p.floor.Store(max(info.AckFloor.Stream, 1))
	return nil
}
