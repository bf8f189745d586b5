package thinapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/rules"
	"github.com/goswale/swale/discovery/rules/throttle"
)

// Handler is the door. It is safe for concurrent use.
type Handler struct {
	opts       Options
	transport  http.RoundTripper
	proxy      *httputil.ReverseProxy
	forwarding []string
	state      atomic.Pointer[state]

	loading  sync.Mutex // one Load at a time
	counters counters
	shadows  shadows
}

// state is the rules that are in use.
type state struct {
	engine  *rules.Engine
	proxied []string // header fields that only proxies are believed about
	counts  map[*rules.Rule]*counter
	splits  map[*rules.Rule]*discovery.Split
	status  Status
}

// New returns a handler that forwards through transport, nil for
// http.DefaultTransport. It begins with the rules in Options.LastGood, if that
// file is there and whole; Status says what came of it. Call Close in the end.
func New(transport http.RoundTripper, opts *Options) (*Handler, error) {
	h := &Handler{transport: transport, forwarding: forwarding()}
	if opts != nil {
		h.opts = *opts
	}
	if err := h.opts.defaults(); err != nil {
		return nil, err
	}
	if h.transport == nil {
		h.transport = http.DefaultTransport
	}
	h.shadows.open(h.opts.MaxShadows)
	h.proxy = &httputil.ReverseProxy{
		Rewrite: h.rewrite, ModifyResponse: h.answered, ErrorHandler: h.failed,
		Transport: onward{h}, BufferPool: &buffers{},
		ErrorLog: slog.NewLogLogger(h.opts.Logger.Handler(), slog.LevelWarn),
	}
	h.state.Store(&state{})
	h.restore()
	return h, nil
}

// Close waits for shadows under way, as long as ctx allows; then it ends them.
// It may be called twice. Requests served afterwards have no shadows.
func (h *Handler) Close(ctx context.Context) error { return h.shadows.close(ctx) }

// Engine returns the rules in use, nil if there are none: for a
// rulespage.Page.
func (h *Handler) Engine() *rules.Engine { return h.state.Load().engine }

// exchange is one request under way.
type exchange struct {
	h       *Handler
	state   *state
	asked   rules.Request
	peer    peer
	verdict rules.Decision
	header  http.Header // cleaned
	proto   string
	body    *body
	count   *counter // of the rule that answers
	began   time.Time
	length  int64 // of the request's body, -1 if unknown
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// ServeHTTP does with a request what the rules say.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	st := h.state.Load()
	p := h.peerOf(r)
	x := &exchange{h: h, state: st, peer: p, began: time.Now()}
	x.asked.ID = h.requestID(r, p)
	w.Header()[h.opts.RequestID] = []string{x.asked.ID}
	if no := h.guard(r); no != nil {
		h.counters.refused.Add(1)
		x.problem(w, r, no.status, no.detail)
		return
	}
	if h.opts.CORS != nil && h.opts.CORS.preflight(w, r) {
		return
	}
	if st.engine == nil {
		w.Header().Set("Retry-After", "1")
		x.problem(w, r, http.StatusServiceUnavailable, "There are no rules yet.")
		return
	}
	x.decide(r)
	if x.throttled(w, r) {
		return
	}
	rule := x.verdict.Rule(rules.Answer)
	if rule == nil {
		h.counters.unmatched.Add(1)
		x.problem(w, r, http.StatusNotFound, "Nothing is served at this path.")
		return
	}
	x.count = st.counts[rule]
	if rule.Respond != nil {
		x.respond(w, r, rule.Respond)
		return
	}
	x.forward(w, r, rule.Route)
}

// decide asks the rules.
func (x *exchange) decide(r *http.Request) {
	x.header = x.h.cleaned(r, x.peer.fromProxy, x.state.proxied)
	x.header[x.h.opts.RequestID] = []string{x.asked.ID}
	x.asked = rules.Request{
		Method: r.Method, Host: r.Host, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery,
		Header: x.header, Client: x.peer.client, FromProxy: x.peer.fromProxy, ID: x.asked.ID,
	}
	if x.h.opts.Attributes != nil {
		x.asked.Attributes = x.h.opts.Attributes(r)
	}
	x.verdict = x.state.engine.Decide(&x.asked)
}

// throttled takes a token, and answers if there is none. A limiter that can't
// tell lets the request pass.
func (x *exchange) throttled(w http.ResponseWriter, r *http.Request) bool {
	rule := x.verdict.Rule(rules.Throttling)
	if rule == nil {
		return false
	}
	limiter := x.h.opts.Limiter
	if rule.Throttle.Shared {
		limiter = x.h.opts.Shared
	}
	v, err := limiter.Take(r.Context(), x.verdict.ThrottleKey(&x.asked), throttle.Limit{Rate: rule.Throttle.Rate, Burst: rule.Throttle.Burst})
	count := x.state.counts[rule]
	if err != nil {
		count.untold.Add(1)
		x.h.opts.Logger.WarnContext(r.Context(), "thinapi: the limiter can't tell", "rule", rule.ID, "error", err)
		return false
	}
	if v.OK {
		return false
	}
	count.throttled.Add(1)
	w.Header().Set("Retry-After", v.Seconds())
	x.problem(w, r, http.StatusTooManyRequests, "There were too many requests; try again later.")
	return true
}

// respond answers on the spot.
func (x *exchange) respond(w http.ResponseWriter, r *http.Request, a *rules.Respond) {
	header := w.Header()
	x.mark(header, r.Header.Get("Origin"))
	body := []byte(a.Body)
	if a.JSON != nil {
		body = a.JSON
		header.Set("Content-Type", "application/json")
	}
	for name, value := range a.Headers {
		header.Set(name, value)
	}
	if len(body) > 0 && header.Get("Content-Type") == "" {
		header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(a.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
	x.count.done(a.Status, time.Since(x.began))
}

// mark adds to an answer what the door has to say.
func (x *exchange) mark(header http.Header, origin string) {
	if x.h.opts.CORS != nil {
		x.h.opts.CORS.mark(header, origin)
	}
	rule := x.verdict.Rule(rules.Deprecation)
	if rule == nil {
		return
	}
	d := rule.Deprecate
	header.Set("Deprecation", "@"+strconv.FormatInt(d.At.Unix(), 10)) // RFC 9745 section 2.1
	if !d.Sunset.IsZero() {
		header.Set("Sunset", d.Sunset.UTC().Format(http.TimeFormat)) // RFC 8594 section 3
	}
	if d.Link != "" {
		header.Add("Link", "<"+d.Link+`>; rel="deprecation"`) // RFC 9745 section 3
		if !d.Sunset.IsZero() {
			header.Add("Link", "<"+d.Link+`>; rel="sunset"`) // RFC 8594 section 6
		}
	}
	if d.Successor != "" {
		header.Add("Link", "<"+d.Successor+`>; rel="successor-version"`) // RFC 5829 section 3.4
	}
	x.state.counts[rule].deprecated.Add(1)
}

// problem answers with a problem document (RFC 9457).
func (x *exchange) problem(w http.ResponseWriter, r *http.Request, status int, detail string) {
	header := w.Header()
	if x.h.opts.CORS != nil {
		x.h.opts.CORS.mark(header, r.Header.Get("Origin"))
	}
	text, err := json.Marshal(struct {
		Title   string `json:"title"`
		Status  int    `json:"status"`
		Detail  string `json:"detail"`
		Request string `json:"request"`
	}{http.StatusText(status), status, detail, x.asked.ID})
	if err != nil {
		text = []byte(`{}`) // strings and a number can always be written
	}
	header.Set("Content-Type", "application/problem+json")
	header.Set("Content-Length", strconv.Itoa(len(text)))
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	if status == http.StatusMethodNotAllowed {
		header.Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(text)
	}
	if x.count != nil {
		x.count.done(status, time.Since(x.began))
	}
}

// streams reports whether the client asks for something without end.
func streams(r *http.Request) bool {
	return r.Header["Upgrade"] != nil || strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}

var errTooLarge = errors.New("thinapi: the request's body is over the limit")
