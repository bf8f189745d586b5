package httpbus_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/httpbus"
	"github.com/goswale/swale/bus/natsbus"
	"github.com/goswale/swale/bus/natsbus/embedded"
)

// natsPair returns two connections to one embedded server.
func natsPair(b *testing.B) (client, server *bus.Bus) {
	b.Helper()
	s, err := embedded.Start(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Shutdown)
	open := func() *bus.Bus {
		conn, err := natsbus.Open(b.Context(), s.URL(), nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Shutdown(context.WithoutCancel(b.Context())) })
		return conn
	}
	return open(), open()
}

// BenchmarkRequest is the floor: the same kilobyte as one bus.Request.
func BenchmarkRequest(b *testing.B) {
	client, server := natsPair(b)
	reply := bytes.Repeat([]byte("x"), 1<<10)
	_, err := server.Serve(b.Context(), "raw", "g", func(context.Context, bus.Event) (bus.Event, error) {
		return bus.Event{Source: "/b", Type: "b", DataContentType: "text/plain", Data: reply}, nil
	}, nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := client.Request(b.Context(), "raw", bus.Event{Source: "/b", Type: "b"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGet is a GET of one kilobyte over NATS on loopback.
func BenchmarkGet(b *testing.B) {
	client, server := natsPair(b)
	reply := bytes.Repeat([]byte("x"), 1<<10)
	s, err := httpbus.Serve(b.Context(), server, "svc", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(reply)
	}), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Shutdown(context.WithoutCancel(b.Context())) })
	c := &http.Client{Transport: httpbus.NewTransport(client, nil)}
	for b.Loop() {
		fetch(b, c)
	}
}

// BenchmarkReverseProxy is the other way to share requests out: plain HTTP on
// loopback through one httputil.ReverseProxy.
func BenchmarkReverseProxy(b *testing.B) {
	reply := bytes.Repeat([]byte("x"), 1<<10)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(reply)
	}))
	b.Cleanup(origin.Close)
	to, err := url.Parse(origin.URL)
	if err != nil {
		b.Fatal(err)
	}
	backend := &http.Transport{}
	b.Cleanup(backend.CloseIdleConnections)
	proxy := httptest.NewServer(&httputil.ReverseProxy{Transport: backend, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }})
	b.Cleanup(proxy.Close)
	for b.Loop() {
		fetchFrom(b, proxy.Client(), proxy.URL)
	}
}

func fetch(b *testing.B, c *http.Client) {
	b.Helper()
	fetchFrom(b, c, "http://svc")
}

func fetchFrom(b *testing.B, c *http.Client, base string) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, base+"/x", http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		b.Fatal(err)
	}
	_ = resp.Body.Close()
}

// BenchmarkDownload streams 100 MB.
func BenchmarkDownload(b *testing.B) {
	client, server := natsPair(b)
	const size = 100 << 20
	s, err := httpbus.Serve(b.Context(), server, "svc", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		piece := make([]byte, 32<<10)
		for range size / len(piece) {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Shutdown(context.WithoutCancel(b.Context())) })
	c := &http.Client{Transport: httpbus.NewTransport(client, nil)}
	b.SetBytes(size)
	for b.Loop() {
		fetch(b, c)
	}
}
