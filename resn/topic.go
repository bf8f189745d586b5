package resn

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/cache"
)

// TopicState is what a process knows about a topic.
type TopicState struct {
	Topic string
	Live  bool // entries are vouched for right now

	// Reason says why the topic isn't live; empty if it is.
	Reason string

	Epoch     string
	Sequence  uint64    // of the last notice seen or spoken of
	Watermark time.Time // newest, by the owner's clock; zero before the first

	// Staleness bounds the age of a vouched answer: every change that was
	// committed longer ago has been heard of. It is the time since the
	// watermark, to which the owner's clock may add
	// [ListenerOptions.ClockTolerance].
	Staleness time.Duration

	Notices    uint64 // applied
	Duplicates uint64 // seen before, and ignored
	Resets     uint64 // times that notices were missed, or may have been
	Rejected   uint64 // messages that were not of the protocol

	// Warning says what looks misconfigured, though nothing has failed: notices
	// that name other URLs than are read, or other versions than responses have.
	// Only a [Client] looks for it, and logs it once. Empty if nothing was found.
	Warning string
}

// topic is one subscription and what came of it. Messages arrive one after
// another; the mutex is for those who look.
type topic struct {
	name  string
	cache *cache.Transport
	scope *cache.Scope
	log   *slog.Logger
	clock func() time.Time

	onNotice func(Event)
	onMissed func(topic, reason string)

	ready chan struct{} // closed when subscribed, or when that failed

	mu      sync.Mutex
	sub     *bus.Subscription
	subErr  error
	tracker tracker
	until   time.Time
	state   TopicState
	reason  string // why it isn't live, without what was measured

	standing standing
}

func newTopic(name string, l *Listener) *topic {
	return &topic{
		name:     name,
		cache:    l.cache,
		scope:    l.cache.Scope(name),
		log:      l.opts.Logger.With("topic", name),
		clock:    l.opts.Clock,
		ready:    make(chan struct{}),
		tracker:  tracker{lease: l.opts.Lease, tolerance: l.opts.ClockTolerance, without: l.opts.without},
		onNotice: l.opts.OnNotice,
		onMissed: l.opts.OnMissed,
		state:    TopicState{Topic: name, Reason: reasonNone},
		reason:   reasonNone,
	}
}

func (t *topic) subscribed(sub *bus.Subscription, err error) {
	t.mu.Lock()
	t.sub, t.subErr = sub, err
	t.mu.Unlock()
	if err == nil {
		t.listen()
	}
	close(t.ready)
}

// wait waits until the subscription stands.
func (t *topic) wait(ctx context.Context) error {
	if ctx.Err() != nil {
		select {
		case <-t.ready: // whoever closes with a context that has ended still closes
			ctx = context.WithoutCancel(ctx)
		default:
		}
	}
	select {
	case <-t.ready:
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.subErr
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bare takes in what came over the bus and isn't a CloudEvent: it may be a
// notice as the talk shows it.
func (t *topic) bare(body []byte, _ error) {
	t.event(bus.Event{Data: body})
}

// event takes in what came over the bus.
func (t *topic) event(ce bus.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	done := false
	defer func() {
		if !done { // a panic is on its way to whoever reports it: the message is lost
			t.carryOut(verdict{reset: true, suspend: true, reason: "a message made the listener fail"}, nil)
		}
	}()
	t.take(&ce)
	done = true
}

func (t *topic) take(ce *bus.Event) {
	m, err := parse(t.name, ce)
	switch {
	case err != nil:
		t.state.Rejected++
		t.log.Warn("message rejected", "error", err)
		t.carryOut(t.tracker.unreadable(numbering(ce)), nil)
	case m.isWatermark:
		t.carryOut(t.tracker.watermark(m.watermark, t.clock()), nil)
	default:
		t.carryOut(t.tracker.notice(m.notice.Epoch, m.notice.Seq, m.notice.Time), &m.notice)
	}
}

// carryOut does what a verdict says, in the order that keeps the guarantees:
// what is no longer trusted goes first, what is vouched for comes last.
func (t *topic) carryOut(v verdict, e *Event) {
	if v.reset {
		t.scope.Reset()
		t.state.Resets++
		t.log.Warn("entries must be revalidated", "reason", v.reason)
		if t.onMissed != nil {
			t.onMissed(t.name, v.reason)
		}
	}
	if v.suspend {
		t.scope.Suspend()
		t.until = time.Time{}
	}
	if v.reason != "" {
		t.because(v.reason, v.measured)
	}
	if e != nil {
		t.apply(v, e)
	}
	if !v.heard.IsZero() {
		t.scope.Heard(v.heard)
	}
	if !v.vouch.IsZero() {
		t.because("", "")
		t.scope.Vouch(v.vouch)
		if v.vouch.After(t.until) {
			t.until = v.vouch
		}
	}
	t.speak(v.reset)
}

func (t *topic) apply(v verdict, e *Event) {
	if !v.apply {
		t.state.Duplicates++
		return
	}
	t.state.Notices++
	t.tell(e, v.etag)
	if t.onNotice != nil {
		t.onNotice(*e)
	}
}

// tell tells the cache of a notice, and whether what it says of the version is to
// be believed.
func (t *topic) tell(e *Event, etag bool) {
	if e.Type == Noop || t.tracker.without.notices {
		return
	}
	if t.tracker.without.stored && len(t.cache.Inspect(e.Href).Entries) == 0 {
		return
	}
	change := cache.Change{URL: e.Href, Scope: t.name}
	if etag {
		change.ETag, change.Gone = e.ETag, e.Type == Delete
	}
	t.cache.Apply(change)
}

// elsewhere takes in a notice that came by another subscription of the process
// and may be ahead of this one.
func (t *topic) elsewhere(e *Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if apply, etag := t.tracker.elsewhere(e.Epoch, e.Seq); apply {
		t.tell(e, etag)
	}
}

// connection takes in what became of the connection. Between Lost and the
// next watermark nobody vouches; that watermark's number tells whether
// anything was missed.
func (t *topic) connection(s bus.State) {
	switch {
	case s.Kind == bus.Lost:
		t.suspend("the bus is disconnected")
	case s.Kind == bus.Resumed && s.Hole:
		t.mu.Lock()
		defer t.mu.Unlock()
		t.carryOut(verdict{reset: true, suspend: true, reason: "the bus lost messages"}, nil)
	}
}

func (t *topic) suspend(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.carryOut(verdict{suspend: true, reason: reason}, nil)
}

func (t *topic) snapshot() TopicState {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock()
	s := t.state
	s.Live = t.until.After(now)
	s.Epoch, s.Sequence, s.Watermark = t.tracker.epoch, t.tracker.last, t.tracker.mark
	if !s.Watermark.IsZero() {
		s.Staleness = max(0, now.Sub(s.Watermark))
		if !s.Live && s.Reason == "" {
			s.Reason = reasonSilence
		}
	}
	if s.Live {
		s.Reason = ""
	}
	return s
}
