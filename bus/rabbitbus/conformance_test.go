package rabbitbus

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/bustest"
)

func TestConformance(t *testing.T) {
	for name, binary := range map[string]bool{"structured": false, "binary": true} {
		t.Run(name, func(t *testing.T) {
			s := newSpace(t)
			raw, err := amqp.Dial(s.url)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = raw.Close() })
			bustest.Run(t, func(t *testing.T, opts bus.Options) *bus.Bus {
				t.Helper()
				opts.Binary = binary
				return s.open(t, Options{Bus: opts}, "")
			}, bustest.Features{
				Requests: true, CancelsServer: true, Streams: true, DeletesGroups: true,
				Inject: func(t *testing.T, topic string, body []byte) {
					t.Helper()
					ch, err := raw.Channel()
					if err != nil {
						t.Fatal(err)
					}
					defer ch.Close() //nolint:errcheck // ends the injection
					if err := ch.Confirm(false); err != nil {
						t.Fatal(err)
					}
					c, err := ch.PublishWithDeferredConfirm(s.prefix+".events", topic, false, false, amqp.Publishing{Body: body})
					if err != nil || !c.Wait() {
						t.Fatalf("inject: %v", err)
					}
				},
			})
		})
	}
}
