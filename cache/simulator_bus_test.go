package cache

import (
	"fmt"
	"time"
)

const (
	simLease     = 2 * time.Second
	simTolerance = 500 * time.Millisecond
)

// topic is what the owner announces, how it travels, and what the listener of
// this process makes of it (PROTOCOL.md sections 3 to 6).
type topic struct {
	name string

	// The relay.
	outbox  []message // committed, not announced
	epoch   int
	number  int
	hanging bool

	// The bus.
	queue []message
	stray []message // lost, but may be delivered again later

	listener listener
	truth    voucher // what the listener told the scope, kept apart from it
}

// message is a notice or, without a kind, a watermark.
type message struct {
	kind, path, query, tag string
	gone                   bool
	committed              time.Time
	change                 int // its place in the resource's history
	epoch, number          int
	upTo                   time.Time // a watermark's T, and the owner's time of a notice
}

func (m message) String() string {
	if m.kind == "" {
		return fmt.Sprintf("watermark %d/%d", m.epoch, m.number)
	}
	s := fmt.Sprintf("%s %s%s %d/%d", m.kind, m.path, m.query, m.epoch, m.number)
	if m.tag != "" {
		s += " " + m.tag
	}
	return s
}

// listener is a reader's state for one topic.
type listener struct {
	known  bool // an epoch
	epoch  int
	last   int
	holes  map[int]bool // numbers of this epoch that haven't been seen
	newest time.Time    // T of the newest watermark
}

// voucher is what a scope was told.
type voucher struct {
	until  time.Time // by our clock
	since  time.Time // live without a gap
	heard  time.Time // every change of before has been announced, or missed aloud
	resets int
}

// live reports whether all topics that a resource names are vouched for, and
// since when without a gap.
func (r *resource) live(now time.Time) (live bool, since time.Time) {
	for _, t := range r.named {
		if !now.Before(t.truth.until) {
			return false, time.Time{}
		}
		if t.truth.since.After(since) {
			since = t.truth.since
		}
	}
	return len(r.named) > 0, since
}

// heard is up to when all topics that a resource names have told of everything.
func (r *resource) heard() (upTo time.Time) {
	for i, t := range r.named {
		if i == 0 || t.truth.heard.Before(upTo) {
			upTo = t.truth.heard
		}
	}
	return upTo
}

// resets counts those of all topics that a resource names.
func (r *resource) resets() (n int) {
	for _, t := range r.named {
		n += t.truth.resets
	}
	return n
}

// relay announces what is pending and then says so.
func (w *world) relay(t *topic) {
	if t.hanging {
		return
	}
	for _, m := range t.outbox {
		t.number++
		m.epoch, m.number = t.epoch, t.number
		m.upTo = m.committed.Add(w.plan.skew)
		t.queue = append(t.queue, m)
		if w.chance(w.plan.chaos) {
			t.queue = append(t.queue, m) // delivered twice
		}
	}
	t.outbox = nil
	t.queue = append(t.queue, message{epoch: t.epoch, number: t.number, upTo: time.Now().Add(w.plan.skew)})
}

// deliver hands the listener the next message, if the bus doesn't lose it.
func (w *world) deliver(t *topic) {
	if len(t.queue) == 0 {
		return
	}
	m := t.queue[0]
	t.queue = t.queue[1:]
	if w.chance(w.plan.chaos * 0.5) {
		w.say("bus "+t.name, t.name, "loses %s", m)
		if m.kind != "" && w.chance(0.5) {
			t.stray = append(t.stray, m)
		}
		return
	}
	w.hear(t, m)
}

// hear is the table of PROTOCOL.md section 6.
func (w *world) hear(t *topic, m message) {
	l := &t.listener
	switch {
	case m.kind == "" && m.upTo.After(time.Now().Add(simTolerance)):
		w.say("bus "+t.name, t.name, "brings %s from the future", m)
		w.suspend(t)
	case m.kind == "":
		w.hearWatermark(t, m)
	case !l.known || m.epoch != l.epoch:
		if l.known && m.upTo.Before(l.newest) {
			w.say("bus "+t.name, t.name, "brings %s of an old epoch", m)
			w.apply(t, m, false)
			return
		}
		w.reset(t, m)
		*l = listener{known: true, epoch: m.epoch, newest: l.newest}
		l.skip(m.number - 1)
		l.last = m.number
		w.apply(t, m, true)
	case m.number == l.last+1:
		l.last++
		w.apply(t, m, true)
	case m.number > l.last+1:
		w.reset(t, m)
		l.skip(m.number - 1)
		l.last = m.number
		w.apply(t, m, true)
	case l.holes[m.number]:
		delete(l.holes, m.number)
		w.say("bus "+t.name, t.name, "brings %s late", m)
		w.apply(t, m, false)
	}
}

func (w *world) hearWatermark(t *topic, m message) {
	l := &t.listener
	switch {
	case !l.known || m.epoch != l.epoch && m.upTo.After(l.newest),
		m.epoch == l.epoch && m.number > l.last,
		m.epoch == l.epoch && m.number < l.last && m.upTo.After(l.newest):
		w.reset(t, m)
		if !l.known || m.epoch != l.epoch {
			*l = listener{known: true, epoch: m.epoch, newest: l.newest}
		}
		l.skip(m.number)
		l.last = m.number
	case m.epoch != l.epoch || m.number < l.last:
		return // an old one
	}
	if m.upTo.After(l.newest) {
		l.newest = m.upTo
	}
	if upTo := m.upTo.Add(-simTolerance); upTo.After(t.truth.heard) {
		t.truth.heard = upTo
	}
	w.cache.Scope(t.name).Heard(m.upTo.Add(-simTolerance))
	w.vouch(t, m.upTo.Add(simLease))
}

// skip notes that the numbers up to n were missed.
func (l *listener) skip(n int) {
	if l.holes == nil {
		l.holes = map[int]bool{}
	}
	for l.last < n {
		l.last++
		l.holes[l.last] = true
	}
}

func (w *world) vouch(t *topic, until time.Time) {
	v := &t.truth
	now := time.Now()
	if !v.until.After(now) {
		v.since = now
	}
	if until.After(v.until) {
		v.until = until
	}
	if until.After(now) {
		w.say("bus "+t.name, t.name, "vouches for another %v", until.Sub(now))
	}
	w.cache.Scope(t.name).Vouch(until)
}

func (w *world) suspend(t *topic) {
	t.truth.until = time.Time{}
	w.say("bus "+t.name, t.name, "suspends")
	w.cache.Scope(t.name).Suspend()
}

func (w *world) reset(t *topic, why message) {
	if t.listener.known {
		w.tally.count(countResets)
	}
	t.truth.until = time.Time{}
	t.truth.resets++
	w.say("bus "+t.name, t.name, "resets because of %s", why)
	w.cache.Scope(t.name).Reset()
}

// apply tells the cache of a notice. Its ETag counts only if it came in its
// turn.
func (w *world) apply(t *topic, m message, inTurn bool) {
	if m.kind == "noop" {
		return
	}
	i := invalidation{
		kind: byNotice, step: w.step, path: m.path, query: m.query, topic: t.name,
		change: m.change, label: m.String(),
	}
	c := Change{URL: simOrigin + m.path + m.query, Scope: t.name}
	if inTurn {
		i.tag, i.gone = m.tag, m.gone
		c.ETag, c.Gone = m.tag, m.gone
	}
	w.say("bus "+t.name, m.path, "brings %s", m)
	w.invalidated(i)
	w.tally.count(countNotices)
	w.cache.Apply(c)
}

// disturb lets something go wrong on the way of a topic.
func (w *world) disturb(t *topic) {
	switch w.rng.IntN(7) {
	case 0:
		w.say("bus "+t.name, t.name, "is disconnected")
		w.suspend(t)
	case 1:
		if len(t.queue) > 0 {
			w.say("bus "+t.name, t.name, "loses all of %d messages", len(t.queue))
			for _, m := range t.queue {
				if m.kind != "" {
					t.stray = append(t.stray, m)
				}
			}
			t.queue = nil
		}
	case 2:
		w.say("relay "+t.name, t.name, "begins a new epoch")
		t.epoch, t.number, t.hanging = t.epoch+1, 0, false
	case 3:
		t.hanging = !t.hanging
		w.say("relay "+t.name, t.name, "hangs: %v", t.hanging)
	case 4:
		if len(t.stray) > 0 {
			m := t.stray[w.rng.IntN(len(t.stray))]
			w.hear(t, m)
		}
	case 5:
		if !t.hanging {
			t.outbox = append(t.outbox, message{kind: "noop", path: w.somePath(), committed: time.Now()})
		}
	case 6:
		// Reconnected without having missed anything: the next watermark says so.
		w.suspend(t)
	}
}
