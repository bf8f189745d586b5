package gateway

import (
	"errors"
	"slices"
	"time"
)

// run gathers parcels into batches and delivers them until the worker stops.
func (w *worker) run() {
	defer close(w.done)
	b := &batcher{worker: w, most: maxBatch}
	for b.fill() {
		b.deliver()
		b.changed()
	}
	for _, p := range b.parcels {
		p.done <- errLeft // back to the bus
	}
	b.parcels = nil
	b.changed()
}

// batcher is the state of a worker's goroutine.
type batcher struct {
	*worker
	parcels []*parcel // in the order of their coming
	due     time.Time // when a batch of them must leave; zero if there are none
	most    int       // parcels that the next request may hold; halved by refusals
	sent    time.Time // when the last request began
	// recent are the keys of the batch that was acknowledged last. An event that
	// comes right behind one of them has waited for it already.
	recent map[string]bool
}

// hurry is what part of the deadline an event still waits that waited behind
// another of its url. The bus gives out one event of a key at a time, so without
// it a url that changes faster than the deadline would fall ever further behind.
const hurry = 10

// changed brings what is known of all parcels up to date, when some have gone.
func (b *batcher) changed() {
	b.due = time.Time{}
	b.mu.Lock()
	b.held, b.oldest = 0, time.Time{}
	b.mu.Unlock()
	for _, p := range b.parcels {
		b.know(p)
	}
}

// know brings it up to date with one that came.
func (b *batcher) know(p *parcel) {
	if b.due.IsZero() || p.due.Before(b.due) {
		b.due = p.due
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held++
	if b.oldest.IsZero() || p.entry.Time.Before(b.oldest) {
		b.oldest = p.entry.Time
	}
}

// fill waits until a batch is due: enough events, or the deadline of the first.
// It is false when the worker stops.
func (b *batcher) fill() bool {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	b.drop()
	for {
		sub := b.subscription()
		b.take(&sub)
		var due <-chan time.Time
		if len(b.parcels) > 0 && sub.Paused == "" {
			wait := time.Until(b.due)
			if wait <= 0 || len(b.parcels) >= min(sub.Max, b.most) {
				return !b.stopping()
			}
			timer.Reset(wait)
			due = timer.C
		}
		select {
		case p := <-b.in:
			b.add(p, &sub)
		case <-due:
		case <-b.wake:
			b.drop()
		case <-b.stop:
			return false
		}
	}
}

func (b *batcher) stopping() bool {
	select {
	case <-b.stop:
		return true
	default:
		return false
	}
}

// take takes what waits already, up to a full batch.
func (b *batcher) take(sub *Subscription) {
	for len(b.parcels) < sub.Max {
		select {
		case p := <-b.in:
			b.add(p, sub)
		default:
			return
		}
	}
}

// add adds a parcel. The deadline of a batch is its first one's, or that of one
// that waited behind another.
func (b *batcher) add(p *parcel, sub *Subscription) {
	if p.void() {
		return // its handler chose to hand it over though its topic was left
	}
	p.due = time.Now().Add(sub.Deadline)
	if b.recent[p.event.Key()] {
		p.due = time.Now().Add(sub.Deadline / hurry)
	}
	b.parcels = append(b.parcels, p)
	b.know(p)
}

// drop lets go of the parcels of topics that were left.
func (b *batcher) drop() {
	b.parcels = slices.DeleteFunc(b.parcels, (*parcel).void)
	b.changed()
}

// next returns the parcels for one request: one that was refused before travels
// alone, so that it holds up nobody else.
func (b *batcher) next(sub *Subscription) []*parcel {
	n := min(len(b.parcels), sub.Max, b.most)
	if sub.Format.single() {
		n = min(n, 1)
	}
	size := 0
	for i, p := range b.parcels[:n] {
		size += p.entry.size()
		if i > 0 && (p.alone || b.parcels[0].alone || size > b.g.opts.Delivery.MaxBatchBytes) {
			return b.parcels[:i]
		}
	}
	return b.parcels[:n]
}

// deliver makes one request and settles what follows from its outcome.
func (b *batcher) deliver() {
	sub := b.subscription()
	if wait := b.pace(&sub); wait > 0 && !b.pause(wait) {
		return
	}
	b.drop()
	parcels := b.next(&sub)
	if len(parcels) == 0 {
		return
	}
	b.sent = time.Now()
	err := b.send(&sub, parcels)
	if b.stopping() && b.life.Err() != nil {
		return // cut off: whoever stopped us settles
	}
	var refused *refusedError
	var blocked *openError
	switch {
	case err == nil:
		b.acknowledged(parcels)
	case errors.As(err, &blocked):
		b.g.stats.throttled.Add(1)
		b.pause(blocked.wait)
	case errors.As(err, &refused):
		b.g.stats.refused.Add(1)
		b.refuse(&sub, parcels, refused)
	default:
		b.g.stats.unreachable.Add(1)
		b.fail(err)
	}
}

// pace returns how long the callback's owner wants to be left alone still.
func (b *batcher) pace(sub *Subscription) time.Duration {
	if sub.Rate <= 0 || b.sent.IsZero() {
		return 0
	}
	return time.Until(b.sent.Add(time.Minute / time.Duration(sub.Rate)))
}

func (b *batcher) acknowledged(parcels []*parcel) {
	n := len(parcels)
	b.recent = make(map[string]bool, n)
	for _, p := range parcels {
		b.recent[p.event.Key()] = true
		b.accepted(p)
		p.done <- nil
	}
	b.parcels = slices.Delete(b.parcels, 0, n)
	b.most = min(b.most*2, maxBatch)
	b.mu.Lock()
	if b.failures > 0 {
		b.log.Info("deliveries succeed again", "failures", b.failures)
	}
	b.failures, b.last, b.until = 0, nil, time.Time{}
	b.mu.Unlock()
	b.g.stats.batches.Add(1)
	b.g.stats.delivered.Add(uint64(n))
	b.g.sent.add(b.id, int64(n))
}

// refuse deals with an answer that isn't 2xx. Nobody knows which event it is
// about, so the next request holds half as many; one event on its own is set
// aside, until it is tried again or becomes a dead letter.
func (b *batcher) refuse(sub *Subscription, parcels []*parcel, err *refusedError) {
	if err.gone {
		b.retire(sub, err)
	}
	if n := len(parcels); n > 1 {
		b.most = n / 2
	} else {
		parcels[0].done <- err
		b.parcels = slices.Delete(b.parcels, 0, 1)
	}
	b.fail(err)
}

// retire pauses a subscription whose callback says that it is gone for good.
func (b *batcher) retire(sub *Subscription, err error) {
	if !sub.Format.cloudEvents() {
		return // Routemaster knows no such answer
	}
	b.log.Warn("subscription is paused", "error", err)
	b.mu.Lock()
	b.sub.Paused = err.Error()
	b.mu.Unlock()
	if err := b.g.store.PauseSubscription(b.life, b.id, err.Error()); err != nil {
		b.log.Warn("that the subscription is paused can't be stored", "error", err)
	}
}

// fail leaves the subscriber alone for a while, from the first failure on, and
// longer with each further one in a row.
func (b *batcher) fail(err error) {
	b.mu.Lock()
	b.failures++
	failures := b.failures
	b.last = err
	wait := b.g.opts.Delivery.Backoff.Delay(failures)
	if later, ok := errors.AsType[*laterError](err); ok {
		wait = max(wait, min(later.after, maxDeadline))
	}
	b.until = time.Now().Add(wait)
	b.mu.Unlock()
	b.log.Warn("delivery failed", "error", err, "failures", failures, "wait", wait)
	b.pause(wait)
}

// pause waits, and is false if the worker stops. A change of the subscription
// ends the pause, for it may be the cure.
func (b *batcher) pause(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case <-b.stop:
			return false
		case <-b.wake:
			b.mu.Lock()
			cured := b.forgive
			b.forgive = false
			if cured {
				b.failures, b.until = 0, time.Time{}
			}
			b.mu.Unlock()
			if cured {
				b.most = maxBatch
				return true
			}
		}
	}
}
