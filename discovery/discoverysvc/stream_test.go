package discoverysvc_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/discovery/binding"
	"github.com/goswale/swale/discovery/discoverysvc"
	"github.com/goswale/swale/discovery/driver"
	"github.com/goswale/swale/discovery/memdiscovery"
)

// pipes is a listener whose connections are in memory, so that time can pass
// at once.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inMemory serves a handler and returns how to reach it.
func inMemory(t *testing.T, h http.Handler) (*pipes, *discoverysvc.ClientOptions) {
	t.Helper()
	p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	web := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = web.Serve(p)
	}()
	transport := &http.Transport{DialContext: p.dial}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = web.Close()
		<-done
	})
	return p, &discoverysvc.ClientOptions{HTTP: &http.Client{Transport: transport}}
}

func server(t *testing.T, store *memdiscovery.Store) *discoverysvc.Server {
	t.Helper()
	d := store.Driver(nil)
	s, err := discoverysvc.New(d, &discoverysvc.Options{Authorise: discoverysvc.AllowAll})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		if err := errors.Join(s.Close(ctx), d.Close(ctx)); err != nil {
			t.Error(err)
		}
	})
	return s
}

// sink counts what a watch tells.
type sink struct{ puts chan driver.Record }

func (s *sink) Reset([]driver.Record) {}
func (s *sink) Put(r driver.Record)   { s.puts <- r }
func (s *sink) Delete(driver.Key)     {}
func (s *sink) Current()              {}

// A stream on which nothing happens for an hour is still the same one.
func TestQuietStreamsStand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memdiscovery.NewStore()
		_, opts := inMemory(t, server(t, store))
		c, b := discoverysvc.Dial("http://kernel", opts), discoverysvc.DialBindings("http://kernel", opts)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		records := &sink{make(chan driver.Record, 1)}
		revisions := make(chan int, 10)
		go func() { ended <- c.Watch(ctx, "", records) }()
		go func() {
			ended <- b.Watch(ctx, func(revs []binding.Revision) { revisions <- len(revs) })
		}()
		select {
		case err := <-ended:
			t.Fatalf("a stream was lost though the server stands: %v", err)
		case <-time.After(time.Hour):
		}
		key := driver.Key{Kind: driver.Instances, Service: "orders", ID: "a"}
		if err := c.Put(ctx, driver.Record{Key: key, Owner: "o", Value: []byte("{}"), TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		if r := <-records.puts; r.Key != key {
			t.Errorf("%v", r.Key)
		}
		if n := <-revisions; n != 0 {
			t.Errorf("the watch began with %d revisions", n)
		}
		cancel()
		for range 2 {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	})
}

// A server that falls silent without closing anything is noticed.
func TestSilentStreamIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, opts := inMemory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}))
		began := time.Now()
		err := discoverysvc.Dial("http://kernel", opts).Watch(t.Context(), "", &sink{})
		if took := time.Since(began); !errors.Is(err, driver.ErrLost) || took != 30*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// A reader that doesn't read is cut off, and holds up nobody.
func TestSlowReaderIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memdiscovery.NewStore()
		p, opts := inMemory(t, server(t, store))
		slow, err := p.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		if _, err := io.WriteString(slow, "GET /records/events HTTP/1.1\r\nHost: kernel\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(slow)
		if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Fatal(line, err)
		}
		c := discoverysvc.Dial("http://kernel", opts)
		for i := range 300 {
			key := driver.Key{Kind: driver.Instances, Service: "orders", ID: fmt.Sprint("i", i)}
			if err := c.Put(t.Context(), driver.Record{Key: key, Owner: "o", Value: make([]byte, 1000), TTL: time.Hour}); err != nil {
				t.Fatalf("others must not wait for the slow reader: %v", err)
			}
		}
		time.Sleep(time.Minute)
		rest, err := io.ReadAll(in)
		if strings.Contains(string(rest), `"i299"`) {
			t.Errorf("the stream went on: %d bytes, %v", len(rest), err)
		}
	})
}
