package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// binary is the real program, built once for all tests of this package.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "swale-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "swale")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	out, err := exec.CommandContext(context.Background(), "go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// program is a running swale.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	said  map[string]string // what it printed, by the first word of the line
	errs  bytes.Buffer
	ended chan error
}

// start runs swale with args and waits until it says that it is ready.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, said: map[string]string{}, ended: make(chan error, 1)}
	p.cmd = exec.CommandContext(context.Background(), path, args...)
	p.cmd.Env = cleanEnv()
	p.cmd.Stderr = &p.errs
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	ready := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			word, rest, _ := strings.Cut(lines.Text(), " ")
			if word == "ready" {
				ready <- true
				break
			}
			if word == "admin" { // one of several: which one is in brackets
				rest, word, _ = strings.Cut(strings.TrimSuffix(rest, ")"), "(")
				word = "admin " + word
			}
			p.said[word] = strings.TrimSpace(rest)
		}
		_, _ = io.Copy(io.Discard, out)
		close(ready)
		p.ended <- p.cmd.Wait()
	}()
	select {
	case ok := <-ready:
		if !ok {
			t.Fatalf("swale %s ended before it was ready: %v\n%s", strings.Join(args, " "), <-p.ended, &p.errs)
		}
	case <-time.After(patience):
		t.Fatalf("swale %s wasn't ready in %v", strings.Join(args, " "), patience)
	}
	return p
}

// kill ends the program as SIGKILL does: without a chance to finish anything.
func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	err := <-p.ended
	p.ended <- err // for whoever asks again
}

// stop asks the program to stop, and requires that it does so cleanly.
func (p *program) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatal(err)
	}
	select {
	case err := <-p.ended:
		if err != nil {
			p.t.Errorf("asked to stop, swale ended with %v; it must end with exit code 0\n%s", err, &p.errs)
		}
		p.ended <- err
	case <-time.After(patience):
		p.t.Errorf("asked to stop, swale still ran after %v", patience)
	}
}

// runOnce runs swale to its end.
func runOnce(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = cleanEnv()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// cleanEnv is the environment without anything that configures swale, but for a
// city that is quiet unless a test says otherwise.
func cleanEnv() []string {
	env := []string{"SWALE_ORDERS=0"}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SWALE_") && !strings.HasPrefix(v, "NATS_URL=") {
			env = append(env, v)
		}
	}
	return env
}

// address returns an address of this machine with a port that is free. It is below
// those that the system gives to whoever connects, of which one could be somebody's
// connection by the time that a program wants it.
func address(t *testing.T) string {
	t.Helper()
	for tries := 0; ; tries++ {
		address := "127.0.0.1:" + strconv.Itoa(10_000+rand.IntN(20_000))
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		if err == nil {
			_ = l.Close()
			return address
		}
		if tries > 1000 {
			t.Fatal(err)
		}
	}
}

// fetch reads a document and where it was.
func fetch(t *testing.T, url string, v any) http.Header {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s: %s", url, resp.Status, body)
	}
	if err := json.Unmarshal(body, v); err != nil {
		t.Fatalf("GET %s: %v: %s", url, err, body)
	}
	return resp.Header
}

// rename changes a restaurant's name on condition of its version, and returns
// the new version.
func rename(ctx context.Context, href, etag, name string) (string, error) {
	body, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, href, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/merge-patch+json")
	req.Header.Set("If-Match", etag)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode >= 300 {
		return "", fmt.Errorf("PATCH %s: %s: %s", href, resp.Status, answer)
	}
	return resp.Header.Get("ETag"), nil
}

// pageDocument is what the tests read of a page of the storefront.
type pageDocument struct {
	Count    int
	Degraded *struct {
		Since, Reason string
		Missing       []struct{ Href string }
	}
	Topics   []struct{ Live bool }
	Embedded struct {
		Items []struct {
			Name, ETag, Source string
			Links              struct{ Self struct{ Href string } } `json:"_links"`
		} `json:"item"`
	} `json:"_embedded"`
}

// nearby follows the links from the storefront's root to its page.
func nearby(t *testing.T, root string) (p pageDocument) {
	t.Helper()
	var doc struct {
		Links map[string]struct{ Href string } `json:"_links"`
	}
	fetch(t, root, &doc)
	href, _, _ := strings.Cut(doc.Links["nearby"].Href, "{")
	fetch(t, strings.TrimSuffix(root, "/")+href, &p)
	return p
}

// patience bounds a wait for what must happen in the end, also on a machine that
// has much else to do.
const patience = 2 * time.Minute

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}
