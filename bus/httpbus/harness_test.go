package httpbus_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/httpbus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/bus/natsbus"
	"github.com/goswale/swale/bus/natsbus/embedded"
)

// network is one broker to which a test opens as many connections as it likes.
type network struct {
	name string
	open func(t *testing.T) func() *bus.Bus
}

func networks() []network {
	return []network{
		{"mem", func(*testing.T) func() *bus.Bus {
			broker := membus.NewBroker()
			return func() *bus.Bus { return broker.Connect(nil) }
		}},
		{"nats", func(t *testing.T) func() *bus.Bus {
			t.Helper()
			server, err := embedded.Start(soon(t), nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(server.Shutdown)
			return func() *bus.Bus {
				b, err := natsbus.Open(soon(t), server.URL(), nil)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
		}},
	}
}

// start starts the broker and returns what connects to it until the test ends.
func (n network) start(t *testing.T) func() *bus.Bus {
	t.Helper()
	open := n.open(t)
	return func() *bus.Bus {
		b := open()
		t.Cleanup(func() {
			if err := b.Shutdown(soon(t)); err != nil {
				t.Errorf("the bus doesn't shut down: %v", err)
			}
		})
		return b
	}
}

// soon is a context for what must not take long. It outlives the test's own,
// which has ended when cleanups run.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// serve serves the handler as the service "svc" until the test ends.
func serve(t *testing.T, b *bus.Bus, h http.Handler, opts *httpbus.ServeOptions) *httpbus.Server {
	t.Helper()
	s, err := httpbus.Serve(t.Context(), b, "svc", h, opts)
	if err != nil {
		t.Fatalf("Serve: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(soon(t)); err != nil {
			t.Errorf("the server doesn't shut down after all its requests ended: %v", err)
		}
	})
	return s
}

func client(b *bus.Bus, opts *httpbus.TransportOptions) *http.Client {
	return &http.Client{Transport: httpbus.NewTransport(b, opts)}
}

// pair serves the handler on one connection and returns a client on another.
func pair(t *testing.T, connect func() *bus.Bus, h http.HandlerFunc) *http.Client {
	t.Helper()
	// Both are in this process, which may stand still for a while on a busy machine.
	c := client(connect(), &httpbus.TransportOptions{Silence: time.Minute})
	serve(t, connect(), h, nil)
	return c
}

func request(t *testing.T, method, url string, mod func(*http.Request)) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if mod != nil {
		mod(req)
	}
	return req
}

// reply is a response whose body the test closes at its end.
type reply struct{ *http.Response }

// do sends the request and fails the test when there is no response.
func do(t *testing.T, c *http.Client, req *http.Request) reply {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return reply{resp}
}

// failure sends a request that must not be answered and returns why it wasn't.
func failure(c *http.Client, req *http.Request) error {
	resp, err := c.Do(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}
