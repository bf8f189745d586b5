package natsbus_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/bustest"
	"github.com/goswale/swale/bus/natsbus"
	"github.com/goswale/swale/bus/natsbus/embedded"
)

// echo serves the subject "echo" on the bus.
func echo(t *testing.T, b *bus.Bus) {
	t.Helper()
	if _, err := b.Serve(t.Context(), "echo", "g", func(_ context.Context, e bus.Event) (bus.Event, error) { return e, nil }, nil); err != nil {
		t.Fatal(err)
	}
}

// ask asks it, and fails the test when another answer comes.
func ask(t *testing.T, b *bus.Bus, id string) error {
	t.Helper()
	got, err := b.Request(t.Context(), "echo", bus.Event{ID: id, Type: "t"})
	if err == nil && got.ID != id {
		t.Errorf("request %s got the answer to %s", id, got.ID)
	}
	return err
}

// A lone request is written past the client's own buffer, which is wrong where the
// connection isn't NATS's protocol as it stands.
func TestRequestOverTLS(t *testing.T) {
	web := httptest.NewTLSServer(nil)
	defer web.Close()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, TLS: true, TLSTimeout: 60,
		TLSConfig: &tls.Config{Certificates: web.TLS.Certificates, MinVersion: tls.VersionTLS13}})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server isn't ready")
	}
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	b := openBus(t, s.ClientURL(), &natsbus.Options{Core: true, Conn: []nats.Option{nats.Secure(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13})}})
	echo(t, b)
	if err := ask(t, b, "1"); err != nil {
		t.Error(err)
	}
}

// After a reconnect requests go to where the client is connected now.
func TestRequestAfterReconnect(t *testing.T) {
	opts := &embedded.Options{Dir: t.TempDir(), Port: bustest.FreePorts(t, 1)[0]}
	s := startServer(t, opts)
	from, to := openBus(t, s.URL(), nil), openBus(t, s.URL(), nil)
	echo(t, to)
	if err := ask(t, from, "before"); err != nil {
		t.Fatal(err)
	}
	s.Shutdown()
	startServer(t, opts)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var err error
	for i := 0; ctx.Err() == nil; i++ {
		if err = ask(t, from, strconv.Itoa(i)); err == nil {
			return
		}
	}
	t.Errorf("requests work again when the server is back, got %v", err)
}

// Answers that come when nobody waits any more reach nobody, however many.
func TestLateAnswers(t *testing.T) {
	s := startServer(t, nil)
	from, to := openBus(t, s.URL(), nil), openBus(t, s.URL(), nil)
	release, arrived := make(chan struct{}), make(chan struct{}, 100)
	if _, err := to.Serve(t.Context(), "late", "g", func(_ context.Context, e bus.Event) (bus.Event, error) {
		arrived <- struct{}{}
		<-release
		return e, nil
	}, &bus.ServeOptions{Parallel: 100}); err != nil {
		t.Fatal(err)
	}
	echo(t, to)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	for range 100 {
		go func() {
			_, err := from.Request(ctx, "late", bus.Event{ID: "late", Type: "t"})
			failed <- err
		}()
	}
	for range 100 {
		<-arrived
	}
	cancel()
	for range 100 {
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("a request that is given up fails with Canceled, got %v", err)
		}
	}
	close(release)
	for i := range 300 {
		if err := ask(t, from, strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
}

// A request that is given up while it waits for a worker is never handled.
func TestGivenUpWhileWaiting(t *testing.T) {
	s := startServer(t, nil)
	from, to := openBus(t, s.URL(), &natsbus.Options{Prefix: "waiting"}), openBus(t, s.URL(), &natsbus.Options{Prefix: "waiting"})
	handled := make(chan string, 10)
	if _, err := to.Serve(t.Context(), "busy", "g", func(ctx context.Context, e bus.Event) (bus.Event, error) {
		handled <- e.ID
		if e.ID == "first" {
			<-ctx.Done()
		}
		return e, nil
	}, &bus.ServeOptions{Parallel: 1}); err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(s.URL(), nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	sent, err := nc.SubscribeSync("waiting.r.busy")
	if err = errors.Join(err, nc.Flush()); err != nil {
		t.Fatal(err)
	}
	// begin asks, and returns when the question is under way what gives it up.
	begin := func(id string) (giveUp func()) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, err := from.Request(ctx, "busy", bus.Event{ID: id, Type: "t"})
			failed <- err
		}()
		if _, err := sent.NextMsg(patience); err != nil {
			t.Fatal(err)
		}
		return func() {
			t.Helper()
			if cancel(); !errors.Is(<-failed, context.Canceled) {
				t.Errorf("the %s request fails with Canceled", id)
			}
		}
	}
	first := begin("first")
	if id := <-handled; id != "first" {
		t.Fatalf("the first request is handled first, got %q", id)
	}
	second := begin("second")
	second() // heard before what ends the first one
	first()
	if got, err := from.Request(t.Context(), "busy", bus.Event{ID: "third", Type: "t"}); err != nil || got.ID != "third" {
		t.Fatalf("the third request gets its answer, got %q, %v", got.ID, err)
	}
	if id := <-handled; id != "third" {
		t.Errorf("after the first the third request is handled, got %q", id)
	}
}

// A request whose context has no deadline ends by the bus's own, on both sides.
func TestRequestTimeout(t *testing.T) {
	s := startServer(t, nil)
	from := openBus(t, s.URL(), &natsbus.Options{Bus: bus.Options{RequestTimeout: 50 * time.Millisecond}})
	to := openBus(t, s.URL(), nil)
	ended := make(chan error, 2)
	if _, err := to.Serve(t.Context(), "slow", "g", func(ctx context.Context, _ bus.Event) (bus.Event, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return bus.Event{}, ctx.Err()
	}, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer time.AfterFunc(patience, cancel).Stop()
	for range 2 { // the second one with the first one's timer
		if _, err := from.Request(ctx, "slow", bus.Event{Type: "t"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the request fails with DeadlineExceeded, got %v", err)
		}
		if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the handler's context ends with DeadlineExceeded, got %v", err)
		}
	}
}
