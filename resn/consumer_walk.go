package resn

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
)

// Progress says how far a walk through a collection is.
type Progress struct {
	Walk     uint64 // its number; 1 is the first fill
	Pass     int    // from 1; a pass is repeated if something was deleted meanwhile
	Pages    int    // read, in all passes
	Items    int    // found, without repetitions
	Total    int    // as the collection says; 0 if it doesn't
	Handled  int    // handed over, and there
	Gone     int    // handed over as gone
	Rejected int    // left out after their last attempt
	Done     bool
}

// maxPasses is how often a walk is repeated for the sake of pages that may have
// shifted. A collection that loses members all the time should page by cursors.
const maxPasses = 5

// How long the end of a pass waits for a watermark from after it, and for the
// first one at all: owners write one every 500 ms.
const (
	settleTimeout = 3 * time.Second
	firstTimeout  = time.Second
)

var errOvertaken = errors.New("resn: another walk has begun or ended this one")

// walkOn walks whenever there is a walk to do, until ctx ends.
func (c *Consumer) walkOn(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		c.mu.Lock()
		w := c.walk
		c.mu.Unlock()
		var again <-chan time.Time
		if !w.Done {
			err := c.walkThrough(ctx, w)
			if err == nil || errors.Is(err, errOvertaken) {
				failures = 0
				continue
			}
			failures++
			if ctx.Err() == nil {
				c.log.Warn("walk interrupted", "walk", w.Number, "error", err)
			}
			again = time.After(c.opts.Backoff.Delay(failures))
		}
		select {
		case <-again:
		case <-c.wakeWalk:
		case <-ctx.Done():
		}
	}
}

// stroll is one walk in this process.
type stroll struct {
	c    *Consumer
	walk Walk
	seed maphash.Seed
	seen map[uint64]struct{} // hashes of what was handed over, to keep a million of them small

	mu       sync.Mutex
	progress Progress
}

func (c *Consumer) walkThrough(ctx context.Context, w Walk) error {
	s := &stroll{c: c, walk: w, seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}, progress: Progress{Walk: w.Number}}
	if err := c.saveWalk(ctx, w); err != nil {
		return err
	}
	if c.opts.Collection != "" {
		if err := s.passes(ctx); err != nil {
			return err
		}
	}
	if err := s.unseen(ctx); err != nil {
		return err
	}
	if err := c.saveWalk(ctx, Walk{Number: w.Number, Done: true}); err != nil {
		return err
	}
	s.report(func(p *Progress) { p.Done = true })
	c.fillOnce.Do(func() { close(c.filled) })
	return nil
}

// passes goes through the pages until nothing was deleted meanwhile. A deletion
// may move a member that was still to come to a page that was read already, and
// nothing announces the member itself.
func (s *stroll) passes(ctx context.Context) error {
	for pass := 1; ; pass++ {
		s.report(func(p *Progress) { p.Pass = pass })
		before := s.c.deletions()
		if err := s.pass(ctx, before); err != nil {
			return err
		}
		if err := s.c.settle(ctx, time.Now()); err != nil {
			return err
		}
		if !s.walk.Disturbed && s.c.deletions() == before {
			return nil
		}
		if pass == maxPasses {
			s.c.log.Warn("members were deleted during each pass of the walk; one that moved between pages may have been passed over", "walk", s.walk.Number, "passes", pass)
			return nil
		}
		s.walk.Next, s.walk.Disturbed = "", false
	}
}

// pass goes through the pages once, from where the walk is.
func (s *stroll) pass(ctx context.Context, before uint64) error {
	c := s.c
	pages := pageReader{client: c.client, rel: c.opts.Item, ask: c.ask, past: true}
	been := map[string]bool{}
	for href := orDefault(s.walk.Next, c.opts.Collection); href != ""; {
		if been[href] {
			return fmt.Errorf("resn: collection %s: page %s comes twice", c.opts.Collection, clip(href))
		}
		been[href] = true
		fctx, cancel := context.WithTimeout(WithTimeout(ctx, c.opts.FetchTimeout), c.opts.FetchTimeout)
		p, err := pages.read(fctx, href)
		cancel()
		if gone(err) && href == s.walk.Next {
			href = c.opts.Collection // a cursor that has expired
			s.walk.Next = ""
			continue
		}
		if err != nil {
			return err
		}
		if p.next != "" {
			at, err := parseHref(p.next)
			if err == nil {
				err = c.allowed(at)
			}
			if err != nil {
				return fmt.Errorf("resn: page %s: link next: %w", href, err)
			}
		}
		if err := s.each(ctx, p.items); err != nil {
			return err
		}
		s.walk.Next = p.next
		s.walk.Disturbed = s.walk.Disturbed || c.deletions() != before
		if err := c.saveWalk(ctx, s.walk); err != nil {
			return err
		}
		s.report(func(r *Progress) { r.Pages, r.Total = r.Pages+1, p.total })
		href = p.next
	}
	return nil
}

func gone(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && (status.Status == http.StatusNotFound || status.Status == http.StatusGone)
}

// each hands over the resources that the walk hasn't handed over yet, several at
// once, and waits for them.
func (s *stroll) each(ctx context.Context, hrefs []string) error {
	var work sync.WaitGroup
	defer work.Wait()
	room := make(chan struct{}, s.c.opts.Parallel)
	for _, href := range hrefs {
		at, err := parseHref(href)
		if err == nil {
			err = s.c.allowed(at)
		}
		if err != nil {
			s.reject(href, err)
			continue
		}
		h := maphash.String(s.seed, at.href)
		if _, ok := s.seen[h]; ok {
			continue
		}
		s.seen[h] = struct{}{}
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		work.Go(func() {
			defer func() { <-room }()
			s.visit(ctx, at.href)
		})
	}
	work.Wait()
	return ctx.Err()
}

// visit hands over one resource, and tries again while that fails.
func (s *stroll) visit(ctx context.Context, href string) {
	s.count(func(p *Progress) { p.Items++ })
	for attempt := 1; ; attempt++ {
		err := s.once(ctx, href, attempt)
		switch {
		case err == nil || ctx.Err() != nil:
			return
		case bus.Rejected(err) || s.c.opts.MaxAttempts > 0 && attempt >= s.c.opts.MaxAttempts:
			s.reject(href, err)
			return
		}
		s.c.log.Debug("resource is tried again", "href", href, "attempt", attempt, "error", err)
		select {
		case <-time.After(s.c.opts.Backoff.Delay(attempt)):
		case <-ctx.Done():
			return
		}
	}
}

func (s *stroll) once(ctx context.Context, href string, attempt int) error {
	unlock, err := s.c.locks.lock(ctx, href)
	if err != nil {
		return err
	}
	defer unlock()
	gone, err := s.c.bring(ctx, href, true, attempt)
	if err != nil {
		return err
	}
	s.count(func(p *Progress) {
		if gone {
			p.Gone++
		} else {
			p.Handled++
		}
	})
	return nil
}

func (s *stroll) reject(href string, err error) {
	s.c.log.Error("resource is left out of the walk", "href", clip(href), "error", err)
	s.count(func(p *Progress) { p.Rejected++ })
	s.c.opts.OnRejected(href, err)
}

// unseen asks for what the handler holds and the walk has not met.
func (s *stroll) unseen(ctx context.Context) error {
	if s.c.opts.Unseen == nil {
		return nil
	}
	const atOnce = 100
	var hrefs []string
	for href, err := range s.c.opts.Unseen(ctx, s.walk.Number) {
		if err != nil {
			return fmt.Errorf("resn: what the walk has not met: %w", err)
		}
		if hrefs = append(hrefs, href); len(hrefs) == atOnce {
			if err := s.each(ctx, hrefs); err != nil {
				return err
			}
			hrefs = hrefs[:0]
		}
	}
	return s.each(ctx, hrefs)
}

func (s *stroll) count(f func(*Progress)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.progress)
}

// report counts, and tells how far the walk is.
func (s *stroll) report(f func(*Progress)) {
	s.mu.Lock()
	f(&s.progress)
	p := s.progress
	s.mu.Unlock()
	s.c.mu.Lock()
	s.c.counts.Progress = p
	s.c.mu.Unlock()
	s.c.opts.OnProgress(p)
}

// saveWalk puts the walk on record, first where it lasts. A walk that was
// overtaken ends here.
func (c *Consumer) saveWalk(ctx context.Context, w Walk) error {
	if err := c.overtaken(w); err != nil {
		return err
	}
	if err := c.opts.Checkpoint.SaveWalk(ctx, w); err != nil {
		return fmt.Errorf("resn: save the walk: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.walk.Number == w.Number && !c.walk.Done {
		c.walk = w
	}
	return nil
}

func (c *Consumer) overtaken(w Walk) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.walk.Number != w.Number || c.walk.Done {
		return errOvertaken
	}
	return nil
}

func (c *Consumer) deletions() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deletes
}

// settle waits until the owner has said that every change made before at was
// announced, so that no deletion of before is still on its way. An owner that
// never says so isn't waited for.
func (c *Consumer) settle(ctx context.Context, at time.Time) error {
	at = at.Add(DefaultClockTolerance)
	timeout, first := time.After(settleTimeout), time.After(firstTimeout)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		c.mu.Lock()
		mark := c.numbers.mark
		c.mu.Unlock()
		if mark.After(at) {
			return nil
		}
		select {
		case <-tick.C:
		case <-first:
			if mark.IsZero() {
				return nil
			}
		case <-timeout:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
