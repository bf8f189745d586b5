package rows

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill"
	wmamqp "github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/goswale/swale/benchmarks/internal/ratio"
	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/rabbitbus"
)

const (
	rabbitBurst  = natsBurst // messages of one operation
	rabbitWindow = 1024      // unconfirmed publishes, on both sides
	rabbitHeld   = 256       // unacked deliveries, on both sides
)

func rabbitRows() []ratio.Row {
	row := func(name string, bound float64, note string, open func(*rabbitSides) (func() (float64, error), error)) ratio.Row {
		return ratio.Row{Name: name, Unit: "x", Bound: atLeast(bound), Note: note, Open: func(ctx context.Context) (func() (float64, error), func(), error) {
			s, err := openRabbit(ctx)
			if err != nil {
				return nil, nil, err
			}
			round, err := open(s)
			if err != nil {
				s.close()
				return nil, nil, err
			}
			return round, s.close, nil
		}}
	}
	return []ratio.Row{
		row("bus.rabbit.publish.vs_raw", 0.95, "events published to a quorum queue, confirms in windows, against amqp091-go with the same bytes and window", (*rabbitSides).publish),
		row("bus.rabbit.consume.vs_raw", 0.95, "events published, consumed by a group and acked, against amqp091-go with the same bytes, window and prefetch and an ack for each", (*rabbitSides).consume),
		row("bus.rabbit.publish_64.vs_watermill", 2, "64 publishers, 32 events to each Publish, confirmed by a quorum queue, against as many messages to Publish of watermill-amqp", func(s *rabbitSides) (func() (float64, error), error) { return s.watermill(64, 32) }),
		row("bus.rabbit.publish_1.vs_watermill", 9, "one publisher, 1024 events to each Publish, the same", func(s *rabbitSides) (func() (float64, error), error) { return s.watermill(1, 1024) }),
	}
}

// rabbitSides is a RabbitMQ server with the bus on one side and the raw client on
// the other, each with a connection to publish and one to consume, and a quorum
// queue of its own behind a topic exchange.
type rabbitSides struct {
	ctx            context.Context //nolint:containedctx // of the whole row
	url, prefix    string
	b              *bus.Bus
	rawFrom, rawTo *amqp.Channel
	confirms       chan amqp.Confirmation
	admin          *amqp.Channel
	event          bus.Event
	body           []byte // the event, encoded
	closers        []func()
}

func openRabbit(ctx context.Context) (s *rabbitSides, err error) {
	url := os.Getenv("SWALE_TEST_RABBITMQ")
	if url == "" {
		return nil, fmt.Errorf("%w: not measured, needs SWALE_TEST_RABBITMQ", ratio.ErrSkipped)
	}
	s = &rabbitSides{ctx: ctx, url: url, prefix: "rows-" + strings.ToLower(rand.Text()[:10]), event: sampleEvent()}
	s.event.Data, s.event.DataContentType = nil, "" // 200 bytes
	if s.body, err = s.event.AppendJSON(nil); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	for _, ch := range []**amqp.Channel{&s.admin, &s.rawFrom, &s.rawTo} {
		if *ch, err = s.channel(); err != nil {
			return nil, err
		}
	}
	s.closers = append(s.closers, s.clean)
	if err := s.declare(); err != nil {
		return nil, err
	}
	s.b, err = rabbitbus.Open(ctx, url, &rabbitbus.Options{Prefix: s.prefix, Bus: bus.Options{Window: rabbitWindow}})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { _ = s.b.Shutdown(context.WithoutCancel(ctx)) })
	return s, nil
}

// channel opens a channel on a connection of its own.
func (s *rabbitSides) channel() (*amqp.Channel, error) {
	conn, err := amqp.Dial(s.url)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { _ = conn.Close() })
	return conn.Channel()
}

func (s *rabbitSides) exchange() string { return s.prefix + ".raw" }
func (s *rabbitSides) rawQueue() string { return s.prefix + ":raw" }
func (s *rabbitSides) ourQueue() string { return s.prefix + ":x:g" }

// declare makes for the raw client what the driver makes for itself.
func (s *rabbitSides) declare() error {
	if err := s.admin.ExchangeDeclare(s.exchange(), "topic", true, false, false, false, nil); err != nil {
		return err
	}
	args := amqp.Table{"x-queue-type": "quorum", "x-single-active-consumer": true}
	if _, err := s.admin.QueueDeclare(s.rawQueue(), true, false, false, false, args); err != nil {
		return err
	}
	if err := s.admin.QueueBind(s.rawQueue(), "x", s.exchange(), false, nil); err != nil {
		return err
	}
	s.confirms = s.rawFrom.NotifyPublish(make(chan amqp.Confirmation, rabbitWindow))
	return s.rawFrom.Confirm(false)
}

func (s *rabbitSides) clean() {
	for _, queue := range []string{s.rawQueue(), s.ourQueue()} {
		_, _ = s.admin.QueueDelete(queue, false, false, false)
	}
	for _, exchange := range []string{s.exchange(), s.prefix + ".events", s.prefix + ".requests"} {
		_ = s.admin.ExchangeDelete(exchange, false, false)
	}
}

func (s *rabbitSides) close() {
	for _, closer := range slices.Backward(s.closers) {
		closer()
	}
}

// ours publishes a burst and waits for the confirmations.
func (s *rabbitSides) ours() error {
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	for range rabbitBurst {
		all.Add(1)
		err := s.b.PublishAsync(s.ctx, "x", s.event, func(err error) {
			if err != nil {
				failed.Store(&err)
			}
			all.Done()
		})
		if err != nil {
			return err
		}
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// theirs does so with the raw client.
func (s *rabbitSides) theirs() error {
	room := make(chan struct{}, rabbitWindow)
	refused := 0
	var all sync.WaitGroup
	all.Go(func() {
		for range rabbitBurst {
			if c := <-s.confirms; !c.Ack {
				refused++
			}
			<-room
		}
	})
	for range rabbitBurst {
		room <- struct{}{}
		err := s.rawFrom.PublishWithContext(s.ctx, s.exchange(), "x", false, false, amqp.Publishing{
			ContentType: "application/cloudevents+json", DeliveryMode: amqp.Persistent, MessageId: s.event.ID, Body: s.body,
		})
		if err != nil {
			return err
		}
	}
	all.Wait()
	if refused > 0 {
		return fmt.Errorf("the broker refused %d messages", refused)
	}
	return nil
}

// group makes our queue, which nobody consumes.
func (s *rabbitSides) group() error {
	sub, err := s.b.Group(s.ctx, "x", "g", func(context.Context, *bus.Delivery) error { return nil }, nil)
	if err != nil {
		return err
	}
	return sub.Close(s.ctx)
}

// emptied is op with the queue emptied before.
func (s *rabbitSides) emptied(queue string, op ratio.Op) ratio.Op {
	return func() error {
		_, err := s.admin.QueuePurge(queue, false)
		return errors.Join(err, op())
	}
}

// publish compares bursts that end when everything is confirmed.
func (s *rabbitSides) publish() (func() (float64, error), error) {
	return ratio.Rate(s.emptied(s.ourQueue(), s.ours), s.emptied(s.rawQueue(), s.theirs)), s.group()
}

// consume compares bursts that end when everything was consumed.
func (s *rabbitSides) consume() (func() (float64, error), error) {
	theirs, ours := newArrivals(), newArrivals()
	if err := s.rawTo.Qos(rabbitHeld, 0, false); err != nil {
		return nil, err
	}
	in, err := s.rawTo.ConsumeWithContext(s.ctx, s.rawQueue(), "", false, false, false, false, nil)
	if err != nil {
		return nil, err
	}
	go func() { // ends with the channel
		for d := range in {
			if d.Ack(false) == nil {
				theirs.add()
			}
		}
	}()
	_, err = s.b.Group(s.ctx, "x", "g", func(context.Context, *bus.Delivery) error { ours.add(); return nil }, &bus.GroupOptions{MaxInFlight: rabbitHeld})
	return ratio.Rate(
		func() error { return errors.Join(s.ours(), ours.wait()) },
		func() error { return errors.Join(s.theirs(), theirs.wait()) },
	), err
}

// watermill compares so many publishers that give so many events to each Publish,
// both of which return when the broker has confirmed.
func (s *rabbitSides) watermill(publishers, batch int) (func() (float64, error), error) {
	config := wmamqp.NewDurableQueueConfig(s.url)
	config.Exchange.GenerateName = func(string) string { return s.exchange() }
	config.Exchange.Type, config.Exchange.Durable = "topic", true
	config.Publish.GenerateRoutingKey = func(topic string) string { return topic }
	config.Publish.ConfirmDelivery = true
	config.Publish.ChannelPoolSize = publishers
	pub, err := wmamqp.NewPublisher(config, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() { _ = pub.Close() })
	if err := s.group(); err != nil {
		return nil, err
	}
	events := make([]bus.Event, batch)
	for i := range events {
		events[i] = s.event
	}
	each := max(min(2*rabbitBurst, 1024*publishers)/publishers/batch, 1)
	ours := func() error { return s.b.Publish(s.ctx, "x", events...) }
	theirs := func() error {
		messages := make([]*message.Message, batch)
		for i := range messages {
			messages[i] = message.NewMessage(watermill.NewUUID(), s.body)
		}
		return pub.Publish("x", messages...)
	}
	return ratio.Rate(s.emptied(s.ourQueue(), crowd(publishers, each, ours)), s.emptied(s.rawQueue(), crowd(publishers, each, theirs))), nil
}
