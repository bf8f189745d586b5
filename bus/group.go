package bus

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/goswale/swale/bus/driver"
)

// Handler handles one event for a group. nil acks; an error has the event
// delivered again after a backoff, or after the delay of [RetryAfter]; [Reject]
// makes it a dead letter at once. ctx is cancelled when the bus is told to stop
// without waiting further.
type Handler func(ctx context.Context, d *Delivery) error

// Delivery is one event for a handler, which owns it but must not change the
// bytes of its Data in place: a further attempt reads them again.
type Delivery struct {
	// Event is what was published.
	Event Event
	// Topic and Group are those of the subscription.
	Topic, Group string
	// Attempt counts from 1 how often a handler of the group was, or may have been,
	// given this event.
	Attempt int
	// Redriven says that the event was a dead letter and is back by Bus.Redrive.
	Redriven bool
}

// GroupOptions are the options of Bus.Group. The zero value is useful. Members of
// one group should use the same.
type GroupOptions struct {
	// MaxInFlight bounds the events held here: queued, being handled, or waiting for
	// their next attempt. Default 256.
	MaxInFlight int
	// Parallel bounds the handlers that run at once, each on another key. Default 16.
	Parallel int
	// Backoff says when an event is tried again. Default 100 ms doubling to 30 s.
	Backoff Backoff
	// MaxAttempts is after how many failures an event becomes a dead letter.
	// Default 10; negative is never.
	MaxAttempts int
	// AckWait is how long the broker waits for a sign of life before it gives an
	// event to another process. While the event is held here the sign is given,
	// so it may be shorter than a handler takes. Default 30 s.
	AckWait time.Duration
	// Shared lets several processes of the group work at the same time. Then order
	// per key holds only inside each of them. By default, on drivers that say
	// ExclusiveGroups, one process works and the others stand by.
	Shared bool
	// Observe is told of each event that came to this process, before the handler
	// is, and in the topic's order, which handlers of different keys don't have.
	// An event that is delivered again is observed again; a further attempt at one
	// that is held here isn't observed. It is called from the subscription's
	// goroutine and must not block. Default: nobody is told.
	Observe func(e *Event)
	// Foreign makes an event of a message that is none, or says why it can't; then
	// the message becomes a dead letter. It is called once or more often for each
	// and must not keep body. Default: every such message becomes a dead letter.
	Foreign func(body []byte) (Event, error)
}

func (o *GroupOptions) fill() {
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = 256
	}
	if o.Parallel <= 0 {
		o.Parallel = 16
	}
	if o.MaxAttempts == 0 {
		o.MaxAttempts = 10
	}
	if o.AckWait <= 0 {
		o.AckWait = 30 * time.Second
	}
}

// Group handles the topic's events as a member of the named group, which is made
// where it doesn't exist: it then begins with events published from now on, and
// stays at the broker after Close. Each event is given to one member, at least
// once. Events of one key are handled in publish order, one at a time, also
// across retries; different keys run in parallel, and events without a key too.
// ctx bounds only the joining.
func (b *Bus) Group(ctx context.Context, topic, group string, h Handler, opts *GroupOptions) (*Subscription, error) {
	if err := CheckName(topic); err != nil {
		return nil, fmt.Errorf("bus: group: topic: %w", err)
	}
	if err := CheckName(group); err != nil {
		return nil, fmt.Errorf("bus: group on %s: %w", topic, err)
	}
	if h == nil {
		return nil, fmt.Errorf("bus: group %s on %s: the handler is nil", group, topic)
	}
	g := &member{bus: b, topic: topic, group: group, h: guard(h), lanes: make(map[string]*lane)}
	if opts != nil {
		g.opts = *opts
	}
	g.opts.fill()
	for _, m := range slices.Backward(b.opts.Middleware) {
		g.h = m(g.h)
	}
	g.held.next, g.held.prev = &g.held, &g.held
	g.wake.L = &g.mu
	hctx, cancel := context.WithCancel(context.Background())
	g.ctx = hctx
	s := &Subscription{finish: g.finish, cancel: cancel}
	s, err := b.subscribe(s, func() (driver.Subscription, error) {
		return b.driver.Group(ctx, topic, group, driver.GroupOptions{
			MaxInFlight: g.opts.MaxInFlight, AckWait: g.opts.AckWait, Shared: g.opts.Shared,
		}, g.deliver)
	})
	if err != nil {
		return nil, fmt.Errorf("bus: group %s on %s: %w", group, topic, err)
	}
	g.startTouching()
	return s, nil
}
