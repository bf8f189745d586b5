package gateway

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/goswale/swale/bus"
)

// routes are Routemaster's, with both spellings where its clients differ, and
// those of CloudEvents.
func (g *Gateway) routes() {
	g.mux = http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /topics":                       g.as(g.listTopics, rootToo),
		"POST /topics/{topic}":              g.as(g.push, clientsOnly),
		"DELETE /topics/{topic}":            g.as(g.removeTopic, rootToo),
		"DELETE /topic/{topic}":             g.as(g.removeTopic, rootToo),
		"POST /subscription":                g.as(g.subscribe, clientsOnly),
		"POST /subscriber":                  g.as(g.subscribe, clientsOnly),
		"GET /subscriptions":                g.as(g.listSubscriptions, rootToo),
		"GET /subscribers":                  g.as(g.listSubscriptions, rootToo),
		"DELETE /subscriber":                g.as(g.unsubscribe, clientsOnly),
		"DELETE /subscriber/topics/{topic}": g.as(g.unsubscribeTopic, clientsOnly),
		"GET /api_tokens":                   g.as(g.listTokens, rootOnly),
		"POST /api_tokens":                  g.as(g.addToken, rootOnly),
		"DELETE /api_tokens/{token}":        g.as(g.removeToken, rootOnly),
		"GET /pulse":                        g.as(g.pulse, rootToo),
		"GET /pulse/scaling":                g.as(g.scaling, rootToo),
		"GET /health/ping":                  ping,
		"GET /health/ping.json":             ping,
		"POST /events/{topic}":              g.as(g.receive, clientsOnly),
		"OPTIONS /events/{topic}":           g.handshake,
	} {
		g.mux.Handle(pattern, g.guarded(h))
	}
}

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.mux.ServeHTTP(w, r) }

// handler answers a request, or returns why it didn't.
type handler func(w http.ResponseWriter, r *http.Request) error

// statusError is an error that says its status; its text is for the client.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }

func bad(text string) error { return &statusError{http.StatusBadRequest, text} }

// guarded bounds what a client may send and how long it may take, and turns
// errors into answers.
func (g *Gateway) guarded(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, g.opts.MaxBody)
		// Servers that can't set deadlines have their own.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(g.opts.ReadTimeout))
		if err := h(w, r); err != nil {
			g.fail(w, r, err)
		}
	})
}

func (g *Gateway) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, text := http.StatusServiceUnavailable, "the gateway can't do this now"
	var s *statusError
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &s):
		status, text = s.status, s.text
	case errors.As(err, &large):
		status, text = http.StatusRequestEntityTooLarge, "the body is too large"
	case errors.Is(err, bus.ErrTooLarge):
		status, text = http.StatusRequestEntityTooLarge, "the event is too large for the bus"
	default:
		g.log.Warn("request failed", "method", r.Method, "route", r.Pattern, "error", err)
		w.Header().Set("Retry-After", "1")
	}
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="Routemaster"`)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // the client may be gone
}

// client is who makes a request: a token's owner, or root.
type client struct {
	Token
	root bool
}

// audience says who may do something.
type audience int

const (
	clientsOnly audience = iota
	rootToo
	rootOnly
)

// as has a handler called with who asks, if that one may.
func (g *Gateway) as(h func(http.ResponseWriter, *http.Request, client) error, who audience) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		c, err := g.authenticate(r)
		if err != nil {
			return err
		}
		if c.root && who == clientsOnly || !c.root && who == rootOnly {
			return &statusError{http.StatusUnauthorized, "this token may not do that"}
		}
		return h(w, r, c)
	}
}

// authenticate takes the token from the user name of HTTP Basic, whose password
// is ignored, or from a bearer token.
func (g *Gateway) authenticate(r *http.Request) (client, error) {
	token, _, ok := r.BasicAuth()
	if !ok {
		scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if strings.EqualFold(scheme, "Bearer") {
			token = strings.TrimSpace(rest)
		}
	}
	if token == "" {
		return client{}, &statusError{http.StatusUnauthorized, "a token is needed as the user name of HTTP Basic"}
	}
	hash := g.secrets.hash(token)
	if g.root != "" && subtle.ConstantTimeCompare([]byte(hash), []byte(g.root)) == 1 {
		return client{root: true}, nil
	}
	t, err := g.store.TokenByHash(r.Context(), hash)
	if errors.Is(err, fs.ErrNotExist) {
		return client{}, &statusError{http.StatusUnauthorized, "the token isn't known"}
	}
	return client{Token: t}, err
}

// authorize asks Options.Authorize.
func (g *Gateway) authorize(r *http.Request, c client, action Action, topic string) error {
	if g.opts.Authorize == nil {
		return nil
	}
	if err := g.opts.Authorize(r.Context(), c.Token, action, topic); err != nil {
		g.log.Info("not authorized", "client", c.ID, "action", action, "topic", topic, "error", err)
		return &statusError{http.StatusForbidden, "this client may not " + string(action) + " " + topic}
	}
	return nil
}

// readJSON reads a body that must be one JSON object.
func readJSON(r *http.Request, into any) error {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return err
		}
		return bad("the body ended early")
	}
	if err := json.Unmarshal(data, into); err != nil {
		return bad("misformated JSON: " + err.Error())
	}
	return nil
}

func writeJSON(w http.ResponseWriter, status int, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data) // the client may be gone
	return nil
}

func noContent(w http.ResponseWriter) error {
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// pulse says whether the gateway could take an event.
func (g *Gateway) pulse(w http.ResponseWriter, r *http.Request, _ client) error {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := g.store.Ping(ctx); err != nil {
		g.log.Warn("no pulse", "error", err)
		return &statusError{http.StatusInternalServerError, "the store can't be used"}
	}
	return noContent(w)
}

// scaling takes a second when many events are queued.
func (g *Gateway) scaling(w http.ResponseWriter, r *http.Request, _ client) error {
	subs, err := g.store.Subscriptions(r.Context())
	if err != nil {
		return err
	}
	queued := 0
	for _, s := range subs {
		n, _ := g.queued(r.Context(), &s)
		queued += n
	}
	if queued >= g.opts.ScalingBacklog {
		timer := time.NewTimer(time.Second)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
	}
	return noContent(w)
}

func ping(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, map[string]string{"pong": time.Now().UTC().Format("2006-01-02 15:04:05 -0700")})
}

// readStrict is readJSON that refuses members it doesn't know.
func readStrict(r *http.Request, into any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return err
	case err != nil:
		return bad("bad data in payload: " + err.Error())
	case dec.More():
		return bad("bad data in payload: something follows the object")
	}
	return nil
}
