package login

import (
	"errors"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/goswale/swale/auth"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/resn"
)

// HandlerOptions configures [Service.Handler]. The zero value, and nil, are
// useful.
type HandlerOptions struct {
	// Verifier verifies the tokens of administrators, whose audience is the
	// issuer itself. Without one there is no administration over HTTP.
	Verifier *auth.Verifier

	// AdminScope is what administrators need. Default "login:admin".
	AdminScope string

	// ClientAddress tells the address of a client, where proxies that are
	// trusted stand in between. Default that of the connection.
	ClientAddress func(*http.Request) netip.Addr
}

// Handler serves the service over HTTP: OAuth 2.0 endpoints for programs, HAL
// for clients, and pages for people. It is mounted at the root of the issuer's
// origin, or of its path.
func (s *Service) Handler(opts *HandlerOptions) http.Handler {
	h := &handler{Service: s, cross: http.NewCrossOriginProtection()}
	if opts != nil {
		h.opts = *opts
	}
	if h.opts.AdminScope == "" {
		h.opts.AdminScope = "login:admin"
	}
	if h.opts.ClientAddress == nil {
		h.opts.ClientAddress = connection
	}
	mux := http.NewServeMux()
	stamp := resn.Stamp(s.opts.Topic)
	handle := func(pattern string, f hal.Handler) { mux.Handle(pattern, f) }

	mux.Handle("GET /{$}", hal.Handler(h.root))
	mux.Handle("GET "+auth.MetadataPath, stamp(hal.Handler(h.metadata)))
	mux.Handle("GET /.well-known/openid-configuration", stamp(hal.Handler(h.metadata)))
	mux.Handle("GET /jwks.json", stamp(hal.Handler(h.jwks)))
	mux.Handle("GET /grants", stamp(hal.Handler(h.getGrants)))
	handle("POST /token", h.token)
	handle("POST /introspect", h.introspect)
	handle("POST /revoke", h.revoke)

	handle("POST /sessions", h.logIn)
	handle("GET /sessions", h.listSessions)
	handle("DELETE /sessions/{id}", h.deleteSession)
	handle("POST /accounts/{app}", h.register)
	handle("POST /password", h.changePassword)
	handle("POST /password/reset", h.startReset)
	handle("POST /password/reset/finish", h.finishReset)
	h.pages(mux)
	h.admin(mux)

	outer := http.Handler(mux)
	if base, err := url.Parse(s.opts.Issuer); err == nil && base.Path != "" {
		outer = withPath(base.Path, mux)
	}
	return limited(outer)
}

// withPath serves an issuer that has a path: its metadata is at the root of
// the origin with the path behind (RFC 8414 section 3.1), all else below the
// path.
func withPath(path string, mux http.Handler) http.Handler {
	below := http.StripPrefix(path, mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wellKnown, ok := strings.CutSuffix(r.URL.Path, path); ok && strings.HasPrefix(wellKnown, "/.well-known/") {
			r2 := r.Clone(r.Context())
			r2.URL.Path, r2.URL.RawPath = wellKnown, ""
			mux.ServeHTTP(w, r2)
			return
		}
		below.ServeHTTP(w, r)
	})
}

// maxBody bounds a request's body, in bytes.
const maxBody = 64 << 10

// limited bounds what is read, and keeps answers out of caches unless they say
// otherwise.
func limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

type handler struct {
	*Service
	opts  HandlerOptions
	cross *http.CrossOriginProtection // refuses what a browser sends for another site
	views *template.Template
}

func connection(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	a, _ := netip.ParseAddr(host)
	return a
}

func (h *handler) origin(r *http.Request) Origin {
	return Origin{Address: h.opts.ClientAddress(r), Device: deviceName(r.UserAgent())}
}

func (h *handler) root(w http.ResponseWriter, r *http.Request) error {
	var doc struct {
		Links hal.Links `json:"_links"`
	}
	at := func(rel, path string) { doc.Links.Set(rel, hal.To(h.Service.opts.Issuer+path)) }
	at("self", "/")
	at("oauth-authorization-server", auth.MetadataPath)
	at("jwks", "/jwks.json")
	at("grants", "/grants")
	at("sessions", "/sessions")
	at("sign-in", "/signin")
	doc.Links.Set("register", hal.TemplateTo(h.Service.opts.Issuer+"/accounts/{app}"))
	return hal.Write(w, r, http.StatusOK, &doc, &hal.WriteOptions{CacheControl: "max-age=60"})
}

// problem turns an error of the service into what its caller may know.
func problem(w http.ResponseWriter, err error) error {
	var throttled *ThrottledError
	status, detail := 0, ""
	switch {
	case errors.As(err, &throttled):
		w.Header().Set("Retry-After", retryAfter(throttled))
		status, detail = http.StatusTooManyRequests, "Too many tries. Try again later."
	case errors.Is(err, ErrPasswordExpired):
		status, detail = http.StatusForbidden, "The password has expired. Choose another one by resetting it."
	case errors.Is(err, ErrFactor):
		status, detail = http.StatusForbidden, "A second factor is needed: send it as code."
	case errors.Is(err, ErrDenied):
		status, detail = http.StatusUnauthorized, "Not accepted."
	case errors.Is(err, ErrPassword), errors.Is(err, ErrInvalid), errors.Is(err, ErrScope), errors.Is(err, ErrAudience):
		status, detail = http.StatusUnprocessableEntity, sentence(err)
	case errors.Is(err, ErrExists):
		status, detail = http.StatusConflict, "The name is taken."
	case errors.Is(err, ErrNotFound):
		status, detail = http.StatusNotFound, "There is no such thing."
	case errors.Is(err, ErrNoDelivery):
		status, detail = http.StatusNotImplemented, "Passwords can't be reset here."
	default:
		return err
	}
	p := hal.NewProblem(status, detail)
	p.Err = err
	return p
}

// sentence makes an error's text one for people.
func sentence(err error) string {
	text := strings.TrimPrefix(err.Error(), "login: ")
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
