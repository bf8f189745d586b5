package system

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/natsbus"
	"github.com/goswale/swale/bus/rabbitbus"
)

// product is a broker that the drill runs on.
type product struct {
	name, variable string
	open           func(ctx context.Context, url, prefix string) (*bus.Bus, error)
	clean          func(t *testing.T, url, prefix string)
}

var products = []product{
	{"NATS", "SWALE_TEST_NATS", func(ctx context.Context, url, prefix string) (*bus.Bus, error) {
		return natsbus.Open(ctx, url, &natsbus.Options{Prefix: prefix, InMemory: true})
	}, cleanNATS},
	{"RabbitMQ", "SWALE_TEST_RABBITMQ", func(ctx context.Context, url, prefix string) (*bus.Bus, error) {
		return rabbitbus.Open(ctx, url, &rabbitbus.Options{Prefix: prefix, Heartbeat: time.Second, ConfirmTimeout: 2 * time.Second})
	}, cleanRabbit},
}

// server returns the broker's URL, or skips aloud.
func (p *product) server(t *testing.T) string {
	t.Helper()
	u := os.Getenv(p.variable)
	if u == "" {
		missing := p.variable + " is not set: nothing was proven against a " + p.name + " server"
		if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") == "1" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	return u
}

// prefix returns a prefix of the test's own; what is under it is deleted at the end.
func (p *product) prefix(t *testing.T, server string) string {
	t.Helper()
	prefix := "swaletest-" + strings.ToLower(rand.Text()[:10])
	t.Cleanup(func() { p.clean(t, server, prefix) })
	return prefix
}

// through returns a server's URL with another address.
func through(t *testing.T, server, address string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = address
	return u.String()
}

func cleanNATS(t *testing.T, server, prefix string) {
	t.Helper()
	nc, err := nats.Connect(server, nats.Timeout(time.Minute))
	if err != nil {
		t.Errorf("clean up: %v", err)
		return
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Errorf("clean up: %v", err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	names := js.StreamNames(ctx)
	for name := range names.Name() {
		if strings.Contains(strings.ToLower(name), prefix) {
			if err := js.DeleteStream(ctx, name); err != nil {
				t.Errorf("clean up stream %s: %v", name, err)
			}
		}
	}
	if err := names.Err(); err != nil {
		t.Errorf("clean up: %v", err)
	}
}

func cleanRabbit(t *testing.T, server, prefix string) {
	t.Helper()
	raw, err := amqp.Dial(server)
	if err != nil {
		t.Errorf("clean up: %v", err)
		return
	}
	defer raw.Close() //nolint:errcheck // ends the clean-up
	ch, err := raw.Channel()
	if err != nil {
		t.Errorf("clean up: %v", err)
		return
	}
	for _, x := range []string{prefix + ".events", prefix + ".requests"} {
		if err := ch.ExchangeDelete(x, false, false); err != nil {
			t.Errorf("clean up exchange %s: %v", x, err)
		}
	}
}
