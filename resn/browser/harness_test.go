package browser_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
	"github.com/goswale/swale/resn/browser"
)

// patience bounds a wait for what must happen in the end, also on a machine that
// has much else to do.
const patience = 2 * time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a handler with what it stands on. It works inside of a synctest bubble.
type rig struct {
	t      *testing.T
	broker *membus.Broker
	faults *membus.Faults
	bus    *bus.Bus // the handler's
	owners *bus.Bus // the owner's, without faults
	h      *browser.Handler
	seq    uint64
	epoch  string
}

func newRig(t *testing.T, opts *browser.Options, topics ...string) *rig {
	t.Helper()
	r := &rig{t: t, broker: membus.NewBroker(), faults: &membus.Faults{}, epoch: "e1"}
	r.bus = r.broker.Connect(&membus.Options{Faults: r.faults})
	r.owners = r.broker.Connect(nil)
	if len(topics) == 0 {
		topics = []string{"dishes"}
	}
	r.h = r.open(r.bus, opts, topics...)
	t.Cleanup(func() {
		_ = r.bus.Shutdown(context.Background())
		_ = r.owners.Shutdown(context.Background())
	})
	return r
}

func (r *rig) open(b *bus.Bus, opts *browser.Options, topics ...string) *browser.Handler {
	r.t.Helper()
	h, err := browser.Open(r.t.Context(), b, topics, opts)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { r.shut(h) })
	return h
}

func (r *rig) shut(h *browser.Handler) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := h.Shutdown(ctx); err != nil {
		r.t.Errorf("Shutdown: %v", err)
	}
}

func href(n int) string { return fmt.Sprintf("https://api.example/dishes/%d", n) }

// change announces a numbered change of dishes.
func (r *rig) change(n int) {
	r.t.Helper()
	r.seq++
	r.publish("dishes", resn.Event{Topic: "dishes", Type: resn.Update, Href: href(n), Time: time.Now(), Seq: r.seq, Epoch: r.epoch}.CloudEvent("/o"))
}

// plain announces a change without a number.
func (r *rig) plain(topic string, n int) {
	r.t.Helper()
	r.publish(topic, resn.Event{Topic: topic, Type: resn.Update, Href: href(n)}.CloudEvent("/o"))
}

func (r *rig) watermark() {
	r.t.Helper()
	r.publish("dishes", resn.Watermark{Topic: "dishes", Epoch: r.epoch, Seq: r.seq, Time: time.Now()}.CloudEvent("/o"))
}

func (r *rig) publish(topic string, e bus.Event) {
	r.t.Helper()
	if err := r.owners.Publish(r.t.Context(), topic, e); err != nil {
		r.t.Fatal(err)
	}
}

// message is what a page got.
type message struct {
	event, id, data string
}

// String is the event and what it is about.
func (m message) String() string {
	var d struct{ Topic, Href, Type, Reason string }
	_ = json.Unmarshal([]byte(m.data), &d)
	switch m.event {
	case "notice":
		return d.Type + " " + strings.TrimPrefix(d.Href, "https://api.example")
	case "heartbeat":
		return "heartbeat"
	}
	return m.event + " " + d.Topic
}

// page is a browser's side of server-sent events, without a network.
type page struct {
	status int
	header http.Header
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	text  strings.Builder
	sent  int           // bytes of text that were flushed
	stuck chan struct{} // if not nil the page takes nothing until it is closed
	until time.Time     // write deadline
}

// visit opens a page; query is "topic=dishes" and so on.
func visit(h http.Handler, query string, header ...string) *page {
	ctx, cancel := context.WithCancel(context.Background())
	p := &page{header: http.Header{}, cancel: cancel, done: make(chan struct{})}
	req := httptest.NewRequest("GET", "/changes?"+query, http.NoBody).WithContext(ctx)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	go func() {
		defer close(p.done)
		defer cancel()
		h.ServeHTTP(p, req)
	}()
	return p
}

// Header implements http.ResponseWriter.
func (p *page) Header() http.Header { return p.header }

// WriteHeader implements http.ResponseWriter.
func (p *page) WriteHeader(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.status == 0 {
		p.status = status
	}
}

// Write implements io.Writer: it blocks while the page is stuck.
func (p *page) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	p.mu.Lock()
	stuck, until := p.stuck, p.until
	p.mu.Unlock()
	if stuck != nil {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		select {
		case <-stuck:
		case <-timer.C:
			return 0, os.ErrDeadlineExceeded
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

// FlushError is found by http.ResponseController.
func (p *page) FlushError() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = p.text.Len()
	return nil
}

// SetWriteDeadline is found by http.ResponseController.
func (p *page) SetWriteDeadline(at time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until = at
	return nil
}

// stick has the page take nothing until the returned function is called.
func (p *page) stick() (loose func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := make(chan struct{})
	p.stuck = c
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.stuck = nil
		close(c)
	})
}

// messages returns what has arrived, as a browser parses it.
func (p *page) messages() []message {
	p.mu.Lock()
	text := p.text.String()[:p.sent]
	p.mu.Unlock()
	var all []message
	for block := range strings.SplitSeq(text, "\n\n") {
		var m message
		for line := range strings.SplitSeq(block, "\n") {
			field, value, _ := strings.Cut(line, ": ")
			switch field {
			case "event":
				m.event = value
			case "id":
				m.id = value
			case "data":
				m.data = value
			}
		}
		if m.event != "" {
			all = append(all, m)
		}
	}
	return all
}

// got returns the messages as text, without heartbeats.
func (p *page) got() []string {
	texts := []string{}
	for _, m := range p.messages() {
		if m.event != "heartbeat" {
			texts = append(texts, m.String())
		}
	}
	return texts
}

// id is how far the page has come, as a browser remembers it.
func (p *page) id() string {
	id := ""
	for _, m := range p.messages() {
		if m.id != "" {
			id = m.id
		}
	}
	return id
}

// close leaves, and waits until the handler noticed.
func (p *page) close() {
	p.cancel()
	<-p.done
}

// back is the query of a page that comes back.
func back(id string) string { return "topic=dishes&last-event-id=" + url.QueryEscape(id) }

// bubble runs a test in a synctest bubble.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

var errNo = errors.New("no")
