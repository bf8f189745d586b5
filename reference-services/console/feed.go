package console

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/resn"
)

// Bounds on what is kept of notices, and on how many topics are heard.
const (
	maxChanges = 30
	maxTopics  = 64
)

// change is a notice that arrived.
type change struct {
	resn.Event
	At    time.Time
	Delay time.Duration // since the change, by the owner's clock
}

// feed hears notices.
type feed struct {
	bus *bus.Bus

	mu      sync.Mutex
	topics  map[string]*bus.Subscription
	changes []change // the newest first
}

func newFeed(b *bus.Bus) *feed { return &feed{bus: b, topics: make(map[string]*bus.Subscription)} }

// follow hears a topic from now on, if it doesn't already.
func (f *feed) follow(ctx context.Context, topic string) error {
	f.mu.Lock()
	_, heard := f.topics[topic]
	full := len(f.topics) >= maxTopics
	f.mu.Unlock()
	if heard || full || ctx.Err() != nil {
		return nil
	}
	sub, err := f.bus.Broadcast(ctx, topic, bus.BroadcastHandler{Event: func(ce bus.Event) { f.hear(topic, &ce) }}, nil)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.topics[topic] = sub
	return nil
}

func (f *feed) hear(topic string, ce *bus.Event) {
	e, _, err := resn.Decode(topic, ce)
	if err != nil || e.Type == "" {
		return // garbage is counted by those whom it concerns
	}
	c := change{Event: e, At: time.Now()}
	if !e.Time.IsZero() {
		c.Delay = c.At.Sub(e.Time)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes = slices.Insert(f.changes, 0, c)
	f.changes = f.changes[:min(len(f.changes), maxChanges)]
}

func (f *feed) latest() []change {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.changes)
}

func (f *feed) close(ctx context.Context) error {
	f.mu.Lock()
	topics := f.topics
	f.topics = make(map[string]*bus.Subscription)
	f.mu.Unlock()
	var errs []error
	for _, sub := range topics {
		errs = append(errs, sub.Close(ctx))
	}
	return errors.Join(errs...)
}
