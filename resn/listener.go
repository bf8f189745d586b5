package resn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/cache"
)

// Defaults of [ListenerOptions].
const (
	DefaultLease          = 2 * time.Second
	DefaultClockTolerance = 500 * time.Millisecond
	DefaultMaxTopics      = 256
)

// ListenerOptions configures a [Listener]. The zero value, and nil, are
// useful.
type ListenerOptions struct {
	// Lease is how long a watermark's word holds: without a newer one for so
	// long, the topic's entries are no longer vouched for. Owners write one
	// at least every 500 ms. Default 2 s.
	Lease time.Duration

	// ClockTolerance is how far an owner's clock may run ahead of ours; a
	// watermark from further ahead is not believed. It adds to Lease in the
	// bound on staleness. Default 500 ms.
	ClockTolerance time.Duration

	// MaxTopics bounds the topics listened to, because a response can name
	// any. Default 256.
	MaxTopics int

	// OnNotice is called with every notice that is taken in, noops and those
	// without a number included, repeats not, after the cache has applied it.
	// Notices of one topic come one after another and in order: the next
	// message waits for the call, which must not call the Listener.
	OnNotice func(Event)

	// OnMissed is called when notices of a topic were missed, or may have
	// been, before the notice at which that came out. It is called like
	// OnNotice.
	OnMissed func(topic, reason string)

	// Logger hears of loss, of recovery and of what can't be read. Default:
	// nothing is logged.
	Logger *slog.Logger

	// Clock replaces time.Now. Default time.Now.
	Clock func() time.Time

	without sabotage
}

// ErrTooManyTopics is returned by [Listener.Listen] beyond
// [ListenerOptions.MaxTopics].
var ErrTooManyTopics = errors.New("resn: too many topics")

// Listener keeps a cache coherent: it subscribes to topics, tells the cache
// what changed, and vouches for what didn't. It is safe for concurrent use.
type Listener struct {
	bus   *bus.Bus
	cache *cache.Transport
	opts  ListenerOptions

	mu     sync.Mutex
	topics map[string]*topic
	closed bool
}

// NewListener returns a Listener that listens to nothing yet.
func NewListener(b *bus.Bus, t *cache.Transport, opts *ListenerOptions) *Listener {
	l := &Listener{bus: b, cache: t, topics: map[string]*topic{}}
	if opts != nil {
		l.opts = *opts
	}
	if l.opts.Lease <= 0 {
		l.opts.Lease = DefaultLease
	}
	if l.opts.ClockTolerance <= 0 {
		l.opts.ClockTolerance = DefaultClockTolerance
	}
	if l.opts.MaxTopics <= 0 {
		l.opts.MaxTopics = DefaultMaxTopics
	}
	if l.opts.Logger == nil {
		l.opts.Logger = slog.New(slog.DiscardHandler)
	}
	if l.opts.Clock == nil {
		l.opts.Clock = time.Now
	}
	return l
}

// Listen subscribes to a topic, unless it is subscribed to already. It returns
// when the subscription stands; the topic is live from its first watermark
// on, see [Listener.Topics].
func (l *Listener) Listen(ctx context.Context, name string) error {
	if err := validTopic(name); err != nil {
		return err
	}
	t, fresh, err := l.topic(name)
	if err != nil {
		return err
	}
	if !fresh {
		return t.wait(ctx)
	}
	sub, err := l.bus.Broadcast(ctx, name, bus.BroadcastHandler{Event: t.event, State: t.connection}, &bus.BroadcastOptions{OnInvalid: t.bare})
	if err != nil {
		err = fmt.Errorf("resn: subscribe to topic %q: %w", name, err)
		l.mu.Lock()
		delete(l.topics, name)
		l.mu.Unlock()
	}
	t.subscribed(sub, err)
	return err
}

// topic returns the named topic, and whether the caller is to subscribe it.
func (l *Listener) topic(name string) (*topic, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, false, fmt.Errorf("resn: listen to topic %q: the listener is closed", name)
	}
	if t, ok := l.topics[name]; ok {
		return t, false, nil
	}
	if len(l.topics) >= l.opts.MaxTopics {
		return nil, false, fmt.Errorf("%w: %q would be number %d; raise ListenerOptions.MaxTopics if so many are meant", ErrTooManyTopics, name, len(l.topics)+1)
	}
	t := newTopic(name, l)
	l.topics[name] = t
	return t, true, nil
}

// elsewhere takes in a notice that came by another subscription of the process,
// such as a consumer's group. From then on this process has received it, so no
// read may return what was there before (G1), though the listener's own
// subscription hears of it later. Nothing is vouched for on its account, and
// taking it in twice is harmless.
func (l *Listener) elsewhere(e *Event) {
	l.mu.Lock()
	t := l.topics[e.Topic]
	l.mu.Unlock()
	switch {
	case t != nil:
		t.elsewhere(e)
	case e.Type != Noop:
		l.cache.Apply(cache.Change{URL: e.Href, Scope: e.Topic})
	}
}

// Topics returns the state of every topic, sorted by name.
func (l *Listener) Topics() []TopicState {
	l.mu.Lock()
	topics := slices.Collect(maps.Values(l.topics))
	l.mu.Unlock()
	states := make([]TopicState, len(topics))
	for i, t := range topics {
		states[i] = t.snapshot()
	}
	slices.SortFunc(states, func(a, b TopicState) int {
		if a.Topic < b.Topic {
			return -1
		}
		return 1
	})
	return states
}

// Close ends every subscription. From then on nobody vouches for anything,
// and the cache goes on as an ordinary HTTP cache.
func (l *Listener) Close(ctx context.Context) error {
	l.mu.Lock()
	l.closed = true
	topics := slices.Collect(maps.Values(l.topics))
	l.mu.Unlock()
	var errs []error
	for _, t := range topics {
		if err := t.wait(ctx); err != nil {
			continue // never subscribed
		}
		t.mu.Lock()
		sub := t.sub
		t.mu.Unlock()
		errs = append(errs, sub.Close(ctx))
		t.hush()
	}
	return errors.Join(errs...)
}
