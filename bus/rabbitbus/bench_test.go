package rabbitbus

import (
	"context"
	"sync"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/goswale/swale/bus"
)

const window = 1024

func benchEvent() bus.Event {
	return bus.Event{ID: "0123456789abcdef", Source: "/b", Type: "b", Subject: "/orders/9", Data: []byte(`{"a":"` + string(make200()) + `"}`)}
}

func make200() []byte {
	b := make([]byte, 100)
	for i := range b {
		b[i] = 'x'
	}
	return b
}

// rawTopology makes what the driver makes: an exchange and a quorum queue.
func rawTopology(b *testing.B, s *space) (*amqp.Connection, *amqp.Channel) {
	b.Helper()
	conn, err := amqp.Dial(s.url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		b.Fatal(err)
	}
	x, q := s.prefix+".events", s.prefix+":raw:g"
	s.note(q)
	if err := ch.ExchangeDeclare(x, "topic", true, false, false, false, nil); err != nil {
		b.Fatal(err)
	}
	if _, err := ch.QueueDeclare(q, true, false, false, false, amqp.Table{"x-queue-type": "quorum", "x-single-active-consumer": true}); err != nil {
		b.Fatal(err)
	}
	if err := ch.QueueBind(q, "raw", x, false, nil); err != nil {
		b.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		b.Fatal(err)
	}
	return conn, ch
}

// rawPublish publishes b.N messages with up to window unconfirmed.
func rawPublish(b *testing.B, s *space, ch *amqp.Channel, n int) {
	b.Helper()
	e := benchEvent()
	body, err := e.AppendJSON(nil)
	if err != nil {
		b.Fatal(err)
	}
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, window))
	room := make(chan struct{}, window)
	var wg sync.WaitGroup
	wg.Go(func() {
		for range n {
			<-confirms
			<-room
		}
	})
	for range n {
		room <- struct{}{}
		err := ch.Publish(s.prefix+".events", "raw", false, false, amqp.Publishing{ContentType: "application/cloudevents+json", DeliveryMode: amqp.Persistent, MessageId: "0123456789abcdef", Body: body})
		if err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
}

// BenchmarkRawPublish is the floor: amqp091-go, confirms in windows of 1024.
func BenchmarkRawPublish(b *testing.B) {
	s := newSpace(b)
	_, ch := rawTopology(b, s)
	b.ResetTimer()
	rawPublish(b, s, ch, b.N)
}

// BenchmarkPublish publishes to one group with as many unconfirmed.
func BenchmarkPublish(b *testing.B) {
	s := newSpace(b)
	conn := s.open(b, Options{Bus: bus.Options{Window: window}}, "")
	defer conn.Shutdown(context.WithoutCancel(b.Context())) //nolint:errcheck // ends the benchmark
	sub, err := conn.Group(b.Context(), "t", "g", func(context.Context, *bus.Delivery) error { return nil }, nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := sub.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	publishN(b, conn, b.N)
}

func publishN(b *testing.B, conn *bus.Bus, n int) {
	b.Helper()
	e := benchEvent()
	var wg sync.WaitGroup
	wg.Add(n)
	for range n {
		err := conn.PublishAsync(b.Context(), "t", e, func(err error) {
			if err != nil {
				b.Error(err)
			}
			wg.Done()
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
}

// BenchmarkRawConsume publishes and consumes, each message acked.
func BenchmarkRawConsume(b *testing.B) {
	s := newSpace(b)
	conn, ch := rawTopology(b, s)
	in, err := conn.Channel()
	if err != nil {
		b.Fatal(err)
	}
	if err := in.Qos(256, 0, false); err != nil {
		b.Fatal(err)
	}
	msgs, err := in.Consume(s.prefix+":raw:g", "", false, false, false, false, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	wg.Go(func() {
		for range b.N {
			d := <-msgs
			_ = d.Ack(false)
		}
	})
	rawPublish(b, s, ch, b.N)
	wg.Wait()
}

// BenchmarkConsume publishes, and handles in a group.
func BenchmarkConsume(b *testing.B) {
	s := newSpace(b)
	conn := s.open(b, Options{Bus: bus.Options{Window: window}}, "")
	defer conn.Shutdown(context.WithoutCancel(b.Context())) //nolint:errcheck // ends the benchmark
	var wg sync.WaitGroup
	wg.Add(b.N)
	_, err := conn.Group(b.Context(), "t", "g", func(context.Context, *bus.Delivery) error {
		wg.Done()
		return nil
	}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	publishN(b, conn, b.N)
	wg.Wait()
}
