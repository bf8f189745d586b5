package cache

import (
	"context"
	"net/http"
)

// Transport is a private HTTP cache as an [http.RoundTripper]. It is safe for
// concurrent use.
type Transport struct {
	next http.RoundTripper
}

// New returns a cache in front of next; nil means [http.DefaultTransport].
func New(next http.RoundTripper, opts *Options) *Transport {
	if next == nil {
		next = http.DefaultTransport
	}
	return &Transport{next: next}
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.next.RoundTrip(req)
}

// Invalidate makes every stored response of each URL, and of every URI that
// differs from it only by a query, in all variants, unusable without asking.
func (t *Transport) Invalidate(urls ...string) {}

// InvalidateGroup invalidates the members of cache groups at an origin
// (RFC 9875).
func (t *Transport) InvalidateGroup(origin string, groups ...string) {}

// Apply takes in one change notice.
func (t *Transport) Apply(c Change) {}

// Scope returns the scope of that name, which isn't vouched for at first.
func (t *Transport) Scope(name string) *Scope { return &Scope{} }

// LoadTyped returns the value that was decoded from the stored response that
// may be reused for href now without asking.
func (t *Transport) LoadTyped(ctx context.Context, href string, header http.Header, typ any) (value any, ok bool) {
	return nil, false
}

// Close ends background refreshes and waits for them.
func (t *Transport) Close() error { return nil }
