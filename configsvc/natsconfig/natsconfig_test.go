package natsconfig_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/goswale/swale/bus/natsbus/embedded"
	"github.com/goswale/swale/configsvc/configtest"
	"github.com/goswale/swale/configsvc/driver"
	"github.com/goswale/swale/configsvc/natsconfig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startServer starts a server for one test, in the process.
func startServer(t *testing.T) string {
	t.Helper()
	server, err := embedded.Start(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	return server.URL()
}

// realServer returns the address of a server that is a process of its own.
func realServer(t *testing.T) string {
	t.Helper()
	url := os.Getenv("SWALE_TEST_NATS")
	if url == "" {
		const missing = "SWALE_TEST_NATS is not set: needs the URL of a NATS server with JetStream"
		if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") == "1" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	return url
}

func connect(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.Timeout(time.Minute), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func open(t *testing.T, url, bucket string) *natsconfig.Driver {
	t.Helper()
	d, err := natsconfig.Open(t.Context(), connect(t, url), &natsconfig.Options{Bucket: bucket})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}

func conformance(t *testing.T, url string) {
	t.Helper()
	configtest.Run(t, func(t *testing.T) configtest.Open {
		bucket := bucketFor(t, url)
		return func(t *testing.T) driver.Driver { return open(t, url, bucket) }
	})
}

// bucketFor returns the name of a bucket that goes with the test.
func bucketFor(t *testing.T, url string) string {
	t.Helper()
	bucket := "test-" + strings.NewReplacer("/", "-").Replace(t.Name()) + time.Now().Format("-150405000000000")
	nc := connect(t, url)
	t.Cleanup(func() {
		if js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute)); err == nil {
			_ = js.DeleteKeyValue(context.Background(), bucket)
		}
	})
	return bucket
}

func TestConformance(t *testing.T) {
	t.Run("Embedded", func(t *testing.T) { conformance(t, startServer(t)) })
	t.Run("Real", func(t *testing.T) { conformance(t, realServer(t)) })
}

func commit(t *testing.T, d driver.Driver, pairs ...string) driver.Commit {
	t.Helper()
	c := driver.Commit{Author: "ada", Time: time.Now()}
	for i := 0; i < len(pairs); i += 2 {
		c.Edits = append(c.Edits, driver.Edit{Key: pairs[i], Value: []byte(pairs[i+1]), Expect: driver.Any})
	}
	c, err := d.Commit(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A process that opens later reads what was there, and a server that restarts
// keeps it.
func TestTheLogOutlivesProcessAndServer(t *testing.T) {
	dir := t.TempDir()
	server, err := embedded.Start(t.Context(), &embedded.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	first := open(t, server.URL(), "config")
	for i := range 50 {
		commit(t, first, "a", strings.Repeat("1", i+1), "b", "2")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Read(t.Context(), []string{"a"}, driver.Latest); !errors.Is(err, natsconfig.ErrLog) {
		t.Errorf("a closed driver says so rather than answer from what it had: %v", err)
	}
	server.Shutdown()
	if server, err = embedded.Start(t.Context(), &embedded.Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	second := open(t, server.URL(), "config")
	snap, err := second.Read(t.Context(), []string{"a", "b"}, driver.Latest)
	if err != nil || snap.Revision != 50 || len(snap.Versions) != 2 || len(snap.Versions[0].Value) != 50 {
		t.Errorf("everything is there: %+v, %v", snap, err)
	}
	if c := commit(t, second, "a", "3"); c.Revision != 51 {
		t.Errorf("the log goes on: %d", c.Revision)
	}
}

// What isn't a whole log must not be taken for one.
func TestABucketThatIsNoLogIsRefused(t *testing.T) {
	url := startServer(t)
	js, err := jetstream.New(connect(t, url), jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(jetstream.KeyValue) error{
		"foreign": func(kv jetstream.KeyValue) error { _, err := kv.PutString(t.Context(), "hello", "world"); return err },
		"deleted": func(kv jetstream.KeyValue) error { return kv.Delete(t.Context(), "commit.0000000000000002") },
		"changed": func(kv jetstream.KeyValue) error {
			_, err := kv.PutString(t.Context(), "commit.0000000000000001", `{"revision":1,"edits":[{"key":"a","bytes":9}]}`+"\n1")
			return err
		},
	} {
		d := open(t, url, name)
		commit(t, d, "a", "1")
		commit(t, d, "a", "2")
		kv, err := js.KeyValue(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if err := spoil(kv); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Read(t.Context(), []string{"a"}, driver.Latest); !errors.Is(err, natsconfig.ErrLog) {
			t.Errorf("%s: a process that follows must say so: %v", name, err)
		}
		if _, err := natsconfig.Open(t.Context(), connect(t, url), &natsconfig.Options{Bucket: name}); !errors.Is(err, natsconfig.ErrLog) {
			t.Errorf("%s: a process that opens must say so: %v", name, err)
		}
	}
}

func TestAServerThatIsGoneIsAnError(t *testing.T) {
	server, err := embedded.Start(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, server.URL(), "config")
	commit(t, d, "a", "1")
	server.Shutdown()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := d.Read(ctx, []string{"a"}, driver.Latest); err == nil {
		t.Error("what can't be known to be the latest must not be given as that")
	}
}
