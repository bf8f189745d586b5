package natsbus_test

import (
	"testing"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/bustest"
	"github.com/goswale/swale/bus/natsbus"
	"github.com/goswale/swale/bus/natsbus/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startServer(t *testing.T, opts *embedded.Options) *embedded.Server {
	t.Helper()
	if opts == nil {
		opts = new(embedded.Options)
	}
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	s, err := embedded.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func TestConformance(t *testing.T) {
	for _, how := range []string{"tcp", "in process"} {
		t.Run(how, func(t *testing.T) {
			server := startServer(t, nil)
			conformance(t, server.URL(), func() []nats.Option {
				if how == "tcp" {
					return nil
				}
				return server.InProcess()
			})
		})
	}
}

func conformance(t *testing.T, url string, options func() []nats.Option) {
	t.Helper()
	raw, err := nats.Connect(url, options()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(raw.Close)
	bustest.Run(t, func(t *testing.T, opts bus.Options) *bus.Bus {
		t.Helper()
		b, err := natsbus.Open(t.Context(), url, &natsbus.Options{Bus: opts, Conn: options()})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}, bustest.Features{
		Requests: true, Streams: true, CancelsServer: true,
		Inject: func(t *testing.T, topic string, body []byte) {
			t.Helper()
			if _, err := raw.Request("swale.e.0."+topic, body, nats.DefaultTimeout); err != nil {
				t.Fatal(err)
			}
		},
	})
}
