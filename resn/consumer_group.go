package resn

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/goswale/swale/bus"
)

// foreign makes an event of a bare notice, so that a group takes it in as a
// broadcast does. The same notice always gets the same id.
func foreign(body []byte) (bus.Event, error) {
	var e Event
	if err := e.UnmarshalJSON(body); err != nil {
		return bus.Event{}, err
	}
	sum := sha256.Sum256(body)
	ce := e.CloudEvent("/" + e.Topic)
	ce.ID = hex.EncodeToString(sum[:16])
	return ce, nil
}

// observe takes in each message when it comes, in the topic's order, before any
// handler may see it.
func (c *Consumer) observe(ce *bus.Event) {
	m, err := parse(c.topic, ce)
	switch {
	case err != nil:
		epoch, seq := numbering(ce)
		c.count(func(n *numbers) { n.notice(epoch, seq, ce.Time) })
	case m.isWatermark:
		c.count(func(n *numbers) { n.watermark(m.watermark) })
	default:
		c.receive(ce.ID, &m.notice)
	}
}

// receive takes in a notice. From here on no read of this process may return
// what was there before: the listener's own subscription may still be behind.
func (c *Consumer) receive(id string, e *Event) {
	c.client.listener.elsewhere(e)
	at, err := parseHref(e.Href)
	if err != nil {
		return // it was parsed before
	}
	c.mu.Lock()
	c.counts.Received++
	if e.Type == Delete {
		c.deletes++
	}
	c.waiting[at.href] = append(c.waiting[at.href], waiting{id, *e})
	c.mu.Unlock()
	c.count(func(n *numbers) { n.notice(e.Epoch, e.Seq, e.Time) })
}

// count changes what is known about numbers: now, or when the checkpoint that
// they go on from was loaded.
func (c *Consumer) count(do func(*numbers)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.loaded {
		c.early = append(c.early, func() { do(&c.numbers) })
		wake(c.wakeKeep)
		return
	}
	do(&c.numbers)
	if c.suspects() {
		wake(c.wakeKeep)
	}
}

// suspects reports whether notices may have been missed; c.mu is held. Where
// members of the group share the topic, each one hears only a part of it, and
// only a new epoch tells.
func (c *Consumer) suspects() bool {
	if !c.ordered {
		c.numbers.missing = nil
	}
	return c.numbers.suspicious()
}

func wake(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// handle is the group's handler.
func (c *Consumer) handle(ctx context.Context, d *bus.Delivery) error {
	m, err := parse(c.topic, &d.Event)
	switch {
	case err != nil:
		epoch, seq := numbering(&d.Event)
		c.count(func(n *numbers) { n.handled(epoch, seq) })
		c.rejected()
		return bus.Reject(err)
	case m.isWatermark:
		return nil
	}
	at, err := parseHref(m.notice.Href)
	if err == nil {
		err = c.allowed(at)
	}
	if err != nil {
		c.done(at.href, d.Event.ID)
		c.rejected()
		return bus.Reject(err)
	}
	if at.origin+at.path == c.list {
		c.done(at.href, d.Event.ID) // the list itself: its members have notices of their own
		return nil
	}
	unlock, err := c.locks.lock(ctx, at.href)
	if err != nil {
		return err
	}
	defer unlock()
	if !c.isWaiting(at.href, d.Event.ID) {
		c.mu.Lock()
		c.counts.Coalesced++
		c.mu.Unlock()
		return nil
	}
	_, err = c.bring(ctx, at.href, false, d.Attempt)
	if err != nil && (bus.Rejected(err) || c.opts.MaxAttempts > 0 && d.Attempt >= c.opts.MaxAttempts) {
		c.done(at.href, d.Event.ID) // as a dead letter
		c.rejected()
	}
	return err
}

func (c *Consumer) rejected() {
	c.mu.Lock()
	c.counts.Rejected++
	c.mu.Unlock()
}

func (c *Consumer) isWaiting(href, id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.waiting[href], func(w waiting) bool { return w.id == id })
}

// pending returns the notices that a fetch which begins now answers.
func (c *Consumer) pending(href string) ([]waiting, Walk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.waiting[href]), c.walk
}

// done says that notices of a resource needn't be answered any more.
func (c *Consumer) done(href string, ids ...string) {
	c.mu.Lock()
	var left, gone []waiting
	for _, w := range c.waiting[href] {
		if slices.Contains(ids, w.id) {
			gone = append(gone, w)
		} else {
			left = append(left, w)
		}
	}
	if len(left) == 0 {
		delete(c.waiting, href)
	} else {
		c.waiting[href] = left
	}
	c.mu.Unlock()
	for _, w := range gone {
		c.count(func(n *numbers) { n.handled(w.notice.Epoch, w.notice.Seq) })
	}
}
