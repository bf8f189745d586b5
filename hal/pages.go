package hal

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// maxPages ends a walk through pages that never end.
const maxPages = 1_000_000

// Pages yields the pages of a collection from the one at href on, following
// next. An error is yielded once, and ends the walk; so does a page that was
// there before, as an error that matches ErrLimit.
func Pages[T any](ctx context.Context, c *Client, href string) iter.Seq2[*Resource[T], error] {
	return func(yield func(*Resource[T], error) bool) {
		seen := make(map[string]bool)
		page, err := Get[T](ctx, c, href)
		for range maxPages {
			if err != nil {
				yield(nil, err)
				return
			}
			if seen[page.URL] {
				yield(nil, fmt.Errorf("hal: %w: the pages go round in a circle at %s", ErrLimit, page.URL))
				return
			}
			seen[page.URL] = true
			if !yield(page, nil) {
				return
			}
			if len(page.document().targets("next")) == 0 {
				return
			}
			page, err = Follow[T](ctx, c, page, "next")
		}
	}
}

// Each yields the items of all pages of a collection from the one at href on:
// what the relation rel of each page leads to, in order, read page by page as
// FollowAll does. An item that can't be read is
// yielded as its error, and the walk goes on; a page that can't be read ends
// it.
func Each[T any](ctx context.Context, c *Client, href, rel string) iter.Seq2[*Resource[T], error] {
	return func(yield func(*Resource[T], error) bool) {
		for page, err := range Pages[Any](ctx, c, href) {
			if err != nil {
				yield(nil, err)
				return
			}
			for _, item := range FollowAll[T](ctx, c, page, rel) {
				if !yield(item.Resource, item.Err) {
					return
				}
				if item.Err != nil && ctx.Err() != nil && errors.Is(item.Err, ctx.Err()) {
					return // every other item would say the same
				}
			}
		}
	}
}
