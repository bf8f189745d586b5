package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// TransportOptions are the options of NewTransport. The zero value is useful.
type TransportOptions struct {
	// Splitter chooses between the versions of a service. Default: all alike.
	Splitter Splitter
	// Origins are the public origins of services, such as
	// "https://api.example" → "shop" or, for services that share one,
	// "https://api.example/orders" → "orders". The longest path that covers
	// the request's at a segment's border wins. Names without a dot and a port,
	// as in http://orders/orders/9, are services without being listed.
	Origins map[string]string
	// Strict makes a request whose host is no service an error. Default: it goes
	// to next as it is.
	Strict bool
	// Schemes are the transports of endpoints that next doesn't speak, such as
	// "bus". They are only used if ResolverOptions.Schemes names them too.
	Schemes map[string]http.RoundTripper
	// Ready is how long the first request for a service waits for the registry.
	// Default 5 s; the request's context ends it too.
	Ready time.Duration
	// Retry bounds how often a request is sent again.
	Retry RetryOptions
	// AttemptTimeout bounds the time to an attempt's response header; after that
	// a request that may be repeated goes to another instance. Default 0: only
	// the request's context counts.
	AttemptTimeout time.Duration
	// Hold is the size of response bodies, of known length, that are read before
	// the response of a repeatable request is handed on, so that an instance that
	// dies in the middle of one is replaced too. Default 64 KiB, negative is none.
	Hold int64
	// Repeatable says whether a request that may have reached an instance may be
	// sent to another one. Default: the methods of RFC 9110 section 9.2.2, and
	// whatever has an Idempotency-Key. A body must be replayable besides, by
	// Request.GetBody.
	Repeatable func(*http.Request) bool
	// NotSent says of an error that the request didn't reach the instance. It is
	// asked besides the failures to connect that the net package reports.
	NotSent func(error) bool
	// OnAttempt is told of each attempt, for metrics. It must not block.
	OnAttempt func(Attempt)
}

// Attempt is one sending of a request to one instance.
type Attempt struct {
	Request  *http.Request // as the caller made it
	Service  string
	Instance *Instance
	Number   int // from 1
	Status   int // 0 if there is an Err
	Err      error
	Latency  time.Duration
}

// Transport is an http.RoundTripper that sends each request to an instance of
// the service that its URL names. It is made by NewTransport and is safe for
// concurrent use.
type Transport struct {
	next     http.RoundTripper
	resolver *Resolver
	opts     TransportOptions
	origins  []origin
	wrong    error // of the options
}

// NewTransport returns a transport that sends what is meant for a service to one
// of its instances through next (default: a clone of http.DefaultTransport that
// keeps more connections and waits 2 s for one). The
// request that next gets has the instance's address in its URL, and the Host
// field that the caller gave: the canonical name stays what caches above and
// handlers below see. nil is fine for next and opts; without a resolver it panics.
// Wrong options are reported by RoundTrip.
func NewTransport(next http.RoundTripper, r *Resolver, opts *TransportOptions) *Transport {
	if r == nil {
		panic("discovery: NewTransport: the *Resolver is nil; NewResolver makes one") //nolint:forbidigo // programmer error
	}
	t := &Transport{next: next, resolver: r}
	if opts != nil {
		t.opts = *opts
	}
	if t.next == nil {
		t.next = http.DefaultTransport
		if d, ok := t.next.(*http.Transport); ok {
			clone := d.Clone()
			clone.MaxIdleConnsPerHost, clone.MaxIdleConns = 64, 0 // few hosts, many requests
			clone.DialContext = (&net.Dialer{Timeout: 2 * time.Second}).DialContext
			t.next = clone
		}
	}
	o := &t.opts
	o.Retry.defaults()
	if o.Ready <= 0 {
		o.Ready = 5 * time.Second
	}
	if o.Hold == 0 {
		o.Hold = 64 << 10
	}
	if o.Repeatable == nil {
		o.Repeatable = Idempotent
	}
	t.origins, t.wrong = parseOrigins(o.Origins)
	return t
}

// Idempotent reports whether a request may be repeated by its method (RFC 9110
// section 9.2.2) or because it has an Idempotency-Key.
func Idempotent(r *http.Request) bool {
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return r.Header.Get("Idempotency-Key") != ""
}

// ErrUnknownService is wrapped by the errors of requests, with
// TransportOptions.Strict, whose host is no service.
var ErrUnknownService = errors.New("no service has this host")

// AttemptError says which instance a request failed at.
type AttemptError struct {
	Service, Instance, Address string
	Attempts                   int // how many instances were tried
	Err                        error
}

func (e *AttemptError) Error() string {
	return fmt.Sprintf("discovery: %s: instance %s at %s (attempt %d): %v", e.Service, e.Instance, e.Address, e.Attempts, e.Err)
}

// Unwrap returns the transport's own error.
func (e *AttemptError) Unwrap() error { return e.Err }

// Timeout reports whether the cause was a timeout, as url.Error asks.
func (e *AttemptError) Timeout() bool {
	var timeout interface{ Timeout() bool }
	return errors.As(e.Err, &timeout) && timeout.Timeout()
}

// RoundTrip implements [http.RoundTripper]. The error wraps [ErrNoInstances] when
// there is nobody to send to, and is an [*AttemptError] when sending failed.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.wrong != nil {
		return nil, refuse(req, t.wrong)
	}
	name := t.serviceOf(req.URL)
	if name == "" {
		if t.opts.Strict {
			return nil, refuse(req, fmt.Errorf("discovery: %s: %w", req.URL.Host, ErrUnknownService))
		}
		return t.next.RoundTrip(req)
	}
	s, err := t.service(req, name)
	if err != nil {
		return nil, refuse(req, err)
	}
	return t.send(req, s)
}

// service returns the service with a fleet to pick from.
func (t *Transport) service(req *http.Request, name string) (*service, error) {
	if s := (*t.resolver.services.Load())[name]; s != nil && s.fleet.Load() != nil {
		return s, nil
	}
	ctx, cancel := context.WithTimeout(req.Context(), t.opts.Ready)
	defer cancel()
	return t.resolver.await(ctx, name)
}

// CloseIdleConnections closes those of the transports below.
func (t *Transport) CloseIdleConnections() {
	type closer interface{ CloseIdleConnections() }
	if c, ok := t.next.(closer); ok {
		c.CloseIdleConnections()
	}
	for _, next := range t.opts.Schemes {
		if c, ok := next.(closer); ok {
			c.CloseIdleConnections()
		}
	}
}

// refuse closes the body of a request that isn't sent, as a RoundTripper must.
func refuse(req *http.Request, err error) error {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	return err
}

// notSent reports whether the request certainly didn't reach the instance.
func (t *Transport) notSent(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	return t.opts.NotSent != nil && t.opts.NotSent(err)
}

// addressed returns the request as next gets it.
func addressed(req *http.Request, p Picked, body *outgoing) *http.Request {
	out := *req // the header is shared: a RoundTripper doesn't change it
	u := *req.URL
	u.Scheme, u.Host = p.Scheme(), p.Address()
	if out.Host == "" {
		out.Host = req.URL.Host
	}
	out.URL = &u
	if body != nil {
		out.Body = body.current
	}
	return &out
}
