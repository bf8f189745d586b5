package membus_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/bustest"
	"github.com/goswale/swale/bus/driver"
	"github.com/goswale/swale/bus/membus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Run("structured", func(t *testing.T) { conformance(t, false) })
	t.Run("binary", func(t *testing.T) { conformance(t, true) })
}

func conformance(t *testing.T, binary bool) {
	t.Helper()
	broker := membus.NewBroker()
	bustest.Run(t, func(_ *testing.T, opts bus.Options) *bus.Bus {
		opts.Binary = opts.Binary || binary
		return broker.Connect(&membus.Options{Bus: opts, MaxPayload: 1 << 20})
	}, bustest.Features{
		Requests: true, Streams: true, CancelsServer: true, DeletesGroups: true,
		Inject: func(t *testing.T, topic string, body []byte) {
			t.Helper()
			if err := broker.Inject(t.Context(), topic, driver.Message{Body: body}); err != nil {
				t.Fatal(err)
			}
		},
	})
}
