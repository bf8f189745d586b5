package browser

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/resn"
)

// Options configure a Handler. The zero value, and nil, are useful.
type Options struct {
	// Authorize says whether whoever makes the request may hear of a topic; an
	// error refuses the whole request. Default: everybody may hear of every topic
	// that was given to Open.
	Authorize func(r *http.Request, topic string) error
	// Visible says whether the page may be told of this notice. It is called from
	// the request's goroutine, for each notice and page. Default: it may.
	Visible func(r *http.Request, n resn.Event) bool
	// Origins are sites other than the server's own whose pages may connect:
	// "https://app.example.com", or with path.Match's wildcards in the host,
	// "https://*.example.com". Default: none.
	Origins []string

	// Replay is how many notices of each topic are kept for those who come back.
	// Default 4096.
	Replay int
	// ResumeWait is how long a page that comes back waits for the topic's next
	// message, where only that tells how far the topic is. Then it is reset.
	// Default 2 s.
	ResumeWait time.Duration
	// Lease is how long a watermark's word holds, as in resn.ListenerOptions.
	// Default 2 s.
	Lease time.Duration
	// Heartbeat is the time between heartbeats. Default 15 s.
	Heartbeat time.Duration
	// WriteTimeout is how long a page may take nothing before it is disconnected.
	// Default 10 s.
	WriteTimeout time.Duration
	// MaxAge is how long a connection lasts. Default 1 h; negative is for ever.
	MaxAge time.Duration

	// MaxConnections bounds the connections. Default 10,000.
	MaxConnections int
	// MaxPerClient bounds the connections of one client, as ClientOf tells them
	// apart. Default 100; negative doesn't.
	MaxPerClient int
	// ClientOf names the client that makes a request. Default: its address, which
	// behind a proxy is the proxy's.
	ClientOf func(r *http.Request) string
	// Logger hears of loss and of what can't be read. Default: nothing is logged.
	Logger *slog.Logger
}

func (o *Options) fill() {
	or(&o.Replay, 4096)
	or(&o.ResumeWait, 2*time.Second)
	or(&o.Lease, resn.DefaultLease)
	or(&o.Heartbeat, 15*time.Second)
	or(&o.WriteTimeout, 10*time.Second)
	or(&o.MaxAge, time.Hour)
	or(&o.MaxConnections, 10_000)
	or(&o.MaxPerClient, 100)
	or(&o.Logger, slog.New(slog.DiscardHandler))
	if o.Authorize == nil {
		o.Authorize = func(*http.Request, string) error { return nil }
	}
	if o.Visible == nil {
		o.Visible = func(*http.Request, resn.Event) bool { return true }
	}
	if o.ClientOf == nil {
		o.ClientOf = address
	}
}

// or gives an option that is zero its default.
func or[T comparable](option *T, value T) {
	var zero T
	if *option == zero {
		*option = value
	}
}

func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// Handler serves the changes of its topics to web pages. It is safe for
// concurrent use.
type Handler struct {
	opts   Options
	topics map[string]*topic
	subs   []*bus.Subscription
	// life ends with Shutdown.
	life context.Context //nolint:containedctx // the handler's own
	end  context.CancelFunc

	mu        sync.Mutex
	serving   sync.WaitGroup
	closed    bool
	total     int
	perClient map[string]int

	stats counters
}

// Stats are counts since the Handler was opened, and what is open now.
type Stats struct {
	Connections int    // open now
	Refused     uint64 // requests beyond the limits
	Notices     uint64 // handed to pages
	Coalesced   uint64 // not handed on, because a later one of the same href was
	Resets      uint64 // handed to pages
	Dropped     uint64 // connections that took nothing for WriteTimeout, or broke
}

type counters struct{ refused, notices, coalesced, resets, dropped atomic.Uint64 }

// Open subscribes to the topics and returns a Handler for them. ctx bounds only
// the subscribing. End it with Shutdown, before the bus.
func Open(ctx context.Context, b *bus.Bus, topics []string, opts *Options) (*Handler, error) {
	h := &Handler{topics: make(map[string]*topic, len(topics)), perClient: map[string]int{}}
	if opts != nil {
		h.opts = *opts
	}
	h.opts.fill()
	h.life, h.end = context.WithCancel(context.Background())
	if len(topics) == 0 {
		return nil, errors.New("browser: no topics were given; pages could hear of nothing")
	}
	here := rand.Text()
	for _, name := range topics {
		if h.topics[name] != nil {
			continue
		}
		t := newTopic(name, here, &h.opts)
		sub, err := b.Broadcast(ctx, name, bus.BroadcastHandler{Event: t.event, State: t.connection}, &bus.BroadcastOptions{OnInvalid: t.bare})
		if err != nil {
			t.stop()
			_ = h.Shutdown(ctx)
			return nil, fmt.Errorf("browser: %w", err)
		}
		h.topics[name] = t
		h.subs = append(h.subs, sub)
	}
	return h, nil
}

// Shutdown ends every connection and every subscription, and returns when the
// last of them has ended. Pages come back by themselves, and resume at another
// server or at this one's successor. An http.Server doesn't end connections that
// last, so call it before, or from RegisterOnShutdown. It may be called twice.
func (h *Handler) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.end()
	errs := make([]error, 0, len(h.subs)+1)
	for _, s := range h.subs {
		errs = append(errs, s.Close(ctx))
	}
	for _, t := range h.topics {
		t.stop()
	}
	gone := make(chan struct{})
	go func() {
		h.serving.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-ctx.Done():
		errs = append(errs, ctx.Err())
	}
	return errors.Join(errs...)
}

// Stats returns the counts of the moment.
func (h *Handler) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := &h.stats
	return Stats{
		Connections: h.total, Refused: c.refused.Load(), Notices: c.notices.Load(),
		Coalesced: c.coalesced.Load(), Resets: c.resets.Load(), Dropped: c.dropped.Load(),
	}
}

// maxTopics bounds the topics of one connection.
const maxTopics = 64

// ServeHTTP serves one page: by WebSocket if it asks for an upgrade, else by
// server-sent events. The parameter topic says what it wants to hear of, as
// often as there are topics.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", "GET")
		http.Error(w, "changes are read by GET", http.StatusMethodNotAllowed)
		return
	}
	if !h.origin(r) {
		http.Error(w, "pages of this origin may not connect", http.StatusForbidden)
		return
	}
	p, status, text := h.page(r)
	if status != 0 {
		http.Error(w, text, status)
		return
	}
	leave, status := h.admit(h.opts.ClientOf(r))
	if status != 0 {
		h.stats.refused.Add(1)
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many connections", status)
		return
	}
	defer leave()
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		h.webSocket(w, r, p)
	} else {
		h.serverSent(w, r, p)
	}
}

// page reads what a request asks for.
func (h *Handler) page(r *http.Request) (p *page, status int, text string) {
	query := r.URL.Query()
	names := slices.Compact(slices.Sorted(slices.Values(query["topic"])))
	if len(names) == 0 || len(names) > maxTopics {
		return nil, http.StatusBadRequest, fmt.Sprintf("1 to %d topics can be asked for by the parameter topic", maxTopics)
	}
	id := r.Header.Get("Last-Event-ID")
	if given := query.Get("last-event-id"); id == "" {
		id = given
	}
	came := parsePositions(id)
	p = &page{h: h, r: r, wake: make(chan struct{}, 1)}
	for _, name := range names {
		t := h.topics[name]
		if t == nil {
			return nil, http.StatusNotFound, "no such topic: " + clip(name)
		}
		if err := h.opts.Authorize(r, name); err != nil {
			return nil, http.StatusForbidden, "this topic may not be heard: " + clip(name)
		}
		v := &view{topic: t}
		if at, ok := came[name]; ok {
			v.came = &at
		} else if id != "" {
			// It comes back, and not from here: how far it was nobody knows.
			v.came = &position{}
		}
		p.views = append(p.views, v)
	}
	return p, 0, ""
}

// origin reports whether the request's page is one of ours. Browsers send Origin
// with every WebSocket and with whatever crosses sites.
func (h *Handler) origin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	return strings.EqualFold(u.Host, r.Host) || h.listed(u)
}

func (h *Handler) listed(u *url.URL) bool {
	for _, allowed := range h.opts.Origins {
		scheme, host, _ := strings.Cut(strings.ToLower(allowed), "://")
		if ok, err := path.Match(host, strings.ToLower(u.Host)); err == nil && ok && strings.EqualFold(u.Scheme, scheme) {
			return true
		}
	}
	return false
}

// admit counts a connection in, or says with which status it is refused.
func (h *Handler) admit(client string) (leave func(), status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed, h.total >= h.opts.MaxConnections:
		return nil, http.StatusServiceUnavailable
	case h.opts.MaxPerClient > 0 && h.perClient[client] >= h.opts.MaxPerClient:
		return nil, http.StatusTooManyRequests
	}
	h.total++
	h.perClient[client]++
	h.serving.Add(1)
	return func() {
		h.mu.Lock()
		h.total--
		if h.perClient[client]--; h.perClient[client] == 0 {
			delete(h.perClient, client)
		}
		h.mu.Unlock()
		h.serving.Done()
	}, 0
}

// clip keeps what others sent out of the length of answers.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
