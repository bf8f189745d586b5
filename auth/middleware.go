package auth

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/goswale/swale/hal"
)

// Middleware verifies the token of each request and puts what it says into
// the context, see [FromContext]. A request without a token goes on without
// claims: [Verifier.Require] and [Verifier.Mux] are what lets nobody in. A
// token that isn't valid is refused here, whatever the route.
//
// Tokens come in one Authorization field with the scheme Bearer (RFC 6750
// section 2.1) and nowhere else: not in a query, which ends in logs, and not
// in a form.
//
// It panics without a handler.
func (v *Verifier) Middleware(next http.Handler) http.Handler {
	if next == nil {
		panic("auth: Verifier.Middleware: the handler is nil") //nolint:forbidigo // programmer error
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := bearer(r.Header)
		if err != nil {
			v.refuse(w, r, err)
			return
		}
		if token == "" {
			if _, there := FromContext(r.Context()); there {
				// Whatever has put claims there hasn't verified them for us.
				r = r.WithContext(WithClaims(r.Context(), nil))
			}
			next.ServeHTTP(w, r)
			return
		}
		claims, err := v.Verify(r.Context(), token)
		if err != nil {
			v.refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(WithClaims(r.Context(), claims)))
	})
}

// Require returns a middleware that lets through what the policy allows. It
// stands inside of [Verifier.Middleware].
func (v *Verifier) Require(p Policy) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, _ := FromContext(r.Context())
			if err := p.judge(r.Context(), v, c); err != nil {
				v.refuse(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// Mux is a [http.ServeMux] whose every route names its policy: a route that
// nobody thought about can't be reached. Make one with [Verifier.Mux].
type Mux struct {
	verifier *Verifier
	routes   *http.ServeMux
	handler  http.Handler
}

// Mux returns an empty Mux, with [Verifier.Middleware] in front.
func (v *Verifier) Mux() *Mux {
	m := &Mux{verifier: v, routes: http.NewServeMux()}
	m.handler = v.Middleware(m.routes)
	return m
}

// Handle registers a handler for a pattern of [http.ServeMux]. Like it, it
// panics if the pattern is malformed or conflicts, and without a handler.
func (m *Mux) Handle(pattern string, p Policy, h http.Handler) {
	if h == nil {
		panic(fmt.Sprintf("auth: Mux.Handle: the handler of %q is nil", pattern)) //nolint:forbidigo // programmer error
	}
	m.routes.Handle(pattern, m.verifier.Require(p)(h))
}

// ServeHTTP implements [http.Handler].
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, r) }

var errAuthorization = errors.New("auth: the Authorization field is malformed")

// bearer returns the token of a request, or nothing if it has none. Another
// scheme is no token; two fields are an attempt to have two readers see two
// things.
func bearer(h http.Header) (string, error) {
	lines := h["Authorization"]
	switch len(lines) {
	case 0:
		return "", nil
	case 1:
	default:
		return "", fmt.Errorf("%w: it is there %d times", errAuthorization, len(lines))
	}
	scheme, token, _ := strings.Cut(lines[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", nil
	}
	token = strings.TrimLeft(token, " ")
	if token == "" {
		return "", fmt.Errorf("%w: no token follows Bearer", errAuthorization)
	}
	// b64token (RFC 6750 section 2.1); a comma would be a second credential.
	for i := range len(token) {
		switch c := token[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~+/=", c) >= 0:
		default:
			return "", fmt.Errorf("%w: the token has characters that a token can't have", errAuthorization)
		}
	}
	return token, nil
}

// refuse answers a request that may not go on. The answer says what is missing
// and nothing else; what was wrong with a token is for the log.
func (v *Verifier) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var l *lack
	p := &hal.Problem{Err: err}
	challenge := "Bearer"
	switch {
	case errors.Is(err, errNoToken):
		p.Status, p.Detail = http.StatusUnauthorized, "A token is needed."
	case errors.Is(err, errAuthorization):
		p.Status, p.Detail = http.StatusBadRequest, "The Authorization field is malformed: one token is expected, after Bearer."
		challenge += ` error="invalid_request"`
	case errors.As(err, &l):
		p.Status, p.Detail = http.StatusForbidden, "The token lacks "+l.text+"."
		challenge += ` error="insufficient_scope"`
		if len(l.scopes) > 0 {
			challenge += `, scope="` + strings.Join(l.scopes, " ") + `"`
		}
	case errors.Is(err, ErrToken):
		p.Status, p.Detail = http.StatusUnauthorized, "The token is not valid, or not valid any more. Get another one."
		challenge += ` error="invalid_token"`
	default:
		v.counts.closed.Add(1)
		p.Status, p.Detail = http.StatusServiceUnavailable, "Tokens can't be judged at the moment. Try again."
		w.Header().Set("Retry-After", "1")
		challenge = ""
	}
	v.opts.Logger.InfoContext(r.Context(), "request refused", "status", p.Status, "method", r.Method, "path", r.URL.Path, "error", err)
	if challenge != "" {
		w.Header().Set("Www-Authenticate", challenge)
	}
	w.Header().Set("Cache-Control", "no-store")
	hal.WriteProblem(w, r, p)
}
