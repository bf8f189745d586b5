package natsbus

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/goswale/swale/bus/driver"
	"github.com/goswale/swale/bus/natsbus/embedded"
)

// TestPinThatComesWhileStopping is about a member whose first message comes when it
// has begun to stop: it gives up the pin that came along, so that the next member
// needn't wait for it to expire.
func TestPinThatComesWhileStopping(t *testing.T) {
	s, err := embedded.Start(t.Context(), &embedded.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown()
	const patience = time.Minute
	nc, err := nats.Connect(s.URL(), nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	c := &conn{nc: nc, js: js, pins: true, log: slog.New(slog.DiscardHandler), tails: make(map[follower]struct{}), stop: make(chan struct{})}
	c.opts.Prefix, c.opts.Shards, c.opts.InMemory, c.opts.Retention, c.opts.PinTTL = "swale", 1, true, time.Hour, time.Hour
	if err := c.makeStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	sub, err := c.Group(t.Context(), "orders", "kitchen", driver.GroupOptions{MaxInFlight: 1, AckWait: time.Hour}, func(driver.Delivery) {})
	if err != nil {
		t.Fatal(err)
	}
	p, ok := sub.(*puller)
	if !ok {
		t.Fatalf("a group is a %T", sub)
	}
	p.mu.Lock()
	p.stopping = true // as Stop begins
	p.mu.Unlock()
	if _, err := js.Publish(t.Context(), c.subject("orders"), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	known := func() string {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.pin
	}
	for end := time.Now().Add(patience); known() == ""; <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the pin that came with the message is forgotten: nobody will give it up")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := sub.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if err := sub.Detach(ctx); err != nil {
		t.Fatal(err)
	}
	consumer, err := js.Consumer(t.Context(), p.stream, p.name)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range consumer.CachedInfo().PriorityGroups {
		if g.PinnedClientID != "" {
			t.Errorf("the member is gone, and %s stays pinned", g.PinnedClientID)
		}
	}
}
