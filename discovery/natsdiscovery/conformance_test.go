package natsdiscovery_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/goswale/swale/discovery/discoverytest"
	"github.com/goswale/swale/discovery/driver"
	"github.com/goswale/swale/discovery/natsdiscovery"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(asInstance); url != "" {
		fmt.Fprintln(os.Stderr, serveInstance(url, os.Getenv(asInstance+"_ID")))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func dial(t *testing.T, url string, opts *natsdiscovery.Options) driver.Driver {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d, err := natsdiscovery.Dial(ctx, url, opts)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestConformance(t *testing.T) {
	server := startServer(t, t.TempDir(), 0)
	discoverytest.Run(t, func(t *testing.T) driver.Driver { return dial(t, server.ClientURL(), nil) }, discoverytest.Features{})
}

// TestConformanceOnServer runs against a server from outside, which may be one
// that doesn't end leases by itself.
func TestConformanceOnServer(t *testing.T) {
	url := os.Getenv("SWALE_TEST_NATS")
	if url == "" {
		const why = "SWALE_TEST_NATS is not set: no address of a NATS server with JetStream"
		if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	opts := &natsdiscovery.Options{Bucket: "swale-test-" + rand.Text()[:8], InMemory: true}
	t.Cleanup(func() { dropBucket(t, url, opts.Bucket) })
	discoverytest.Run(t, func(t *testing.T) driver.Driver { return dial(t, url, opts) }, discoverytest.Features{})
}

func dropBucket(t *testing.T, url, bucket string) {
	t.Helper()
	nc, err := nats.Connect(url, nats.Timeout(time.Minute))
	if err != nil {
		t.Error(err)
		return
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err == nil {
		err = js.DeleteKeyValue(ctx, bucket)
	}
	if err != nil {
		t.Error(err)
	}
}
