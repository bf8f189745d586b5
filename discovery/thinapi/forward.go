package thinapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goswale/swale/discovery/rules"
)

// forward sends the request to where the rule routes it.
func (x *exchange) forward(w http.ResponseWriter, r *http.Request, route *rules.Route) {
	h := x.h
	if h.opts.MaxBody >= 0 && r.ContentLength > h.opts.MaxBody {
		x.problem(w, r, http.StatusRequestEntityTooLarge, "The body is larger than is served here.")
		return
	}
	timeout := h.opts.Timeout
	if streams(r) {
		timeout = h.opts.StreamTimeout
	}
	if route.Timeout > 0 {
		timeout = time.Duration(route.Timeout)
	}
	ctx := rules.NewContext(r.Context(), &x.asked)
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, exchangeKey{}, x), timeout)
	defer cancel()
	shadow := x.verdict.Rule(rules.Shadowing)
	in := *r
	in.Header = x.header
	if r.Body != nil && r.Body != http.NoBody {
		x.body = &body{ReadCloser: r.Body, left: h.opts.MaxBody, limited: h.opts.MaxBody >= 0}
		if shadow != nil {
			x.body.keep = maxShadowBody(shadow.Shadow)
		}
		in.Body = x.body
	}
	x.proto = "http"
	if r.TLS != nil {
		x.proto = "https"
	}
	if x.length = r.ContentLength; shadow != nil {
		defer x.shadow(shadow)
	}
	h.proxy.ServeHTTP(w, in.WithContext(ctx))
}

// onward is the transport as the proxy sees it.
type onward struct{ h *Handler }

// RoundTrip has the answer name its request, which not every transport does.
func (o onward) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := o.h.transport.RoundTrip(r)
	if resp != nil {
		resp.Request = r
	}
	return resp, err
}

// rewrite makes the request that goes to the backend. Hop-by-hop and
// forwarding fields are gone by now.
func (h *Handler) rewrite(pr *httputil.ProxyRequest) {
	x := exchangeOf(pr.In.Context())
	out := pr.Out
	route := x.verdict.Rule(rules.Answer).Route
	x.aim(out, route.Service, route.URL)
	if path := x.verdict.Path(&x.asked); path != x.asked.Path {
		setPath(out.URL, path)
	}
	x.introduce(out.Header)
	out.Trailer = nil
	if out.Header["Upgrade"] != nil && (!h.opts.WebSocket || !strings.EqualFold(out.Header.Get("Upgrade"), "websocket")) {
		delete(out.Header, "Upgrade")
		delete(out.Header, "Connection")
	}
}

// aim points a request at a service or an origin.
func (x *exchange) aim(out *http.Request, service, origin string) {
	out.URL.Scheme, out.URL.Host, out.Host = "http", service, service
	if origin != "" {
		scheme, host, _ := strings.Cut(strings.TrimSuffix(origin, "/"), "://")
		out.URL.Scheme, out.URL.Host, out.Host = strings.ToLower(scheme), host, host
	}
}

// introduce says to the backend for whom the request is.
func (x *exchange) introduce(header http.Header) {
	remote := "unknown"
	if x.peer.remote.IsValid() {
		remote = x.peer.remote.String()
	}
	chain, host, proto := remote, x.asked.Host, x.proto
	if x.peer.fromProxy {
		if before := strings.Join(x.header["X-Forwarded-For"], ", "); before != "" {
			chain = before + ", " + remote
		}
		if said := x.header.Get("X-Forwarded-Host"); said != "" {
			host = said
		}
		if said := x.header.Get("X-Forwarded-Proto"); said == "http" || said == "https" {
			proto = said
		}
	}
	header["X-Forwarded-For"] = []string{chain}
	header["X-Forwarded-Host"] = []string{host}
	header["X-Forwarded-Proto"] = []string{proto}
}

// setPath sets a path that is escaped already.
func setPath(u *url.URL, escaped string) {
	plain, err := url.PathUnescape(escaped)
	if err != nil {
		plain = escaped
	}
	u.Path, u.RawPath = plain, escaped
}

// answered adds to a backend's answer what the door has to say.
func (h *Handler) answered(resp *http.Response) error {
	x := exchangeOf(resp.Request.Context())
	delete(resp.Header, h.opts.RequestID) // it is set already
	x.mark(resp.Header, x.header.Get("Origin"))
	x.count.done(resp.StatusCode, time.Since(x.began))
	return nil
}

// failed answers when no backend did.
func (h *Handler) failed(w http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r.Context())
	switch {
	case x.body != nil && x.body.over.Load():
		w.Header().Set("Connection", "close")
		x.problem(w, r, http.StatusRequestEntityTooLarge, "The body is larger than is served here.")
	case errors.Is(r.Context().Err(), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded):
		h.counters.late.Add(1)
		x.problem(w, r, http.StatusGatewayTimeout, "The answer didn't come in time.")
	case errors.Is(err, context.Canceled):
		h.counters.gone.Add(1)
		x.problem(w, r, http.StatusBadGateway, "The request was given up.")
	default:
		h.opts.Logger.WarnContext(r.Context(), "thinapi: no answer", "rule", x.verdict.Rule(rules.Answer).ID, "request", x.asked.ID, "error", err)
		x.problem(w, r, http.StatusBadGateway, "The service can't be reached.")
	}
}

// body is a request's body on its way to the backend: it ends over the limit,
// and keeps a copy for a shadow as long as that is small.
type body struct {
	io.ReadCloser
	limited bool
	left    int64
	over    atomic.Bool

	keep int64 // at most, 0 for no copy
	mu   sync.Mutex
	copy []byte
	lost bool // more came than is kept
	end  bool
}

// Read passes on what was read.
func (b *body) Read(p []byte) (int, error) {
	if b.limited && int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.limited {
		if b.left -= int64(n); b.left < 0 {
			b.over.Store(true)
			return 0, errTooLarge
		}
	}
	if b.keep > 0 {
		b.note(p[:n], err)
	}
	return n, err
}

func (b *body) note(p []byte, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if int64(len(b.copy)+len(p)) > b.keep {
		b.copy, b.lost = nil, true
	}
	if !b.lost {
		b.copy = append(b.copy, p...)
	}
	b.end = b.end || errors.Is(err, io.EOF)
}

// whole returns the copy, if all of the body is in it. A body whose length is
// known may end without anybody having read its end.
func (b *body) whole(length int64) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.copy, !b.lost && (b.end || length == int64(len(b.copy)))
}

// buffers lends what answers are copied through.
type buffers struct{ pool sync.Pool }

// Get returns a buffer of 32 KiB.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

// Put takes it back.
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
