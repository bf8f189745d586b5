package natsbus_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/natsbus"
)

// A server that reads nothing any more, while its connection stays open: what is
// published fills the kernel's buffers, and then nobody may wait longer than its
// context.
func TestPublishToAStalledServer(t *testing.T) {
	for _, core := range []bool{false, true} {
		t.Run(map[bool]string{false: "JetStream", true: "core"}[core], func(t *testing.T) {
			server := startServer(t, nil)
			p := startProxy(t, server.URL())
			b := openBus(t, p.url(), &natsbus.Options{Core: core, Conn: []nats.Option{nats.FlusherTimeout(time.Hour)}})
			if err := b.Publish(t.Context(), "orders", event(0)); err != nil {
				t.Fatal(err)
			}
			p.stall(true)
			big := event(1)
			big.DataContentType, big.Data = "text/plain", bytes.Repeat([]byte("x"), 256<<10)
			batch := []bus.Event{big, big, big, big, big, big, big, big}
			rounds := 0
			for end := time.Now().Add(patience); ; {
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				began := time.Now()
				err := b.Publish(ctx, "orders", batch...)
				took := time.Since(began)
				cancel()
				if took > patience/2 {
					t.Fatalf("Publish took %v with 300 ms to do it, and gave %v", took, err)
				}
				// JetStream's confirmations don't come at once, core NATS has none.
				if rounds++; err != nil && (core || rounds > 30) || time.Now().After(end) {
					if _, partial := errors.AsType[*bus.PublishError](err); !partial {
						t.Errorf("a server that takes nothing any more is told of: %v", err)
					}
					break
				}
			}
			p.stall(false)
			if err := b.Publish(t.Context(), "orders", event(2)); err != nil {
				t.Errorf("publishing after the stall: %v", err)
			}
		})
	}
}
