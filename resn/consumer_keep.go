package resn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// keep loads, judges and saves what is known about numbers, until ctx ends.
func (c *Consumer) keep(ctx context.Context) {
	tick := time.NewTicker(c.opts.SaveInterval)
	defer tick.Stop()
	for {
		save := false
		select {
		case <-c.wakeKeep:
		case <-tick.C:
			save = true
		case <-ctx.Done():
			return
		}
		err := c.load(ctx)
		if err == nil {
			err = c.judge(ctx)
		}
		if err == nil && (save || c.epochIsNew()) {
			err = c.saveNumbers(ctx)
		}
		if err != nil && ctx.Err() == nil {
			c.log.Warn("checkpoint", "error", err)
		}
	}
}

// epochIsNew reports whether the saved numbers count in another epoch, or in none:
// until they are saved, the next process couldn't tell that some are missing.
func (c *Consumer) epochIsNew() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.loaded && c.numbers.epoch != c.kept.Epoch
}

// load goes on from the checkpoint as soon as anything is received: only then is
// this process the one that works, and what another has saved is its last word.
func (c *Consumer) load(ctx context.Context) error {
	c.mu.Lock()
	idle := c.loaded || len(c.early) == 0
	c.mu.Unlock()
	if idle {
		return nil
	}
	pos, err := c.opts.Checkpoint.Load(ctx)
	if err != nil {
		return fmt.Errorf("resn: load checkpoint: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.adopt(pos.Walk)
	c.numbers.resume(pos.Numbers)
	c.kept = pos.Numbers
	for _, do := range c.early {
		do()
	}
	c.early, c.loaded = nil, true
	return nil
}

// adopt goes on with a walk that another process has begun, or ended; c.mu is
// held.
func (c *Consumer) adopt(w Walk) {
	if w.Number > c.walk.Number || w.Number == c.walk.Number && w.Done && !c.walk.Done {
		c.walk = w
		wake(c.wakeWalk)
	}
	if c.walk.Done {
		c.fillOnce.Do(func() { close(c.filled) })
	}
}

// judge decides about a suspicion: another process has handled what is missing,
// or the collection has to be walked through again.
func (c *Consumer) judge(ctx context.Context) error {
	c.mu.Lock()
	suspects := c.loaded && c.suspects()
	c.mu.Unlock()
	if !suspects {
		return nil
	}
	pos, err := c.opts.Checkpoint.Load(ctx)
	if err != nil {
		return fmt.Errorf("resn: load checkpoint: %w", err)
	}
	c.mu.Lock()
	c.adopt(pos.Walk)
	explained, reason := c.numbers.explain(pos.Numbers), c.numbers.reason
	c.mu.Unlock()
	if explained {
		return nil
	}
	err = c.resync(ctx, reason)
	if errors.Is(err, errNothingToWalk) {
		c.log.Error("notices were missed for good", "reason", reason, "error", err)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.numbers.forgive()
		c.counts.Missed++
		c.counts.Reason = reason
		return nil
	}
	return err
}

var errNothingToWalk = errors.New("resn: there is no ConsumerOptions.Collection to walk through")

// resync puts another walk on record, and has it done.
func (c *Consumer) resync(ctx context.Context, reason string) error {
	if !c.walks() {
		return errNothingToWalk
	}
	pos, err := c.opts.Checkpoint.Load(ctx)
	if err != nil {
		return fmt.Errorf("resn: load checkpoint: %w", err)
	}
	c.mu.Lock()
	w := Walk{Number: max(pos.Walk.Number, c.walk.Number) + 1}
	c.mu.Unlock()
	if err := c.opts.Checkpoint.SaveWalk(ctx, w); err != nil {
		return fmt.Errorf("resn: save the walk: %w", err)
	}
	c.log.Warn("the collection is walked through again", "reason", reason, "walk", w.Number)
	c.mu.Lock()
	defer c.mu.Unlock()
	// Forgiven before the walk may begin: what is missing later, it might pass over.
	c.numbers.forgive()
	if w.Number > c.walk.Number {
		c.walk = w
	}
	c.counts.Resyncs++
	c.counts.Reason = reason
	wake(c.wakeWalk)
	return nil
}

// saveNumbers saves which notices were handled.
func (c *Consumer) saveNumbers(ctx context.Context) error {
	c.mu.Lock()
	if !c.loaded || c.suspects() {
		c.mu.Unlock()
		return nil
	}
	n := c.numbers.saved()
	same := n.Epoch == c.kept.Epoch && n.Low == c.kept.Low && slices.Equal(n.Above, c.kept.Above)
	c.mu.Unlock()
	if same {
		return nil
	}
	if err := c.opts.Checkpoint.SaveNumbers(ctx, n); err != nil {
		return fmt.Errorf("resn: save the numbers: %w", err)
	}
	c.mu.Lock()
	c.kept = n
	c.mu.Unlock()
	return nil
}

// ConsumerState is what a consumer is doing and has done.
type ConsumerState struct {
	Topic, Group string

	Filling  bool     // a walk is to be done or under way
	Progress Progress // of the newest walk of this process

	Received    uint64 // notices
	Coalesced   uint64 // of those, answered by a fetch for a later one
	Handled     uint64 // resources handed over
	Gone        uint64 // resources handed over as gone
	Unconfirmed uint64 // of both, those whose owner didn't say what the notice says
	Failures    uint64 // attempts that failed
	Rejected    uint64 // notices that became dead letters
	Resyncs     uint64 // walks because notices may have been missed, or asked for
	Missed      uint64 // times that there was nothing to walk through
	Reason      string // of the newest of both

	Waiting int       // notices received and not handled
	Numbers Numbers   // of handled notices
	Current time.Time // every change committed before it, by the owner's clock, was handled; zero if unknown
	// Staleness is the time since Current.
	Staleness time.Duration
}

// State returns what the consumer is doing. It is safe to call at any time.
func (c *Consumer) State() ConsumerState {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.counts
	s.Filling = !c.walk.Done
	for _, list := range c.waiting {
		s.Waiting += len(list)
	}
	if c.loaded {
		s.Numbers = c.numbers.saved()
		s.Current = c.numbers.current
	}
	if !s.Current.IsZero() {
		s.Staleness = max(0, time.Since(s.Current))
	}
	return s
}
