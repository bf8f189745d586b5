package hal

import "context"

// Path is a way through an API by relations, from a root that is known:
//
//	found, err := hal.At[Restaurant](ctx,
//		client.From("https://api.example/").Follow("restaurants").Follow("find", hal.V("id", 203)))
//
// Nothing is read until At or AllAt walks it. A Path is immutable, so that a
// common beginning can be kept and gone on from; it is safe for concurrent use.
type Path struct {
	client *Client
	root   string
	from   Linked
	prev   *Path
	rel    string
	vars   []Var
}

// From begins a path at a URL, usually the root of an API.
func (c *Client) From(href string) *Path { return &Path{client: c, root: href} }

// FromLinked begins a path at a document that was read already.
func (c *Client) FromLinked(doc Linked) *Path { return &Path{client: c, from: doc} }

// Follow goes on by a relation. See the function Follow.
func (p *Path) Follow(rel string, vars ...Var) *Path {
	return &Path{client: p.client, prev: p, rel: rel, vars: vars}
}

// walk returns the document from which the last step is made.
func (p *Path) walk(ctx context.Context) (Linked, error) {
	if p.prev == nil {
		if p.from != nil {
			return p.from, nil
		}
		return Get[Any](ctx, p.client, p.root)
	}
	from, err := p.prev.walk(ctx)
	if err != nil {
		return nil, err
	}
	return Follow[Any](ctx, p.client, from, p.rel, p.vars...)
}

// At reads the resource at the end of the path.
func At[T any](ctx context.Context, p *Path) (*Resource[T], error) {
	if p.prev == nil {
		if p.from != nil {
			return Get[T](ctx, p.client, p.from.Location())
		}
		return Get[T](ctx, p.client, p.root)
	}
	from, err := p.prev.walk(ctx)
	if err != nil {
		return nil, err
	}
	return Follow[T](ctx, p.client, from, p.rel, p.vars...)
}

// AllAt reads all resources to which the last relation of the path leads, as
// FollowAll does. A path without relations leads to one.
func AllAt[T any](ctx context.Context, p *Path) ([]Result[T], error) {
	if p.prev == nil {
		r, err := At[T](ctx, p)
		if err != nil {
			return nil, err
		}
		return []Result[T]{{Resource: r}}, nil
	}
	from, err := p.prev.walk(ctx)
	if err != nil {
		return nil, err
	}
	return FollowAll[T](ctx, p.client, from, p.rel, p.vars...), nil
}
