package service_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/goswale/swale/service"
)

// wire is a port in memory, so that time can be the test's own.
type wire struct {
	address string
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

// wired gives the service ports in memory and returns a client that reaches them.
func wired(t *testing.T, opts *service.Options) *http.Client {
	t.Helper()
	ports := make(map[string]*wire)
	for _, address := range []string{"10.0.0.7:80", "10.0.0.7:8090"} {
		ports[address] = &wire{address: address, conns: make(chan net.Conn), closed: make(chan struct{})}
	}
	opts.Listener, opts.AdminListener = ports["10.0.0.7:80"], ports["10.0.0.7:8090"]
	transport := &http.Transport{DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		return ports[address].dial(ctx)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (w *wire) dial(ctx context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case w.conns <- there:
		return here, nil
	case <-w.closed:
		return nil, fmt.Errorf("%s is closed", w.address)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements [net.Listener].
func (w *wire) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (w *wire) Close() error {
	w.once.Do(func() { close(w.closed) })
	return nil
}

// Addr implements [net.Listener].
func (w *wire) Addr() net.Addr { return w }

// Network implements [net.Addr].
func (*wire) Network() string { return "memory" }

// String implements [net.Addr].
func (w *wire) String() string { return w.address }
