package resn

import (
	"container/list"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// RefreshOptions has a [Client] fetch what changed at once instead of when it is
// next read. The zero value is useful.
type RefreshOptions struct {
	// Topics says which topics' resources are fetched. Default all.
	Topics func(topic string) bool

	// Jitter is the longest wait between a notice and the fetch: of so long a
	// random part, so that not every reader asks at the same moment. Default
	// 100 ms; negative is none.
	Jitter time.Duration

	// Parallel bounds the fetches under way. Default 4.
	Parallel int

	// MaxHeld bounds the resources that are kept account of; the one that was
	// noted first gives way, and is then fetched when it is next read. Default
	// 10000.
	MaxHeld int

	// Timeout bounds one fetch. Default 30 s.
	Timeout time.Duration
}

// RefreshStats says what refreshing at once has done. Held is what is; the rest
// only grows.
type RefreshStats struct {
	Held      int    // resources that a notice has fetched
	Notices   uint64 // that named one of them
	Coalesced uint64 // of those, answered by a fetch that was due already
	Fetched   uint64 // representations
	Failed    uint64 // fetches
	Dropped   uint64 // resources not kept account of any more, because of MaxHeld
}

// maxHeldVariants bounds the representations of one resource that are fetched.
const maxHeldVariants = 16

// refresher knows what was asked for, by sitting behind the cache, and asks again
// when a notice comes.
type refresher struct {
	next   http.RoundTripper
	client *Client
	opts   RefreshOptions
	room   chan struct{}

	mu    sync.Mutex
	held  map[string]*heldResource // by origin and path
	order *list.List               // of *heldResource, the first noted first
	stats RefreshStats
}

// heldResource is what was asked for of one resource.
type heldResource struct {
	name     string
	place    *list.Element
	variants map[string]heldVariant
	due      bool // a fetch will begin
	running  bool // a fetch is under way
}

// heldVariant is a request as a reader makes it.
type heldVariant struct {
	url    string
	header http.Header
}

// key tells representations apart, as the cache does.
func (v *heldVariant) key(vary []string) string {
	var b strings.Builder
	b.WriteString(v.url)
	for _, line := range append([]string{"Authorization"}, vary...) {
		for name := range strings.SplitSeq(line, ",") {
			b.WriteByte(0)
			b.WriteString(strings.Join(v.header.Values(strings.TrimSpace(name)), ","))
		}
	}
	return b.String()
}

func newRefresher(next http.RoundTripper, c *Client, opts RefreshOptions) *refresher {
	if opts.Jitter == 0 {
		opts.Jitter = 100 * time.Millisecond
	}
	opts.Parallel = positive(opts.Parallel, 4)
	opts.MaxHeld = positive(opts.MaxHeld, 10000)
	opts.Timeout = positive(opts.Timeout, 30*time.Second)
	return &refresher{
		next: next, client: c, opts: opts, room: make(chan struct{}, opts.Parallel),
		held: map[string]*heldResource{}, order: list.New(),
	}
}

// RoundTrip notes which representations the cache is filled with. A hit doesn't
// come here.
func (r *refresher) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.next.RoundTrip(req)
	if err == nil && req.Method == http.MethodGet && req.Header.Get("Range") == "" && named(resp) {
		r.note(req, resp)
	}
	return resp, err
}

// CloseIdleConnections closes those of the transport behind.
func (r *refresher) CloseIdleConnections() {
	if c, ok := r.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// named reports whether a response names a topic.
func named(resp *http.Response) bool {
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNotModified {
		return false
	}
	for _, line := range resp.Header["Cache-Control"] {
		if strings.Contains(line, "resn=") {
			return true
		}
	}
	return false
}

func (r *refresher) note(req *http.Request, resp *http.Response) {
	at, err := parseHref(req.URL.String())
	if err != nil {
		return
	}
	v := heldVariant{url: req.URL.String(), header: req.Header.Clone()}
	for _, name := range []string{"If-None-Match", "If-Modified-Since", "Cache-Control", "Pragma"} {
		v.header.Del(name) // the cache's, or one reader's wish
	}
	key := v.key(resp.Header["Vary"])
	name := at.origin + at.path
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.held[name]
	if h == nil {
		if len(r.held) >= r.opts.MaxHeld {
			if first, ok := r.order.Front().Value.(*heldResource); ok {
				r.forget(first)
				r.stats.Dropped++
			}
		}
		h = &heldResource{name: name, variants: map[string]heldVariant{}}
		h.place = r.order.PushBack(h)
		r.held[name] = h
	}
	if _, ok := h.variants[key]; ok || len(h.variants) < maxHeldVariants {
		h.variants[key] = v
	}
}

// forget drops a resource; r.mu is held.
func (r *refresher) forget(h *heldResource) {
	r.order.Remove(h.place)
	delete(r.held, h.name)
}

// notice has what a notice names fetched. It is called from the listener, after
// the cache was told, and doesn't wait.
func (r *refresher) notice(e *Event) {
	if e.Type == Noop || r.opts.Topics != nil && !r.opts.Topics(e.Topic) {
		return
	}
	at, err := parseHref(e.Href)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.held[at.origin+at.path]
	switch {
	case h == nil:
		return
	case e.Type == Delete:
		r.forget(h)
		return
	}
	r.stats.Notices++
	if h.due {
		r.stats.Coalesced++
		return
	}
	h.due = true
	if !h.running {
		h.running = true
		r.client.goes(func(ctx context.Context) { r.run(ctx, h) })
	}
}

// run fetches a resource, and again while notices came meanwhile.
func (r *refresher) run(ctx context.Context, h *heldResource) {
	for {
		if r.opts.Jitter > 0 {
			select {
			case <-time.After(rand.N(r.opts.Jitter)):
			case <-ctx.Done():
				return
			}
		}
		select {
		case r.room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		r.mu.Lock()
		h.due = false
		variants := make([]heldVariant, 0, len(h.variants))
		for _, v := range h.variants {
			variants = append(variants, v)
		}
		r.mu.Unlock()
		for _, v := range variants {
			r.fetch(ctx, h, v)
		}
		<-r.room
		r.mu.Lock()
		if !h.due || ctx.Err() != nil {
			h.running = false
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
	}
}

// fetch fetches one representation through the cache, which keeps it.
func (r *refresher) fetch(ctx context.Context, h *heldResource, v heldVariant) {
	ctx, cancel := context.WithTimeout(WithTimeout(ctx, r.opts.Timeout), r.opts.Timeout)
	defer cancel()
	status, err := r.read(ctx, v)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil || status >= http.StatusInternalServerError:
		r.stats.Failed++
	case status >= http.StatusBadRequest:
		r.stats.Failed++
		if r.held[h.name] == h {
			r.forget(h) // gone, or not for whoever asked any more
		}
	default:
		r.stats.Fetched++
	}
}

func (r *refresher) read(ctx context.Context, v heldVariant) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.url, http.NoBody)
	if err != nil {
		return 0, err
	}
	req.Header = v.header.Clone()
	resp, err := r.client.cache.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// snapshot returns the counts.
func (r *refresher) snapshot() RefreshStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Held = len(r.held)
	return s
}
