package storefront

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// observer notes where every answer of a page came from, on its way between
// the HAL client and the cache. A cache that keeps decoded values is asked for
// them through it, so that the fast way stays open.
type observer struct {
	next  http.RoundTripper
	typed typedLoader // nil if next keeps no decoded values
}

// typedLoader is what the HAL client asks of a transport that keeps decoded
// values beside what it stores.
type typedLoader interface {
	LoadTyped(ctx context.Context, href string, header http.Header, typ any) (value any, ok bool)
}

func newObserver(next http.RoundTripper) *observer {
	if next == nil {
		next = http.DefaultTransport
	}
	o := &observer{next: next}
	o.typed, _ = next.(typedLoader)
	return o
}

// LoadTyped returns a decoded value that may be reused without asking. It is
// called for every item before anything else is tried, so this is where the
// read of an item begins.
func (o *observer) LoadTyped(ctx context.Context, href string, header http.Header, typ any) (any, bool) {
	notes := notesOf(ctx)
	notes.begin(href)
	if o.typed == nil {
		return nil, false
	}
	value, ok := o.typed.LoadTyped(ctx, href, header, typ)
	if ok {
		notes.end(href, reading{source: Cached, vouched: true})
	}
	return value, ok
}

// RoundTrip sends the request on and notes what became of it.
func (o *observer) RoundTrip(req *http.Request) (*http.Response, error) {
	notes, href := notesOf(req.Context()), req.URL.String()
	notes.begin(href)
	resp, err := o.next.RoundTrip(req)
	switch {
	case err != nil:
		notes.end(href, reading{source: Missing, asked: true})
	case resp.StatusCode >= http.StatusInternalServerError:
		notes.end(href, reading{source: Missing, asked: true})
	default:
		notes.end(href, readStatus(resp.Header))
	}
	return resp, err
}

// CloseIdleConnections closes those of the transport behind.
func (o *observer) CloseIdleConnections() {
	if c, ok := o.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// notes are the readings of one page, by URL. A nil *notes takes none.
type notes struct {
	mu       sync.Mutex
	readings map[string]reading
}

type notesKey struct{}

func withNotes(ctx context.Context, items int) (context.Context, *notes) {
	n := &notes{readings: make(map[string]reading, items+1)}
	return context.WithValue(ctx, notesKey{}, n), n
}

func notesOf(ctx context.Context) *notes {
	n, _ := ctx.Value(notesKey{}).(*notes)
	return n
}

// begin notes when a read began: the first time that its URL is asked for.
func (n *notes) begin(href string) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.readings[href]; !ok {
		n.readings[href] = reading{source: Missing, began: time.Now()}
	}
}

func (n *notes) end(href string, r reading) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	r.began = n.readings[href].began
	n.readings[href] = r
}

func (n *notes) of(href string) (reading, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r, ok := n.readings[href]
	if !ok {
		r.source = Missing
	}
	return r, ok
}

// all returns every reading of the page.
func (n *notes) all() map[string]reading {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.readings
}
