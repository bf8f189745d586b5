package natsbus

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/goswale/swale/bus/driver"
	"github.com/goswale/swale/bus/natsbus/embedded"
)

// beaten is a JetStream on which another process makes every stream between the
// look and the making, and whose server answers as it does at that moment.
type beaten struct {
	jetstream.JetStream
	lost int
}

func (b *beaten) make(ctx context.Context, config jetstream.StreamConfig) error {
	if b.lost++; b.lost > 1 {
		return nil
	}
	if _, err := b.JetStream.CreateStream(ctx, config); err != nil {
		return err
	}
	return &jetstream.APIError{Code: 400, ErrorCode: 10065, Description: "subjects overlap with an existing stream"}
}

func (b *beaten) CreateStream(ctx context.Context, config jetstream.StreamConfig) (jetstream.Stream, error) {
	if err := b.make(ctx, config); err != nil {
		return nil, err
	}
	return b.JetStream.CreateStream(ctx, config)
}

func (b *beaten) CreateOrUpdateStream(ctx context.Context, config jetstream.StreamConfig) (jetstream.Stream, error) {
	if err := b.make(ctx, config); err != nil {
		return nil, err
	}
	return b.JetStream.CreateOrUpdateStream(ctx, config)
}

// TestBeatenToTheStream: two instances that start at the same moment both go on.
func TestBeatenToTheStream(t *testing.T) {
	s, err := embedded.Start(t.Context(), &embedded.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown()
	nc, err := nats.Connect(s.URL(), nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for name, declare := range map[string]func(*conn) error{
		"events": func(c *conn) error { return c.makeStreams(t.Context()) },
		"a value": func(c *conn) error {
			return c.DeclareStream(t.Context(), "prices", driver.StreamConfig{MaxAge: time.Minute, PerKey: 1, MaxEvents: -1, MaxBytes: -1})
		},
	} {
		b := &beaten{JetStream: js}
		c := &conn{js: b, nc: nc}
		c.opts.Prefix, c.opts.Shards, c.opts.InMemory, c.opts.Retention = "swale", 1, true, time.Minute
		if err := declare(c); err != nil || b.lost == 0 {
			t.Errorf("%s: %v after %d attempts", name, err, b.lost)
		}
	}
}
