package thinapi

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/goswale/swale/discovery/rules/throttle"
)

// Options configure New. The zero value and nil are useful: nobody is trusted,
// and rules are kept in memory.
type Options struct {
	// TrustedProxies are the networks of proxies that are believed about the
	// client. Default: none.
	TrustedProxies []netip.Prefix
	// Attributes returns what the server knows about a request, such as the
	// claims of a token that a middleware verified. Rules believe it.
	// Default: nothing.
	Attributes func(*http.Request) map[string]string
	// Limiter counts throttles of this process. Default: a throttle.Local.
	Limiter throttle.Limiter
	// Shared counts throttles that rules mark as shared. Default: Limiter.
	Shared throttle.Limiter
	// Timeout is a request's deadline if its route has none. Default: 30 s.
	Timeout time.Duration
	// StreamTimeout is that of WebSockets and server-sent events. Default: 1 h.
	StreamTimeout time.Duration
	// MaxBody is the largest request body in bytes. Default: 4 MiB; negative:
	// any.
	MaxBody int64
	// CORS answers browsers of other origins. Default: nil, no such answers.
	CORS *CORS
	// WebSocket lets upgrades to WebSocket through. Default: they are not.
	WebSocket bool
	// EscapedSlash lets paths with %2F and %5C through. Default: refused.
	EscapedSlash bool
	// StripHeaders are removed from every request, such as those by which
	// services inside know each other. Default: none.
	StripHeaders []string
	// RequestID is the header field of the request's id; one that a trusted
	// proxy sent is kept. Default: "X-Request-Id".
	RequestID string
	// LastGood is the file that accepted rules are kept in. Default: none.
	LastGood string
	// MaxShadows is how many shadows may be under way; more are dropped.
	// Default: 64.
	MaxShadows int
	// Logger gets failures. Default: none are logged.
	Logger *slog.Logger
}

// CORS says which pages of other origins may call (the Fetch standard).
type CORS struct {
	// Origins are those allowed, "https://app.example", or "*".
	Origins []string
	// Methods are those allowed. Default: GET, HEAD, POST, PUT, PATCH, DELETE.
	Methods []string
	// Headers are the request's header fields that are allowed. Default:
	// those that the preflight asks for.
	Headers []string
	// Expose are header fields of answers that pages may read. Default: none.
	Expose []string
	// Credentials lets pages send cookies; not with Origins "*".
	Credentials bool
	// MaxAge is how long a preflight may be remembered. Default: 10 min.
	MaxAge time.Duration
}

func (o *Options) defaults() error {
	if o.Limiter == nil {
		o.Limiter = throttle.NewLocal(nil)
	}
	if o.Shared == nil {
		o.Shared = o.Limiter
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.StreamTimeout <= 0 {
		o.StreamTimeout = time.Hour
	}
	if o.MaxBody == 0 {
		o.MaxBody = 4 << 20
	}
	if o.RequestID == "" {
		o.RequestID = "X-Request-Id"
	}
	o.RequestID = http.CanonicalHeaderKey(o.RequestID)
	if o.MaxShadows <= 0 {
		o.MaxShadows = 64
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	strip := make([]string, len(o.StripHeaders))
	for i, name := range o.StripHeaders {
		strip[i] = http.CanonicalHeaderKey(name)
	}
	o.StripHeaders = strip
	if o.CORS == nil {
		return nil
	}
	c := *o.CORS
	o.CORS = &c
	return c.check()
}

func (c *CORS) check() error {
	if c.Credentials && slices.Contains(c.Origins, "*") {
		return errors.New("thinapi: CORS with credentials for every origin hands any page the user's session; name the origins")
	}
	for _, origin := range c.Origins {
		if origin != "*" && (!strings.Contains(origin, "://") || strings.HasSuffix(origin, "/")) {
			return fmt.Errorf("thinapi: the CORS origin %q must be like https://app.example", origin)
		}
	}
	if c.Methods == nil {
		c.Methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
	}
	if c.MaxAge <= 0 {
		c.MaxAge = 10 * time.Minute
	}
	return nil
}
