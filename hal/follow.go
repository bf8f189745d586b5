package hal

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
)

// Follow returns the resource that the relation of the document leads to. The
// relation may be written as a CURIE or in full. A templated link is expanded
// with vars; a variable that the template doesn't have is an error, one that
// isn't given is left out (RFC 6570). Where the relation has several links,
// Named picks one.
//
// A resource that is embedded whole is used, subject to
// ClientOptions.Embedded; otherwise the link is fetched like Get does. Errors
// about the link are a *LinkError.
func Follow[T any](ctx context.Context, c *Client, from Linked, rel string, vars ...Var) (*Resource[T], error) {
	d, err := documentOf(c, from)
	if err != nil {
		return nil, err
	}
	targets := d.targets(rel)
	at, err := pick(targets, vars)
	if err != nil {
		return nil, &LinkError{URL: d.url, Rel: rel, Has: instead(from, targets), Err: err}
	}
	return followTarget[T](ctx, c, d, rel, at, &targets[at], vars)
}

// documentOf returns the document behind a Linked, which a client is to read on
// from.
func documentOf(c *Client, from Linked) (*document, error) {
	if err := c.made(); err != nil {
		return nil, err
	}
	known, ok := from.(interface {
		document() *document
		missing() bool
	})
	if from == nil || ok && known.missing() {
		return nil, errors.New("hal: the document whose links or forms are wanted is nil")
	}
	if ok {
		if d := known.document(); d != nil {
			return d, nil
		}
	}
	return &document{url: from.Location(), links: from.Links()}, nil
}

// instead returns the relations of a document in which one was looked for in vain.
func instead(from Linked, found []target) []string {
	if len(found) > 0 {
		return nil
	}
	var rels []string
	for rel := range from.Links().Relations() {
		if rel != "curies" {
			rels = append(rels, rel)
		}
	}
	return rels
}

// pick returns the index of the one target that is meant.
func pick(targets []target, vars []Var) (int, error) {
	if len(targets) == 0 {
		return 0, ErrNoLink
	}
	for _, v := range vars {
		if !v.selects {
			continue
		}
		for i := range targets {
			if targets[i].link.Name == v.name {
				return i, nil
			}
		}
		return 0, fmt.Errorf("%w named %q", ErrNoLink, v.name)
	}
	if len(targets) > 1 {
		return 0, fmt.Errorf("%w (%d): use FollowAll or Named", ErrAmbiguous, len(targets))
	}
	return 0, nil
}

// warm returns the typed hit for a target, if there is one. It does nothing
// that an ordinary link doesn't need.
func warm[T any](ctx context.Context, c *Client, t *target) (*Resource[T], bool) {
	if !t.plain && (t.abs == "" || t.link.Deprecation != "" || !t.same && !c.allows(t.url)) {
		return nil, false
	}
	return loadTyped[T](ctx, c, t.abs)
}

// warmAll fills in the typed hits for targets.
func warmAll[T any](ctx context.Context, c *Client, targets []target, results []Result[T]) {
	if c.typedAll == nil {
		for i := range targets {
			if r, ok := warm[T](ctx, c, &targets[i]); ok {
				results[i].Resource = r
			}
		}
		return
	}
	href := func(i int) string {
		if t := &targets[i]; t.plain || t.abs != "" && t.link.Deprecation == "" && c.allows(t.url) {
			return t.abs
		}
		return ""
	}
	c.typedAll.LoadTypedAll(ctx, c.header, typeKey[T]{}, len(targets), href, func(i int, v any) {
		results[i].Resource, _ = v.(*Resource[T])
	})
}

func followTarget[T any](ctx context.Context, c *Client, d *document, rel string, index int, t *target, vars []Var) (*Resource[T], error) {
	expanded := len(vars) > 0
	if len(vars) == 1 && vars[0].selects {
		expanded = false
	}
	if !expanded {
		if r, ok := warm[T](ctx, c, t); ok {
			return r, nil
		}
		if t.embedded != nil && c.opts.Embedded != EmbeddedNever {
			r, err := fromEmbedded[T](c, d, rel, index, t)
			if err == nil || !errors.Is(err, ErrPartial) || t.abs == "" {
				return r, err
			}
		}
	}
	href, u, same, err := expand(d, t, vars)
	if err == nil && !same && !c.allows(u) {
		err = fmt.Errorf("%w: %s", ErrHost, u.Host)
	}
	if err != nil {
		return nil, &LinkError{URL: d.url, Rel: rel, Err: err}
	}
	if t.link.Deprecation != "" && c.opts.OnDeprecated != nil {
		c.opts.OnDeprecated(ctx, Deprecated{From: d.url, Rel: rel, URL: href, About: t.link.Deprecation})
	}
	if r, ok := loadTyped[T](ctx, c, href); ok {
		return r, nil
	}
	return fetch[T](ctx, c, href)
}

// expand returns the absolute URL that the target stands for.
func expand(d *document, t *target, vars []Var) (href string, u *url.URL, same bool, err error) {
	template := t.link.Templated || len(vars) > 0 && strings.Contains(t.link.Href, "{")
	if !template {
		for _, v := range vars {
			if !v.selects {
				return "", nil, false, fmt.Errorf("%w: the link is not templated, %q has no place", ErrTemplate, v.name)
			}
		}
		if t.err != nil {
			return "", nil, false, fmt.Errorf("%w: %w", ErrTemplate, t.err)
		}
		if t.abs == "" {
			return "", nil, false, ErrNoLink
		}
		return t.abs, t.url, t.same, nil
	}
	text, err := Expand(t.link.Href, vars...)
	if err != nil {
		return "", nil, false, err
	}
	x := d.at(text)
	if x.err != nil {
		return "", nil, false, fmt.Errorf("%w: %w", ErrTemplate, x.err)
	}
	return x.abs, x.url, x.same, nil
}

// fromEmbedded makes a resource of an embedded one, decoded once per document
// and type.
func fromEmbedded[T any](c *Client, d *document, rel string, index int, t *target) (*Resource[T], error) {
	partial := c.opts.Partial(rel, t.embedded)
	if partial && c.opts.Embedded != EmbeddedAlways {
		return nil, &LinkError{URL: d.url, Rel: rel, Err: ErrPartial}
	}
	key := embeddedKey{typeKey[T]{}, rel, index}
	d.mu.Lock()
	defer d.mu.Unlock()
	if v, ok := d.decoded[key]; ok {
		if r, ok := v.(*Resource[T]); ok {
			return r, nil
		}
	}
	r := &Resource[T]{URL: t.abs, Partial: partial}
	if r.URL == "" {
		r.URL = d.url
	}
	r.doc = &document{raw: t.embedded, url: r.URL}
	if err := Unmarshal(t.embedded, &r.Value); err != nil {
		return nil, fmt.Errorf("hal: embedded %q in %s: %w", rel, d.url, err)
	}
	if d.decoded == nil {
		d.decoded = make(map[embeddedKey]any)
	}
	d.decoded[key] = r
	return r, nil
}

// Result is one resource of many, or why it could not be had.
type Result[T any] struct {
	Resource *Resource[T]
	Err      error
}

// FollowAll returns all resources that the relation leads to, in the order of
// the document, each with its own error. Those that have to be fetched are
// fetched in parallel, ClientOptions.Parallel at a time. A relation with no
// links, or that isn't there, gives no results.
func FollowAll[T any](ctx context.Context, c *Client, from Linked, rel string, vars ...Var) []Result[T] {
	d, err := documentOf(c, from)
	if err != nil {
		return []Result[T]{{Err: err}}
	}
	targets := d.targets(rel)
	if len(targets) == 0 {
		return nil
	}
	results := make([]Result[T], len(targets))
	if len(vars) == 0 {
		warmAll(ctx, c, targets, results)
	}
	var cold []int
	for i := range targets {
		if results[i].Resource != nil {
			continue
		}
		if cold == nil {
			cold = make([]int, 0, len(targets)-i)
		}
		cold = append(cold, i)
	}
	if cold != nil {
		inParallel(c.opts.Parallel, len(cold), func(n int) {
			i := cold[n]
			results[i].Resource, results[i].Err = followTarget[T](ctx, c, d, rel, i, &targets[i], vars)
		})
	}
	return results
}

// inParallel calls do for 0 to n-1, some at a time, and waits for all.
func inParallel(atOnce, n int, do func(int)) {
	if n == 1 {
		do(0)
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(atOnce, n) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				do(i)
			}
		})
	}
	wg.Wait()
}
