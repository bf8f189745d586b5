package etcddiscovery_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/discoverytest"
	"github.com/goswale/swale/discovery/driver"
	"github.com/goswale/swale/discovery/etcddiscovery"
)

// proxy stands between a client and the server, and can be cut or fall silent.
type proxy struct {
	listener net.Listener
	target   string

	mu     sync.Mutex
	cut    bool
	silent chan struct{} // closed when bytes flow again
	conns  map[net.Conn]struct{}
	wg     sync.WaitGroup
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	flows := make(chan struct{})
	close(flows)
	p := &proxy{listener: l, target: u.Host, silent: flows, conns: make(map[net.Conn]struct{})}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.set(true)
		p.wg.Wait()
	})
	return p
}

func (p *proxy) url() string { return "http://" + p.listener.Addr().String() }

// set cuts every connection and refuses new ones, or lets them through again.
func (p *proxy) set(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	for c := range p.conns {
		if cut {
			_ = c.Close()
		}
	}
}

// hush holds every byte back until the function it returns is called.
func (p *proxy) hush() (speak func()) {
	silent := make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = silent
	return sync.OnceFunc(func() { close(silent) })
}

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		p.mu.Lock()
		if err != nil || p.cut {
			_ = in.Close()
			if err == nil {
				_ = out.Close()
			}
			p.mu.Unlock()
			continue
		}
		p.conns[in], p.conns[out] = struct{}{}, struct{}{}
		p.mu.Unlock()
		p.wg.Go(func() { p.copy(in, out) })
		p.wg.Go(func() { p.copy(out, in) })
	}
}

func (p *proxy) copy(from, to net.Conn) {
	defer func() { _ = from.Close(); _ = to.Close() }()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		p.mu.Lock()
		silent := p.silent
		p.mu.Unlock()
		<-silent
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func open(t *testing.T, url string, opts *etcddiscovery.Options) *discovery.Registry {
	t.Helper()
	opts.Heartbeat = 300 * time.Millisecond
	opts.Discovery = discovery.Options{Backoff: discovery.Backoff{Max: 200 * time.Millisecond}, CallTimeout: 10 * time.Second}
	r, err := etcddiscovery.Open(t.Context(), []string{url}, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = r.Shutdown(ctx)
	})
	return r
}

func TestConnectionIsLost(t *testing.T) {
	target := endpoint(t)
	name := prefix(t, target)
	p := startProxy(t, target)
	here := open(t, target, &etcddiscovery.Options{Prefix: name})
	there := open(t, p.url(), &etcddiscovery.Options{Prefix: name})
	if _, err := here.Register(t.Context(), discovery.Instance{
		Service: "restaurants", Endpoints: []discovery.Endpoint{{Scheme: "http", Address: "10.0.0.7:80"}},
	}, nil); err != nil {
		t.Fatal(err)
	}
	views := make(chan discovery.View, 10_000)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = there.Watch(ctx, "restaurants", func(v discovery.View) { views <- v })
	}()
	defer func() { cancel(); <-ended }()
	until := func(rule string, live bool) {
		t.Helper()
		late := time.After(90 * time.Second)
		for {
			select {
			case v := <-views:
				if len(v.Instances) != 1 {
					t.Fatalf("%s: a view keeps what it knew: %+v", rule, v)
				}
				if v.Live == live {
					return
				}
			case <-late:
				t.Fatalf("%s: it didn't happen", rule)
			}
		}
	}
	until("the instance is there", true)
	p.set(true)
	until("a connection that is cut is noticed", false)
	p.set(false)
	until("and made again", true)
	speak := p.hush()
	until("a connection that is open but dead is noticed too", false)
	speak()
	p.set(true)
	p.set(false)
	until("and made again", true)
}

// A process that starts while the cluster is away knows those who were known
// last, and follows the cluster when it is back.
func TestStartsWhileTheClusterIsAway(t *testing.T) {
	target := endpoint(t)
	p := startProxy(t, target)
	opts := &etcddiscovery.Options{
		Prefix: prefix(t, target), Heartbeat: 300 * time.Millisecond,
		Discovery: discovery.Options{LastKnown: t.TempDir(), Backoff: discovery.Backoff{Max: 200 * time.Millisecond}, CallTimeout: time.Second},
	}
	start := func() *discovery.Registry {
		t.Helper()
		r, err := etcddiscovery.Open(t.Context(), []string{p.url()}, opts)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
			defer cancel()
			if err := r.Shutdown(ctx); err != nil {
				t.Error(err)
			}
		})
		return r
	}
	// until waits for a view of one instance that is live, or from the disk.
	until := func(r *discovery.Registry, live bool) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		_ = r.Watch(ctx, "restaurants", func(v discovery.View) {
			if v.Live == live && v.FromDisk == !live && len(v.Instances) == 1 {
				cancel()
			}
		})
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Fatalf("there was no view with the instance that is live: %v", live)
		}
	}
	first := start()
	if _, err := first.Register(t.Context(), discovery.Instance{
		Service: "restaurants", Endpoints: []discovery.Endpoint{{Scheme: "http", Address: "10.0.0.7:80"}},
	}, nil); err != nil {
		t.Fatal(err)
	}
	until(first, true)
	p.set(true)
	second := start()
	until(second, false)
	p.set(false)
	until(second, true)
}

// TestRoles uses a server of its own, with users.
func TestRoles(t *testing.T) {
	url := startServer(t)
	root, err := clientv3.New(clientv3.Config{Endpoints: []string{url}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	for _, step := range []func() error{
		func() error { _, err := root.UserAdd(ctx, "root", "pw"); return err },
		func() error { _, err := root.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := root.UserAdd(ctx, "orders", "pw"); return err },
		func() error { _, err := root.RoleAdd(ctx, "orders"); return err },
		func() error {
			_, err := root.RoleGrantPermission(ctx, "orders", "/swale/discovery/", "/swale/discovery0", clientv3.PermissionType(clientv3.PermRead))
			return err
		},
		func() error {
			_, err := root.RoleGrantPermission(ctx, "orders", "/swale/discovery/orders/instances/", "/swale/discovery/orders/instances0", clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := root.UserGrantRole(ctx, "orders", "orders"); return err },
		func() error { _, err := root.AuthEnable(ctx); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	r := open(t, url, &etcddiscovery.Options{Config: clientv3.Config{Username: "orders", Password: "pw"}})
	register := func(service string) error {
		_, err := r.Register(ctx, discovery.Instance{Service: service, Endpoints: []discovery.Endpoint{{Scheme: "http", Address: "10.0.0.7:80"}}}, nil)
		return err
	}
	if err := register("orders"); err != nil {
		t.Errorf("a service registers itself: %v", err)
	}
	if err := register("restaurants"); !errors.Is(err, driver.ErrDenied) {
		t.Errorf("and nobody else: %v", err)
	}
	if err := r.Remove(ctx, "restaurants", "r1"); err != nil {
		t.Errorf("removing what isn't there does nothing: %v", err)
	}
}

// startServer starts a server that ends with the test.
func startServer(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("etcd")
	if err != nil {
		if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no etcd to start, so roles aren't tested: %v", err)
	}
	url := "http://127.0.0.1:" + strconv.Itoa(discoverytest.FreePorts(t, 1)[0])
	cmd := exec.CommandContext(t.Context(), path, "--data-dir", t.TempDir(), "--log-level", "error", "--unsafe-no-fsync",
		"--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls", "http://127.0.0.1:0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return url
}
