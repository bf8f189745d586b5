package hal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Conflict is the error of a write that was refused because the resource is
// no longer what the writer has read (412). It matches ErrConflict.
//
//	var conflict *hal.Conflict[Restaurant]
//	if errors.As(err, &conflict) {
//		merge(conflict.Current.Value)
//	}
type Conflict[T any] struct { //nolint:errname // it reads as hal.Conflict
	// Current is the resource as it is now; nil when it is gone, or couldn't be
	// read.
	Current *Resource[T]
	// Refusal is the problem that the server answered with.
	Refusal *Problem
}

// Error names the resource and the current version.
func (c *Conflict[T]) Error() string {
	if c.Current == nil {
		return "hal: the resource has changed: " + c.Refusal.Error()
	}
	return fmt.Sprintf("hal: %s has changed, and is %s now", c.Current.URL, c.Current.ETag)
}

// Unwrap returns ErrConflict and the problem.
func (c *Conflict[T]) Unwrap() []error { return []error{ErrConflict, c.Refusal} }

// Put replaces the resource by value, provided that it is still what was read
// (If-Match). Members and relations of the document that T doesn't declare are
// sent back as they came, inside of arrays too: an element that was moved or
// changed in place keeps its own, one with another self link or id has none.
//
// It returns the resource as it is afterwards: what the server answered, or
// else what was sent. When somebody was faster the error is a *Conflict[T].
func Put[T any](ctx context.Context, c *Client, r *Resource[T], value T) (*Resource[T], error) {
	header, err := condition(c, r)
	if err != nil {
		return nil, err
	}
	body, err := r.with(value)
	if err != nil {
		return nil, err
	}
	header.Set("Content-Type", HALType)
	return change(ctx, c, r, http.MethodPut, header, body, func() (*Resource[T], error) {
		sent := &Resource[T]{Value: value}
		sent.doc = &document{raw: body}
		return sent, nil
	})
}

// Patch changes the resource by a merge patch (RFC 7396), provided that it is
// still what was read. patch is anything that Marshal encodes to the patch: a
// struct of pointers, a map, a json.RawMessage; Changes makes one of a changed
// value. Results are those of Put.
func Patch[T any](ctx context.Context, c *Client, r *Resource[T], patch any) (*Resource[T], error) {
	header, err := condition(c, r)
	if err != nil {
		return nil, err
	}
	body, err := Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("hal: patch: %w", err)
	}
	header.Set("Content-Type", MergePatchType)
	return change(ctx, c, r, http.MethodPatch, header, body, func() (*Resource[T], error) {
		merged, err := MergePatch(r.Raw(), body)
		if err != nil {
			return nil, err
		}
		sent := &Resource[T]{}
		sent.doc = &document{raw: merged}
		return sent, Unmarshal(merged, &sent.Value)
	})
}

// Changes returns the merge patch that turns the resource as it was read into
// value. An array that changed is in it whole (RFC 7396 section 1), with what T
// doesn't declare of its elements.
func Changes[T any](r *Resource[T], value T) (json.RawMessage, error) {
	after, err := r.with(value)
	if err != nil {
		return nil, err
	}
	before := r.Raw()
	if len(before) == 0 {
		if before, err = Marshal(r.Value); err != nil {
			return nil, fmt.Errorf("hal: %w", err)
		}
	}
	return Diff(before, after)
}

// Delete deletes the resource, provided that it is still what was read. That
// it is gone already counts as success.
func Delete[T any](ctx context.Context, c *Client, r *Resource[T]) error {
	header, err := condition(c, r)
	if err != nil {
		return err
	}
	_, err = change(ctx, c, r, http.MethodDelete, header, nil, func() (*Resource[T], error) { return r, nil })
	if p := (*Problem)(nil); errors.As(err, &p) && (p.Status == http.StatusNotFound || p.Status == http.StatusGone) {
		return nil
	}
	return err
}

// Post sends body, encoded by Marshal, to href and returns what the server
// answers as a T. When it answers with a Location and no document, the result
// has that URL and a zero Value; Get reads it.
func Post[T any](ctx context.Context, c *Client, href string, body any) (*Resource[T], error) {
	href, err := c.absolute(href)
	if err != nil {
		return nil, err
	}
	data, err := Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("hal: post: %w", err)
	}
	return sendBody[T](ctx, c, http.MethodPost, href, http.Header{"Content-Type": {HALType}}, data)
}

// PostTo is Post to where a relation of a document leads.
func PostTo[T any](ctx context.Context, c *Client, from Linked, rel string, body any, vars ...Var) (*Resource[T], error) {
	href, err := c.Resolve(from, rel, vars...)
	if err != nil {
		return nil, err
	}
	return Post[T](ctx, c, href, body)
}

// Resolve returns the absolute URL that Follow would read.
func (c *Client) Resolve(from Linked, rel string, vars ...Var) (string, error) {
	d, err := documentOf(c, from)
	if err != nil {
		return "", err
	}
	targets := d.targets(rel)
	at, err := pick(targets, vars)
	if err != nil {
		return "", &LinkError{URL: d.url, Rel: rel, Err: err}
	}
	href, u, same, err := expand(d, &targets[at], vars)
	if err == nil && !same && !c.allows(u) {
		err = fmt.Errorf("%w: %s", ErrHost, u.Host)
	}
	if err != nil {
		return "", &LinkError{URL: d.url, Rel: rel, Err: err}
	}
	return href, nil
}

// condition makes a write conditional on the version that was read.
func condition[T any](c *Client, r *Resource[T]) (http.Header, error) {
	if err := c.made(); err != nil {
		return nil, err
	}
	if r == nil {
		return nil, errors.New("hal: the *Resource to change is nil")
	}
	if r.Partial {
		return nil, fmt.Errorf("%w: %s", ErrPartial, r.URL)
	}
	h := make(http.Header, 2)
	if r.ETag != "" && !strings.HasPrefix(r.ETag, "W/") {
		h.Set("If-Match", r.ETag)
	} else if !c.opts.Unconditional {
		return nil, fmt.Errorf("%w: %s", ErrNoETag, r.URL)
	}
	return h, nil
}

// with returns the document of r with value in place of r.Value.
func (r *Resource[T]) with(value T) ([]byte, error) {
	after, err := Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("hal: %w", err)
	}
	raw := r.Raw()
	if len(raw) == 0 {
		return after, nil
	}
	before, err := Marshal(r.Value)
	if err != nil {
		return nil, fmt.Errorf("hal: %w", err)
	}
	return overlay(raw, before, after), nil
}

func sendBody[T any](ctx context.Context, c *Client, method, href string, header http.Header, body []byte) (*Resource[T], error) {
	r, err := send[T](ctx, c, method, href, header, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	// What was written is found at Content-Location, or Location when created.
	for _, name := range []string{"Content-Location", "Location"} {
		at := r.Header.Get(name)
		if at == "" || name == "Location" && r.Status != http.StatusCreated {
			continue
		}
		d := document{url: r.URL}
		if t := d.at(at); t.err == nil && (t.same || c.allows(t.url)) {
			r.URL, r.doc.url = t.abs, t.abs
			break
		}
	}
	return r, nil
}

// change sends a conditional write.
func change[T any](ctx context.Context, c *Client, r *Resource[T], method string, header http.Header, body []byte,
	sent func() (*Resource[T], error),
) (*Resource[T], error) {
	after, err := sendBody[T](ctx, c, method, r.URL, header, body)
	if err != nil {
		p := (*Problem)(nil)
		if errors.As(err, &p) && p.Status == http.StatusPreconditionFailed {
			conflict := &Conflict[T]{Refusal: p}
			fresh := c.With(http.Header{"Cache-Control": {"no-cache"}})
			if current, gerr := fetch[T](ctx, fresh, r.URL); gerr == nil {
				conflict.Current = current
			}
			return nil, conflict
		}
		return nil, err
	}
	if len(after.Raw()) > 0 {
		return after, nil
	}
	made, err := sent()
	if err != nil {
		return nil, fmt.Errorf("hal: %w", err)
	}
	result := *made
	result.URL, result.Status, result.Header, result.ETag = after.URL, after.Status, after.Header, after.ETag
	result.doc = &document{raw: made.Raw(), url: after.URL, header: after.Header}
	return &result, nil
}
