package natsbus_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/bus"
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
	opts := &embedded.Options{Dir: t.TempDir(), Port: freePorts(t, 1)[0]}
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
