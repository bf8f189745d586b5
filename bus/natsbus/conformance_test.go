package natsbus_test

import (
	"context"
	"crypto/rand"
	"errors"
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
	s, err := embedded.Start(unhurried(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func TestConformance(t *testing.T) {
	for _, how := range []string{"tcp", "in process", "binary", "core", "core binary"} {
		t.Run(how, func(t *testing.T) {
			server := startServer(t, nil)
			conformance(t, server.URL(), "swale", func(o *natsbus.Options) {
				if how == "in process" {
					o.Conn = server.InProcess()
				}
				o.Bus.Binary = o.Bus.Binary || strings.HasSuffix(how, "binary")
				o.Core = strings.HasPrefix(how, "core")
			})
		})
	}
}

// TestConformanceServer runs the suite on a server that somebody else runs.
func TestConformanceServer(t *testing.T) {
	url := serverURL(t)
	conformance(t, url, testPrefix(t, url), func(*natsbus.Options) {})
}

// conformance runs the suite on buses whose options are changed by set.
func conformance(t *testing.T, url, prefix string, set func(*natsbus.Options)) {
	t.Helper()
	options := func(opts bus.Options) *natsbus.Options {
		// On a good day nothing is lost, and a busy machine is no bad one.
		o := &natsbus.Options{Bus: opts, Prefix: prefix, Heartbeat: patience}
		set(o)
		return o
	}
	sample := options(bus.Options{})
	raw, err := nats.Connect(url, append(sample.Conn, nats.Timeout(patience))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(raw.Close)
	bustest.Run(t, func(t *testing.T, opts bus.Options) *bus.Bus {
		t.Helper()
		b, err := natsbus.Open(unhurried(t), url, options(opts))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}, bustest.Features{
		Requests: true, Streams: true, CancelsServer: true, DeletesGroups: !sample.Core, NoGroups: sample.Core,
		Inject: func(t *testing.T, topic string, body []byte) {
			t.Helper()
			var err error
			if sample.Core {
				err = errors.Join(raw.Publish(prefix+".l."+topic, body), raw.Flush())
			} else {
				_, err = raw.Request(prefix+".e.0."+topic, body, patience)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
	})
}

// serverURL is the address of a server that somebody else runs.
func serverURL(t *testing.T) string {
	t.Helper()
	url := os.Getenv("SWALE_TEST_NATS")
	if url == "" {
		const why = "SWALE_TEST_NATS is not set: no address of a NATS server with JetStream"
		if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	return url
}

// testPrefix is a prefix of its own, whose streams go with the test.
func testPrefix(t *testing.T, url string) string {
	t.Helper()
	prefix := "test-" + strings.ToLower(rand.Text()[:10])
	t.Cleanup(func() {
		nc, err := nats.Connect(url, nats.Timeout(patience))
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
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
	return prefix
}
