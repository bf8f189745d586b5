package resn

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// WarmOptions configures [Client.Warm]. The zero value, and nil, are useful.
type WarmOptions struct {
	// Topics are listened to first, and waited for until they are live, so
	// that already the first fill is vouched for. Default none: the topic that
	// responses name is listened to meanwhile, and what was read before it was
	// live is asked about once more when it is next read.
	Topics []string

	// WaitLive bounds that wait. Default 2 s.
	WaitLive time.Duration

	// Item is the relation of the collection's links to its members, as in
	// [ConsumerOptions]. Default "item".
	Item string

	// Origins are the origins of members and pages that may be read. Default
	// that of the collection.
	Origins []string

	// Header is sent with each request. It should say what readers say, where
	// responses vary. Default: Accept for HAL and JSON.
	Header http.Header

	// Parallel bounds the requests under way. Default 8.
	Parallel int

	// MaxItems bounds the members that are read. Default 100000.
	MaxItems int

	// OnProgress is called after each page, from one goroutine. Default none.
	OnProgress func(Warmth)
}

// Warmth says how far [Client.Warm] is.
type Warmth struct {
	Live   bool // every one of the topics was live before the first request
	Pages  int
	Items  int // members read
	Failed int // members that couldn't be read, or may not be
	Total  int // as the collection says; 0 if it doesn't
}

// Warm reads a collection and its members, so that they are in the cache before
// somebody wants them. The error says which page couldn't be read, or that ctx has
// ended; members that can't be read are only counted.
func (c *Client) Warm(ctx context.Context, collection string, opts *WarmOptions) (Warmth, error) {
	var o WarmOptions
	if opts != nil {
		o = *opts
	}
	o.Item = orDefault(o.Item, "item")
	o.Parallel = positive(o.Parallel, 8)
	o.MaxItems = positive(o.MaxItems, 100000)
	o.WaitLive = positive(o.WaitLive, DefaultLease)
	at, err := parseHref(collection)
	if err != nil {
		return Warmth{}, fmt.Errorf("resn: warm: %w", err)
	}
	w := warmer{client: c, opts: o, ask: AskOptions{Header: o.Header}.filled(), origins: map[string]bool{}}
	for _, origin := range o.Origins {
		at, err := parseHref(origin)
		if err != nil {
			return Warmth{}, fmt.Errorf("resn: warm: WarmOptions.Origins: %w", err)
		}
		w.origins[at.origin] = true
	}
	if len(w.origins) == 0 {
		w.origins[at.origin] = true
	}
	if w.done.Live, err = c.awaitLive(ctx, o.Topics, o.WaitLive); err != nil {
		return w.done, fmt.Errorf("resn: warm: %w", err)
	}
	err = w.walk(ctx, collection)
	if err != nil {
		err = fmt.Errorf("resn: warm %s: %w", clip(collection), err)
	}
	return w.done, err
}

// awaitLive listens to topics and waits until they are live, or long enough.
func (c *Client) awaitLive(ctx context.Context, topics []string, most time.Duration) (live bool, err error) {
	for _, topic := range topics {
		if err := c.Listen(ctx, topic); err != nil {
			return false, err
		}
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(most)
	for {
		waiting := slices.Clone(topics)
		for _, s := range c.Topics() {
			if s.Live {
				waiting = slices.DeleteFunc(waiting, func(t string) bool { return t == s.Topic })
			}
		}
		if len(waiting) == 0 {
			return len(topics) > 0, nil
		}
		select {
		case <-tick.C:
		case <-timeout:
			return false, nil
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

// warmer is one walk of Warm.
type warmer struct {
	client  *Client
	opts    WarmOptions
	ask     AskOptions
	origins map[string]bool

	mu   sync.Mutex
	done Warmth
}

func (w *warmer) allowed(href string) bool {
	at, err := parseHref(href)
	return err == nil && w.origins[at.origin]
}

func (w *warmer) walk(ctx context.Context, href string) error {
	pages := pageReader{client: w.client, rel: w.opts.Item, ask: w.ask}
	been := map[string]bool{}
	left := w.opts.MaxItems
	for href != "" && left > 0 {
		if been[href] || !w.allowed(href) {
			return fmt.Errorf("page %s comes twice, or is at an origin that WarmOptions.Origins doesn't name", clip(href))
		}
		been[href] = true
		p, err := pages.read(ctx, href)
		if err != nil {
			return err
		}
		items := p.items[:min(left, len(p.items))]
		left -= len(items)
		if err := w.items(ctx, items); err != nil {
			return err
		}
		w.done.Pages++
		w.done.Total = p.total
		if w.opts.OnProgress != nil {
			w.opts.OnProgress(w.done)
		}
		href = p.next
	}
	return nil
}

// items reads members, several at once, and waits for them.
func (w *warmer) items(ctx context.Context, hrefs []string) error {
	var work sync.WaitGroup
	defer work.Wait()
	room := make(chan struct{}, w.opts.Parallel)
	for _, href := range hrefs {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		work.Go(func() {
			defer func() { <-room }()
			ok := w.allowed(href)
			if ok {
				a, err := w.client.get(ctx, href, w.ask)
				ok = err == nil && a.Status == http.StatusOK
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if ok {
				w.done.Items++
			} else {
				w.done.Failed++
			}
		})
	}
	work.Wait()
	return ctx.Err()
}
