// Package browsertest drives a Chromium in tests of pages, over its debugging
// pipe: without a port, a WebSocket, or anything but the standard library.
//
//	b := browsertest.Open(t) // skips the test where there is no Chromium
//	b.Go(server.URL)
//	b.Until(`document.querySelector('h1')`)
//	if trouble := b.Troubles(); len(trouble) > 0 { … }
//
// The environment names the program, SWALE_TEST_CHROMIUM, and a folder for
// pictures, SWALE_TEST_SCREENSHOTS. With SWALE_TEST_REQUIRE_SERVERS=1 a test
// that finds no Chromium fails instead of skipping.
package browsertest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Browser is a Chromium with one page. Its methods end the test when they
// fail; they are called by the test's goroutine.
type Browser struct {
	t       *testing.T
	cmd     *exec.Cmd
	out     *os.File // to the browser
	session string

	mu      sync.Mutex
	last    int
	waiting map[int]chan message
	trouble []string // exceptions, console errors, policy violations
	done    chan struct{}
}

type message struct {
	ID     int             `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
	SessionID string `json:"sessionId,omitempty"`
}

// Open starts a Chromium, or skips the test when there is none. It is closed
// when the test ends.
func Open(t *testing.T) *Browser {
	t.Helper()
	path := os.Getenv("SWALE_TEST_CHROMIUM")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path == "" {
			path, _ = exec.LookPath(name)
		}
	}
	if path == "" {
		if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") == "1" {
			t.Fatal("no Chromium found; SWALE_TEST_CHROMIUM names one")
		}
		t.Skip("no Chromium found, the page isn't tested in a browser: SWALE_TEST_CHROMIUM names one")
	}
	theirIn, ourOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ourIn, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	profile, err := os.MkdirTemp("", "swale-chromium-") //nolint:usetesting // see below
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir, whose removal fails the test while one of the browser's
	// processes, which end after the first one, still writes.
	t.Cleanup(func() {
		for end := time.Now().Add(patience); os.RemoveAll(profile) != nil && time.Now().Before(end); {
			<-time.After(50 * time.Millisecond)
		}
	})
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--remote-debugging-pipe", "--window-size=1360,1000", "--user-data-dir="+profile, "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // its descriptors 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = theirIn.Close(), theirOut.Close()
	b := &Browser{t: t, cmd: cmd, out: ourOut, waiting: map[int]chan message{}, done: make(chan struct{})}
	go b.read(ourIn)
	t.Cleanup(func() {
		b.session = ""
		_, _ = b.send("Browser.close", nil)
		_ = ourOut.Close()
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_ = cmd.Wait()
		}()
		select {
		case <-gone:
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			<-gone
		}
		_ = ourIn.Close()
		<-b.done
	})
	var made struct{ TargetID string }
	b.Must("Target.createTarget", map[string]any{"url": "about:blank"}, &made)
	var attached struct{ SessionID string }
	b.Must("Target.attachToTarget", map[string]any{"targetId": made.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Runtime", "Log", "Page", "Audits"} {
		b.Must(domain+".enable", nil, nil)
	}
	return b
}

func (b *Browser) read(in *os.File) {
	defer close(b.done)
	r := bufio.NewReader(in)
	for {
		data, err := r.ReadBytes(0)
		if err != nil {
			break
		}
		var m message
		if json.Unmarshal(data[:len(data)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		switch {
		case m.ID != 0:
			if c := b.waiting[m.ID]; c != nil {
				c <- m
				delete(b.waiting, m.ID)
			}
		case m.Method == "Runtime.exceptionThrown",
			m.Method == "Audits.issueAdded" && bytes.Contains(m.Params, []byte("ContentSecurityPolicyIssue")):
			b.trouble = append(b.trouble, m.Method+" "+string(m.Params))
		case m.Method == "Log.entryAdded":
			var p struct {
				Entry struct{ Source, Level, Text string }
			}
			if json.Unmarshal(m.Params, &p) == nil && p.Entry.Level == "error" && p.Entry.Source != "network" {
				b.trouble = append(b.trouble, p.Entry.Source+": "+p.Entry.Text)
			}
		}
		b.mu.Unlock()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.waiting {
		close(c)
	}
	b.waiting = map[int]chan message{}
}

var errGone = errors.New("the browser is gone")

func (b *Browser) send(method string, params any) (json.RawMessage, error) {
	raw, err := json.Marshal(params)
	if err != nil {
		return nil, err
	}
	if params == nil {
		raw = []byte("{}")
	}
	c := make(chan message, 1)
	b.mu.Lock()
	b.last++
	id := b.last
	b.waiting[id] = c
	b.mu.Unlock()
	data, err := json.Marshal(message{ID: id, Method: method, Params: raw, SessionID: b.session})
	if err != nil {
		return nil, err
	}
	if _, err := b.out.Write(append(data, 0)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case m, ok := <-c:
		if !ok {
			return nil, errGone
		}
		if m.Error != nil {
			return nil, errors.New(m.Error.Message)
		}
		return m.Result, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

// Must calls a method of the DevTools protocol and decodes its result, which
// may be nil.
func (b *Browser) Must(method string, params, result any) {
	b.t.Helper()
	raw, err := b.send(method, params)
	if err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	if result != nil {
		if err := json.Unmarshal(raw, result); err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
	}
}

// Eval runs an expression in the page, waits for its promise and returns the
// value as text. An expression that leaves the page does so in a timer, or it
// has no value.
func (b *Browser) Eval(expression string) string {
	b.t.Helper()
	value, err := b.evaluate(expression)
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

func (b *Browser) evaluate(expression string) (string, error) {
	raw, err := b.send("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true})
	if err != nil {
		return "", err
	}
	var out struct {
		Result           struct{ Value any }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return "", err
	}
	if out.ExceptionDetails != nil {
		return "", fmt.Errorf("%s %s", out.ExceptionDetails.Text, out.ExceptionDetails.Exception.Description)
	}
	return fmt.Sprint(out.Result.Value), nil
}

// patience is how long Until waits, and each call of the DevTools protocol: on a
// machine that has much else to do a browser takes its time.
const patience = 2 * time.Minute

// Until waits for an expression to become true, on this page or on one that
// the browser goes to meanwhile.
func (b *Browser) Until(expression string) {
	b.t.Helper()
	look := `new Promise((done) => {
		const began = performance.now();
		const look = () => { let ok = false; try { ok = ` + expression + `; } catch {}
			if (ok) done('yes'); else if (performance.now() - began > 2000) done('no: ' + document.body?.innerText); else setTimeout(look, 15); };
		look(); })`
	var got string
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if got, err = b.evaluate(look); err == nil && got == "yes" {
			return
		}
		if errors.Is(err, errGone) {
			break
		}
		if err != nil { // the page was left while it was looked at
			<-time.After(15 * time.Millisecond)
		}
	}
	b.t.Fatalf("%s never came true: %s, %v", expression, got, err)
}

// Go goes to a URL. It doesn't wait for the page.
func (b *Browser) Go(url string) {
	b.t.Helper()
	b.Must("Page.navigate", map[string]any{"url": url}, nil)
}

// Press sends a key as the keyboard does.
func (b *Browser) Press(key string, code int, text string) {
	b.t.Helper()
	for _, kind := range []string{"keyDown", "keyUp"} {
		p := map[string]any{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
		if kind == "keyDown" && text != "" {
			p["text"] = text
		}
		b.Must("Input.dispatchKeyEvent", p, nil)
	}
}

// Screenshot keeps a picture in the folder SWALE_TEST_SCREENSHOTS, if set.
func (b *Browser) Screenshot(name string) {
	b.t.Helper()
	folder := os.Getenv("SWALE_TEST_SCREENSHOTS")
	if folder == "" {
		return
	}
	var shot struct{ Data string }
	b.Must("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	data, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), data, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// Troubles returns the exceptions, console errors and violations of the
// Content-Security-Policy so far.
func (b *Browser) Troubles() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.trouble...)
}
