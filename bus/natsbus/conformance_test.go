package natsbus_test

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
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
			conformance(t, server.URL(), "swale", func() []nats.Option {
				if how == "tcp" {
					return nil
				}
				return server.InProcess()
			})
		})
	}
}

// TestConformanceServer runs the suite on a server that somebody else runs.
func TestConformanceServer(t *testing.T) {
	url := os.Getenv("SWALE_TEST_NATS")
	if url == "" {
		const why = "SWALE_TEST_NATS is not set: no address of a NATS server with JetStream"
		if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	prefix := "test-" + strings.ToLower(rand.Text()[:10])
	t.Cleanup(func() {
		nc, err := nats.Connect(url)
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			t.Error(err)
			return
		}
		for name := range js.StreamNames(context.Background()).Name() {
			if strings.HasPrefix(name, prefix) {
				if err := js.DeleteStream(context.Background(), name); err != nil {
					t.Error(err)
				}
			}
		}
	})
	conformance(t, url, prefix, func() []nats.Option { return nil })
}

func conformance(t *testing.T, url, prefix string, options func() []nats.Option) {
	t.Helper()
	raw, err := nats.Connect(url, options()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(raw.Close)
	bustest.Run(t, func(t *testing.T, opts bus.Options) *bus.Bus {
		t.Helper()
		b, err := natsbus.Open(t.Context(), url, &natsbus.Options{Bus: opts, Prefix: prefix, Conn: options()})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}, bustest.Features{
		Requests: true, Streams: true, CancelsServer: true,
		Inject: func(t *testing.T, topic string, body []byte) {
			t.Helper()
			if _, err := raw.Request(prefix+".e.0."+topic, body, nats.DefaultTimeout); err != nil {
				t.Fatal(err)
			}
		},
	})
}
