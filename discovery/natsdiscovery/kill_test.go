package natsdiscovery_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/natsdiscovery"
)

// asInstance makes the test binary an instance: see TestKilledProcesses.
const asInstance = "SWALE_DISCOVERY_TEST_INSTANCE"

// serveInstance registers itself at the server and answers until it is killed.
func serveInstance(url, id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := natsdiscovery.Open(ctx, url, nil)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if _, err := r.Register(ctx, discovery.Instance{
		Service: "restaurants", ID: id, Endpoints: []discovery.Endpoint{{Scheme: "http", Address: listener.Addr().String()}},
	}, &discovery.RegisterOptions{TTL: 7 * time.Second, Renew: time.Second}); err != nil {
		return err
	}
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, id) }))
}

// TestKilledProcesses has processes that registered themselves killed under load:
// no client sees it, and the registry forgets them when their leases end.
func TestKilledProcesses(t *testing.T) {
	server := startServer(t, t.TempDir(), 0)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const all, killed = 6, 2
	var processes []*os.Process
	for i := range all {
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), asInstance+"="+server.ClientURL(), asInstance+"_ID="+fmt.Sprint("i", i))
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		processes = append(processes, cmd.Process)
	}
	r := open(t, server.ClientURL())
	views := watcher(t, r)
	until(t, views, "each process registers itself", anything, func(v discovery.View) bool { return len(v.Instances) == all })

	resolver := discovery.NewResolver(r, nil)
	defer func() { _ = resolver.Shutdown(context.Background()) }()
	var failures atomic.Int64
	transport := discovery.NewTransport(nil, resolver, &discovery.TransportOptions{OnAttempt: func(a discovery.Attempt) {
		if a.Err != nil {
			failures.Add(1)
		}
	}})
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var done atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if err := get(t.Context(), client); err != nil {
					t.Errorf("a client saw the death of an instance: %v", err)
				}
				if done.Add(1) == 400 {
					for _, p := range processes[:killed] {
						_ = p.Kill()
					}
				}
			}
		})
	}
	wg.Wait()
	if failures.Load() == 0 {
		t.Error("no attempt met a dead instance, so nothing was tested")
	}
	until(t, views, "the dead are forgotten when their leases end", anything, func(v discovery.View) bool { return len(v.Instances) == all-killed })
}

func get(ctx context.Context, client *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://restaurants/", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
