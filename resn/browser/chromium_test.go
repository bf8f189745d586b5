package browser_test

import (
	_ "embed"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/goswale/swale/hal/browsertest"
	"github.com/goswale/swale/resn/browser"
)

//go:embed testdata/page.html
var pageHTML []byte

// A real browser hears of changes by both transports, survives the restart of
// the server without a reset, and misses nothing that came meanwhile.
func TestInChromium(t *testing.T) {
	b := browsertest.Open(t)
	r := newRig(t, &browser.Options{Heartbeat: 100 * time.Millisecond})
	marks := make(chan struct{})
	stop := make(chan struct{})
	go func() { // the owner's watermarks
		defer close(marks)
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				r.watermark()
			}
		}
	}()
	end := func() { close(stop); <-marks }

	address, server := serve(t, "127.0.0.1:0", r.h)
	b.Go("http://" + address + "/?topic=dishes")
	b.Until(`seen.sse.includes('live') && seen.ws.includes('live')`)
	end()
	r.change(1)
	b.Until(`seen.sse.includes('update /dishes/1') && seen.ws.includes('update /dishes/1')`)

	// The server ends, something changes, and another begins at its address; it
	// has heard of the change, and nothing else of what was before.
	r.shut(r.h)
	_ = server.Close()
	second := r.open(r.owners, &browser.Options{Heartbeat: 100 * time.Millisecond}, "dishes")
	r.change(2)
	_, again := serve(t, address, second)
	defer func() { _ = again.Close() }()
	defer r.shut(second)
	b.Until(`seen.sse.includes('update /dishes/2') && seen.ws.includes('update /dishes/2')`)
	r.change(3)
	b.Until(`seen.sse.includes('update /dishes/3') && seen.ws.includes('update /dishes/3')`)
	if got := b.Eval(`seen.sse.concat(seen.ws).filter((s) => s === 'reset').length + ''`); got != "0" {
		t.Errorf("%s resets, though nothing was missed: %s", got, b.Eval(`document.body.innerText`))
	}
	// What is too old for the second server is a reset.
	if got := b.Eval(`new Promise((done) => { const s = new EventSource('/changes?topic=dishes&last-event-id=dishes=0.e1');
		s.addEventListener('reset', (e) => { s.close(); done(JSON.parse(e.data).topic); }); })`); got != "dishes" {
		t.Errorf("an old id gives %q", got)
	}
}

// serve serves the page and the handler.
func serve(t *testing.T, address string, h http.Handler) (string, *http.Server) {
	t.Helper()
	var listener net.Listener
	var err error
	for end := time.Now().Add(patience); ; { // the address may be busy for a moment after the first server
		if listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp", address); err == nil || time.Now().After(end) {
			break
		}
		<-time.After(20 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/changes", h)
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write(pageHTML)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().String(), server
}
