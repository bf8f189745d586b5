package discovery_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/memdiscovery"
)

// killable is a server that can die at once.
type killable struct {
	address string
	kill    func()
}

// menu answers after some work with a page of 8 KB, so that deaths come before,
// during and after the header.
var menu = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
	page := strings.Repeat("x", 8<<10)
	w.Header().Set("Content-Length", fmt.Sprint(len(page)))
	for part := range 4 {
		if _, err := io.WriteString(w, page[part*2<<10:(part+1)*2<<10]); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-req.Context().Done():
			return
		default:
		}
	}
})

// TestKillThreeOfTen is the promise: three of ten instances are killed under
// load, the registry doesn't even notice, and no client sees it.
func TestKillThreeOfTen(t *testing.T) {
	t.Run("servers", func(t *testing.T) {
		killThreeOfTen(t, func(t *testing.T) killable {
			t.Helper()
			s := httptest.NewServer(menu)
			t.Cleanup(s.Close)
			return killable{s.Listener.Addr().String(), func() {
				_ = s.Listener.Close()
				s.CloseClientConnections() // in the middle of whatever they do
			}}
		})
	})
	t.Run("processes", func(t *testing.T) {
		killThreeOfTen(t, startProcess)
	})
}

func killThreeOfTen(t *testing.T, start func(t *testing.T) killable) {
	t.Helper()
	registry := open(t, memdiscovery.NewStore(), nil)
	var servers []killable
	for i := range 10 {
		s := start(t)
		servers = append(servers, s)
		in := restaurant(fmt.Sprintf("i%d", i))
		in.Endpoints[0].Address = s.address
		register(t, registry, in, nil)
	}
	resolver := discovery.NewResolver(registry, nil)
	defer func() { _ = resolver.Shutdown(context.Background()) }()
	var failed, repeated atomic.Int64
	tr := discovery.NewTransport(nil, resolver, &discovery.TransportOptions{OnAttempt: func(a discovery.Attempt) {
		if a.Err != nil {
			failed.Add(1)
		}
		if a.Number > 1 {
			repeated.Add(1)
		}
	}})
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr}

	const workers, each = 24, 150
	var done atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				if err := getMenu(t.Context(), client); err != nil {
					t.Errorf("a client saw the death of an instance: %v", err)
				}
				switch done.Add(1) {
				case workers * each / 4:
					servers[2].kill()
				case workers * each / 3:
					servers[5].kill()
					servers[9].kill()
				}
			}
		})
	}
	wg.Wait()
	if failed.Load() == 0 || repeated.Load() == 0 {
		t.Errorf("no attempt met a dead instance, so nothing was tested: %d failed, %d repeated", failed.Load(), repeated.Load())
	}
	t.Logf("%d requests, %d attempts failed, %d were repeats", done.Load(), failed.Load(), repeated.Load())
}

func getMenu(ctx context.Context, client *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://restaurants/menu", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || len(b) != 8<<10) {
		err = fmt.Errorf("status %d with %d bytes", resp.StatusCode, len(b))
	}
	return err
}

// asServer makes the test binary a server of its own: see startProcess.
const asServer = "SWALE_DISCOVERY_TEST_SERVER"

func startProcess(t *testing.T) killable {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), asServer+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return killable{strings.TrimSpace(address), func() { _ = cmd.Process.Kill() }} // SIGKILL
}

// serveMenu is what the process does until it is killed.
func serveMenu() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	return http.Serve(listener, menu)
}
