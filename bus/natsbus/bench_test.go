package natsbus_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/natsbus"
	"github.com/goswale/swale/bus/natsbus/embedded"
)

// sample is an event of about 200 bytes when encoded.
func sample(key int) bus.Event {
	return bus.Event{
		ID: "01J8Z3K5V9Q2", Source: "/restaurants", Type: "resn.update", Subject: fmt.Sprintf("https://api.example/restaurants/%d", key%64),
		Time: time.Date(2026, 11, 21, 9, 25, 0, 123000000, time.UTC), Extensions: map[string]string{"topic": "restaurants", "sequence": "184467"},
	}
}

// processor reports the processor time of an operation, the server's included,
// which on a busy machine says more than the time by the clock.
func processor(b *testing.B) {
	b.Helper()
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
			b.Fatal(err)
		}
		spent := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
		b.ReportMetric(float64(spent)/float64(b.N), "cpu-ns/op")
	})
}

func benchServer(b *testing.B) string {
	b.Helper()
	s, err := embedded.Start(b.Context(), &embedded.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Shutdown)
	return s.URL()
}

func BenchmarkPublishRaw(b *testing.B) {
	nc, err := nats.Connect(benchServer(b))
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	js, _ := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4096))
	if _, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "raw", Subjects: []string{"raw.>"}}); err != nil {
		b.Fatal(err)
	}
	body := make([]byte, 200)
	processor(b)
	for b.Loop() {
		if _, err := js.PublishAsync("raw.x", body); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
}

func openBench(b *testing.B) *bus.Bus {
	b.Helper()
	c, err := natsbus.Open(b.Context(), benchServer(b), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Shutdown(context.Background()) })
	return c
}

func BenchmarkPublishAsync(b *testing.B) {
	c := openBench(b)
	var wg sync.WaitGroup
	e := sample(1)
	processor(b)
	for b.Loop() {
		wg.Add(1)
		if err := c.PublishAsync(b.Context(), "restaurants", e, func(err error) {
			if err != nil {
				b.Error(err)
			}
			wg.Done()
		}); err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
}

func BenchmarkPublishBatch(b *testing.B) {
	c := openBench(b)
	batch := make([]bus.Event, 256)
	for i := range batch {
		batch[i] = sample(i)
	}
	n := 0
	processor(b)
	for b.Loop() {
		if n++; n%256 == 0 {
			if err := c.Publish(b.Context(), "restaurants", batch...); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkConsumeRaw(b *testing.B) {
	nc, err := nats.Connect(benchServer(b))
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	js, _ := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4096))
	st, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "raw", Subjects: []string{"raw.>"}})
	if err != nil {
		b.Fatal(err)
	}
	cons, err := st.CreateConsumer(b.Context(), jetstream.ConsumerConfig{Durable: "d", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "raw.x"})
	if err != nil {
		b.Fatal(err)
	}
	var got atomic.Int64
	all := make(chan struct{})
	cc, err := cons.Consume(func(m jetstream.Msg) {
		_ = m.Ack()
		if got.Add(1) == int64(b.N) {
			close(all)
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	defer cc.Stop()
	body := make([]byte, 200)
	processor(b)
	b.ResetTimer()
	for range b.N {
		if _, err := js.PublishAsync("raw.x", body); err != nil {
			b.Fatal(err)
		}
	}
	<-all
}

func BenchmarkConsume(b *testing.B) {
	b.Run("exclusive", func(b *testing.B) { benchConsume(b, false) })
	b.Run("shared", func(b *testing.B) { benchConsume(b, true) })
}

func benchConsume(b *testing.B, shared bool) {
	b.Helper()
	c := openBench(b)
	var got atomic.Int64
	all := make(chan struct{})
	if _, err := c.Group(b.Context(), "restaurants", "g", func(context.Context, *bus.Delivery) error {
		if got.Add(1) == int64(b.N) {
			close(all)
		}
		return nil
	}, &bus.GroupOptions{MaxInFlight: 1000, Shared: shared}); err != nil {
		b.Fatal(err)
	}
	events := make([]bus.Event, 64)
	for i := range events {
		events[i] = sample(i)
	}
	processor(b)
	b.ResetTimer()
	for i := range b.N {
		if err := c.PublishAsync(b.Context(), "restaurants", events[i%64], func(error) {}); err != nil {
			b.Fatal(err)
		}
	}
	<-all
}

func BenchmarkRequestRaw(b *testing.B) {
	nc, err := nats.Connect(benchServer(b))
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.QueueSubscribe("echo", "g", func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		b.Fatal(err)
	}
	body := make([]byte, 200)
	processor(b)
	for b.Loop() {
		if _, err := nc.RequestWithContext(b.Context(), "echo", body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	c := openBench(b)
	if _, err := c.Serve(b.Context(), "echo", "g", func(_ context.Context, e bus.Event) (bus.Event, error) { return e, nil }, nil); err != nil {
		b.Fatal(err)
	}
	e := sample(1)
	processor(b)
	for b.Loop() {
		if _, err := c.Request(b.Context(), "echo", e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBroadcastLatency(b *testing.B) {
	c := openBench(b)
	got := make(chan struct{}, 1)
	if _, err := c.Broadcast(b.Context(), "restaurants", bus.BroadcastHandler{Event: func(bus.Event) { got <- struct{}{} }}, nil); err != nil {
		b.Fatal(err)
	}
	e := sample(1)
	processor(b)
	for b.Loop() {
		if err := c.PublishAsync(b.Context(), "restaurants", e, func(error) {}); err != nil {
			b.Fatal(err)
		}
		<-got
	}
}

// coreBurst is how many messages are under way.
const coreBurst = 4096

func BenchmarkCoreRaw(b *testing.B) {
	url := benchServer(b)
	from, err := nats.Connect(url)
	if err != nil {
		b.Fatal(err)
	}
	defer from.Close()
	to, err := nats.Connect(url)
	if err != nil {
		b.Fatal(err)
	}
	defer to.Close()
	window := make(chan struct{}, coreBurst)
	if _, err := to.Subscribe("raw", func(*nats.Msg) { <-window }); err != nil {
		b.Fatal(err)
	}
	if err := to.Flush(); err != nil {
		b.Fatal(err)
	}
	body := make([]byte, 210)
	b.ReportAllocs()
	processor(b)
	for b.Loop() {
		window <- struct{}{}
		if err := from.Publish("raw", body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCore(b *testing.B) {
	for _, size := range []int{1, 16, 64} {
		b.Run(strconv.Itoa(size), func(b *testing.B) { benchCore(b, size) })
	}
}

// benchCore publishes so many events at a time.
func benchCore(b *testing.B, size int) {
	b.Helper()
	url := benchServer(b)
	var buses [2]*bus.Bus
	for i := range buses {
		c, err := natsbus.Open(b.Context(), url, &natsbus.Options{Core: true})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Shutdown(context.Background()) })
		buses[i] = c
	}
	window := make(chan struct{}, coreBurst)
	if _, err := buses[1].Broadcast(b.Context(), "restaurants", bus.BroadcastHandler{Event: func(bus.Event) { <-window }}, nil); err != nil {
		b.Fatal(err)
	}
	events, n := make([]bus.Event, size), 0
	for i := range events {
		events[i] = sample(i)
	}
	b.ReportAllocs()
	processor(b)
	for b.Loop() {
		window <- struct{}{}
		if n++; n%size != 0 {
			continue
		}
		if err := buses[0].Publish(b.Context(), "restaurants", events...); err != nil {
			b.Fatal(err)
		}
	}
}
