package liveops

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/resn"
)

// The topics of the owners.
const (
	ordersTopic = "orders"
	ridersTopic = "riders"
)

// hearOrders is the event handler of orders: whatever is said of one is a reason to
// look at it.
func (s *Service) hearOrders(ctx context.Context) error {
	return s.hear(ctx, ordersTopic, s.opts.Orders, relOpen, func(ctx context.Context, c *resn.Change) error {
		s.met(c.Href, c.Walk)
		return s.decide(ctx, c.Href, "")
	}, s.unseen)
}

// hearRiders is the event handler of riders: of the orders that one has to do with.
func (s *Service) hearRiders(ctx context.Context) error {
	return s.hear(ctx, ridersTopic, s.opts.Riders, relRiders, func(ctx context.Context, c *resn.Change) error {
		hrefs, err := watched(ctx, s.db, ordersOfWhom, c.Href)
		if err != nil {
			return err
		}
		var r rider
		if !c.Gone {
			if err := c.Decode(&r); err != nil {
				return bus.Reject(err)
			}
		}
		if has := r.busyWith(); has != "" && s.asks(has) {
			hrefs = append(hrefs, has)
		}
		for _, href := range hrefs {
			if err := s.decide(ctx, href, c.Href); err != nil {
				return err
			}
		}
		return nil
	}, nil)
}

// hear runs a durable consumer of a topic, as soon as its owner's root document says
// where the resources are.
func (s *Service) hear(ctx context.Context, topic, root, rel string, handle resn.ConsumerHandler, unseen func(context.Context, uint64) iter.Seq2[string, error]) error {
	collection, ok := s.discover(ctx, root, rel)
	if !ok {
		return nil
	}
	origins := make([]string, 0, len(s.origins))
	for o := range s.origins {
		origins = append(origins, o)
	}
	c, err := resn.NewConsumer(s.client, topic, s.opts.Group, handle, &resn.ConsumerOptions{
		Collection: collection, Origins: origins, Unseen: unseen, Header: accept(),
		// An order that can't be judged now can be later, so nothing is given up.
		MaxAttempts: -1, Logger: s.log,
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.consumers[topic] = c
	s.mu.Unlock()
	return c.Run(ctx)
}

// discover asks an owner's root document for a link, until it answers or ctx ends.
func (s *Service) discover(ctx context.Context, root, rel string) (href string, ok bool) {
	for told := false; ; {
		doc, err := hal.Get[hal.Any](ctx, s.api, root)
		if err == nil {
			if href, err = follow(doc, rel); err == nil {
				return href, true
			}
		}
		if !told && ctx.Err() == nil {
			s.log.WarnContext(ctx, "an owner can't be heard yet", "root", root, "error", err)
			told = true
		}
		select {
		case <-time.After(s.opts.Retry):
		case <-ctx.Done():
			return "", false
		}
	}
}

// follow returns where a document's link of a relation leads, expanded with nothing
// if it is a template.
func follow(doc *hal.Resource[hal.Any], rel string) (string, error) {
	l, ok := doc.Links().Get(rel)
	if !ok {
		return "", fmt.Errorf("it has no link %q", rel)
	}
	href, base := l.Href, (*url.URL)(nil)
	var err error
	if l.Templated {
		if href, err = hal.Expand(href); err != nil {
			return "", err
		}
	}
	if base, err = url.Parse(doc.Location()); err != nil {
		return "", err
	}
	at, err := base.Parse(href)
	if err != nil {
		return "", err
	}
	return at.String(), nil
}

// met notes in which walk an order was looked at.
func (s *Service) met(href string, walk uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.walks[href] = walk
}

// unseen yields the orders under watch that a walk through the open ones has not
// met: what became of them while nobody listened, they say themselves.
func (s *Service) unseen(ctx context.Context, walk uint64) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		hrefs, err := watched(ctx, s.db, everyOrder)
		if err != nil {
			yield("", err)
			return
		}
		for _, href := range hrefs {
			s.mu.Lock()
			seen := s.walks[href] >= walk
			s.mu.Unlock()
			if !seen && !yield(href, nil) {
				return
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		clear(s.walks)
	}
}
