package rules

import "context"

type contextKey struct{}

// NewContext returns a context that carries what an edge found out about a
// request, so that decisions further on, such as a version binding's, know the
// same: the client's address, whether a trusted proxy sent it, its id and
// attributes.
func NewContext(ctx context.Context, r *Request) context.Context {
	return context.WithValue(ctx, contextKey{}, r)
}

// FromContext returns what NewContext has put into the context, or nil.
func FromContext(ctx context.Context) *Request {
	r, _ := ctx.Value(contextKey{}).(*Request)
	return r
}
