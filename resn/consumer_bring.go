package resn

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// bring fetches a resource and hands it over, as the answer to every notice that
// has come so far. The caller holds the resource's lock. past asks the owner
// even if the cache could answer.
func (c *Consumer) bring(ctx context.Context, href string, past bool, attempt int) (gone bool, err error) {
	change, list, err := c.confirmed(ctx, href, past)
	if err == nil {
		change.Attempt = attempt
		err = c.call(ctx, change)
	}
	c.mu.Lock()
	switch {
	case err != nil:
		c.counts.Failures++
	case change.Gone:
		c.counts.Gone++
	default:
		c.counts.Handled++
	}
	if err == nil && change.Unconfirmed {
		c.counts.Unconfirmed++
	}
	c.mu.Unlock()
	if err != nil {
		return false, err
	}
	ids := make([]string, len(list))
	for i, w := range list {
		ids[i] = w.id
	}
	c.done(href, ids...)
	return change.Gone, nil
}

// call calls the handler. A panic is an error, in walks as it is in groups.
func (c *Consumer) call(ctx context.Context, change *Change) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("resn: handler of %s panicked: %v", change.Href, v)
		}
	}()
	return c.handler(ctx, change)
}

// confirmed fetches a resource until its state is what the newest notice says,
// or until that was waited for long enough.
func (c *Consumer) confirmed(ctx context.Context, href string, past bool) (*Change, []waiting, error) {
	began := time.Now()
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		list, walk := c.pending(href)
		change := &Change{Topic: c.topic, Href: href, Walk: walk.Number}
		for _, w := range list {
			change.Notice = w.notice
			if w.notice.Seq != 0 {
				change.Covers = append(change.Covers, Covered{w.notice.Epoch, w.notice.Seq})
			}
		}
		if err := c.fetch(ctx, change, past); err != nil {
			return nil, nil, err
		}
		if change.is(&change.Notice) {
			return change, list, nil
		}
		if time.Since(began)+wait > c.opts.AwaitVersion {
			change.Unconfirmed = true
			return change, list, nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
}

// is reports whether the state is what a notice says.
func (ch *Change) is(e *Event) bool {
	switch {
	case e.Type == "" || e.Type == Noop && e.ETag == "":
		return true
	case e.Type == Delete:
		return ch.Gone
	case ch.Gone:
		return false
	}
	return e.ETag == "" || strings.TrimPrefix(e.ETag, "W/") == strings.TrimPrefix(ch.ETag, "W/")
}

// fetch fills in the answer of the owner, or of the cache if that may vouch.
func (c *Consumer) fetch(ctx context.Context, change *Change, past bool) error {
	ctx, cancel := context.WithTimeout(WithTimeout(ctx, c.opts.FetchTimeout), c.opts.FetchTimeout)
	defer cancel()
	if c.opts.Prepare != nil {
		var err error
		if change.Prepared, err = c.opts.Prepare(ctx, change.Href); err != nil {
			return fmt.Errorf("resn: prepare %s: %w", change.Href, err)
		}
	}
	get := c.client.get
	if past || c.opts.Prepare != nil {
		get = c.client.past // the cache may know less than who wrote what was prepared
	}
	a, err := get(ctx, change.Href, c.ask)
	if err == nil {
		err = a.Err()
	}
	if err != nil {
		return err
	}
	change.Status, change.Header, change.ETag, change.Gone = a.Status, a.Header, a.Header.Get("Etag"), a.Gone()
	if !change.Gone {
		change.Body = a.Body
	}
	return nil
}
