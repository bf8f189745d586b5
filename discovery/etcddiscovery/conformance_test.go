package etcddiscovery_test

import (
	"context"
	"crypto/rand"
	"os"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/goswale/swale/discovery/discoverytest"
	"github.com/goswale/swale/discovery/driver"
	"github.com/goswale/swale/discovery/etcddiscovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// endpoint is a server from outside.
func endpoint(t *testing.T) string {
	t.Helper()
	url := os.Getenv("SWALE_TEST_ETCD")
	if url == "" {
		const why = "SWALE_TEST_ETCD is not set: no address of an etcd server"
		if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	return url
}

// prefix is one that is removed at the end of the test.
func prefix(t *testing.T, url string) string {
	t.Helper()
	name := "/swale/test/" + rand.Text()[:8]
	t.Cleanup(func() {
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{url}})
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = client.Close() }()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := client.Delete(ctx, name, clientv3.WithPrefix()); err != nil {
			t.Error(err)
		}
	})
	return name
}

func TestConformance(t *testing.T) {
	url := endpoint(t)
	opts := &etcddiscovery.Options{Prefix: prefix(t, url)}
	discoverytest.Run(t, func(t *testing.T) driver.Driver {
		d, err := etcddiscovery.Dial(t.Context(), []string{url}, opts)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}, discoverytest.Features{})
}
