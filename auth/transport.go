package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// TransportOptions configures a [Transport]. The zero value, and nil, are
// useful.
type TransportOptions struct {
	// Optional lets requests go on without a token when none can be had.
	// Default: they fail.
	Optional bool
	// Logger hears of tokens that can't be renewed ahead of time. Default:
	// nothing is logged.
	Logger *slog.Logger
	// Clock replaces time.Now. Default time.Now.
	Clock func() time.Time
}

// Transport attaches access tokens to requests to the origins that they are
// for. A request to another origin, wherever a redirect or a link has led,
// goes on as it is and never has a token of this Transport's.
//
// A token is got once for all who wait for it, renewed ahead of its end, and
// dropped when a service answers that it isn't valid (RFC 6750 section 3.1): a
// request that may be repeated is then sent once more with another.
//
// It stands inside of the cache when the identity is the service's own: the
// cache doesn't see the token, and what it stores is for all who ask through
// it. A token of whoever is being served stands outside, see [Partition].
type Transport struct {
	next   http.RoundTripper
	source Source
	opts   TransportOptions
	held   map[string]*held // by origin
}

// held is the token for one audience.
type held struct {
	audience string

	mu      sync.Mutex
	token   Token
	renew   time.Time // when to get the next one
	pending *question // under way
}

// question is a token that is being got.
type question struct {
	done  chan struct{}
	token Token
	err   error
}

// NewTransport returns a Transport in front of next; nil means
// [http.DefaultTransport]. audiences says for each origin, such as
// "https://orders.example" or "http://orders", what the issuer calls it.
func NewTransport(next http.RoundTripper, source Source, audiences map[string]string, opts *TransportOptions) (*Transport, error) {
	if next == nil {
		next = http.DefaultTransport
	}
	t := &Transport{next: next, source: source, held: make(map[string]*held)}
	if opts != nil {
		t.opts = *opts
	}
	if t.opts.Logger == nil {
		t.opts.Logger = slog.New(slog.DiscardHandler)
	}
	if t.opts.Clock == nil {
		t.opts.Clock = time.Now
	}
	byAudience := make(map[string]*held)
	for at, audience := range audiences {
		u, err := url.Parse(at)
		if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Scheme != "https" && u.Scheme != "http" {
			return nil, fmt.Errorf("auth: %q is not an origin: a scheme and a host are needed, and nothing more", at)
		}
		if byAudience[audience] == nil {
			byAudience[audience] = &held{audience: audience}
		}
		t.held[originOf(u)] = byAudience[audience]
	}
	return t, nil
}

// originOf returns an origin in its normal form (RFC 6454 section 4).
func originOf(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	switch scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return scheme + "://" + host
}

// RoundTrip implements [http.RoundTripper]. A request that has an
// Authorization field already keeps it.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	h := t.held[originOf(req.URL)]
	if h == nil || len(req.Header["Authorization"]) > 0 || req.Host != "" && !strings.EqualFold(req.Host, req.URL.Host) && !t.same(req, h) {
		return t.next.RoundTrip(req)
	}
	token, err := t.get(req.Context(), h)
	if err != nil {
		if t.opts.Optional && req.Context().Err() == nil {
			return t.next.RoundTrip(req)
		}
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, fmt.Errorf("auth: token for %s: %w", h.audience, err)
	}
	resp, err := t.next.RoundTrip(withToken(req, token.Access))
	if err != nil || resp.StatusCode != http.StatusUnauthorized || !saysInvalid(resp.Header) {
		return resp, err
	}
	h.drop(token)
	again, ok := repeat(req)
	if !ok {
		return resp, nil
	}
	if token, err = t.get(req.Context(), h); err != nil {
		return resp, nil //nolint:nilerr // the refusal is the answer
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 4096)
	_ = resp.Body.Close()
	return t.next.RoundTrip(withToken(again, token.Access))
}

// same reports whether the host that a request names is of the same audience
// as the one that it is sent to.
func (t *Transport) same(req *http.Request, h *held) bool {
	return t.held[originOf(&url.URL{Scheme: req.URL.Scheme, Host: req.Host})] == h
}

func withToken(req *http.Request, token string) *http.Request {
	r := *req // a RoundTripper doesn't change the request it is given
	r.Header = req.Header.Clone()
	if r.Header == nil {
		r.Header = make(http.Header, 1)
	}
	r.Header["Authorization"] = []string{"Bearer " + token}
	return &r
}

// repeat returns the request to be sent once more. Nothing of it was done: it
// was refused before.
func repeat(req *http.Request) (*http.Request, bool) {
	if req.Body == nil || req.Body == http.NoBody {
		return req, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, false
	}
	r := *req
	r.Body = body
	return &r, true
}

// saysInvalid reports whether an answer says that the token isn't valid,
// rather than that it isn't enough.
func saysInvalid(h http.Header) bool {
	for _, line := range h.Values("Www-Authenticate") {
		if strings.Contains(line, `error="invalid_token"`) {
			return true
		}
	}
	return false
}

// get returns a token that is valid for a while.
func (t *Transport) get(ctx context.Context, h *held) (Token, error) {
	now := t.opts.Clock()
	h.mu.Lock()
	token, usable := h.token, now.Before(h.token.Expires.Add(-slack))
	if usable && now.Before(h.renew) {
		h.mu.Unlock()
		return token, nil
	}
	q := h.pending
	if q == nil {
		q = &question{done: make(chan struct{})}
		h.pending = q
		// Detached: whoever waits may give up, the others go on waiting.
		go t.ask(context.WithoutCancel(ctx), h, q)
	}
	h.mu.Unlock()
	if usable {
		return token, nil // while the next one is on its way
	}
	select {
	case <-q.done:
		return q.token, q.err
	case <-ctx.Done():
		return Token{}, context.Cause(ctx)
	}
}

const (
	// slack is how long before its end a token isn't sent any more.
	slack = 2 * time.Second
	// askLimit bounds one question to the issuer.
	askLimit = 15 * time.Second
)

var errEmpty = errors.New("auth: the source gave an empty token")

func (t *Transport) ask(ctx context.Context, h *held, q *question) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	q.token, q.err = t.source.Token(ctx, h.audience)
	if q.err == nil && q.token.Access == "" {
		q.err = errEmpty
	}
	now := t.opts.Clock()
	h.mu.Lock()
	h.pending = nil
	if q.err == nil {
		h.token = q.token
		h.renew = now.Add(q.token.Expires.Sub(now) * 4 / 5)
	} else if now.Before(h.token.Expires.Add(-slack)) {
		h.renew = now.Add(min(5*time.Second, h.token.Expires.Sub(now)/4)) // not at once again
		t.opts.Logger.WarnContext(ctx, "a token was not renewed ahead of its end", "audience", h.audience, "error", q.err)
	}
	h.mu.Unlock()
	close(q.done)
}

// drop forgets a token, if it is still the one.
func (h *held) drop(token Token) {
	h.mu.Lock()
	if h.token.Access == token.Access {
		h.token, h.renew = Token{}, time.Time{}
	}
	h.mu.Unlock()
}

// CloseIdleConnections closes those of the transport inside.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
