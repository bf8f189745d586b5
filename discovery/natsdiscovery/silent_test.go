package natsdiscovery_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/natsdiscovery"
)

// front passes connections on to a server, or keeps them open and says nothing.
type front struct {
	net.Listener
	target string
	kept   chan struct{} // has a value when a connection was kept
	wg     sync.WaitGroup

	mu     sync.Mutex
	silent bool
	conns  []net.Conn
}

func startFront(t *testing.T, url string) *front {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{Listener: l, target: strings.TrimPrefix(url, "nats://"), kept: make(chan struct{}, 1)}
	f.wg.Go(f.accept)
	t.Cleanup(func() {
		_ = l.Close()
		f.set(true)
		f.wg.Wait()
	})
	return f
}

// set cuts the connections that are there, and says how to take new ones.
func (f *front) set(silent bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.silent = silent
	if !silent {
		return
	}
	for _, c := range f.conns {
		_ = c.Close()
	}
	f.conns = nil
}

func (f *front) accept() {
	for {
		c, err := f.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns = append(f.conns, c)
		silent := f.silent
		f.mu.Unlock()
		if silent {
			select {
			case f.kept <- struct{}{}:
			default:
			}
			continue
		}
		var d net.Dialer
		s, err := d.DialContext(context.Background(), "tcp", f.target)
		if err != nil {
			_ = c.Close()
			continue
		}
		for _, pair := range [][2]net.Conn{{c, s}, {s, c}} {
			f.wg.Go(func() {
				_, _ = io.Copy(pair[0], pair[1])
				_ = pair[0].Close()
				_ = pair[1].Close()
			})
		}
	}
}

// TestSilentServer: the client holds its lock while it connects again, which must
// not take what the opening was allowed to take.
func TestSilentServer(t *testing.T) {
	s := startServer(t, t.TempDir(), 0)
	f := startFront(t, s.ClientURL())
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	r, err := natsdiscovery.Open(ctx, "nats://"+f.Addr().String(), &natsdiscovery.Options{
		Discovery: discovery.Options{Backoff: discovery.Backoff{Max: 200 * time.Millisecond}, CallTimeout: 10 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Shutdown(context.Background()) })
	views := watcher(t, r)
	until(t, views, "the view is live", anything, liveAgain)
	f.set(true)
	until(t, views, "a server that was cut off is noticed", anything, lost)
	<-f.kept
	f.set(false)
	until(t, views, "a connection that is open but dead is given up", anything, liveAgain)
}
