package bus

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/goswale/swale/bus/driver"
)

// BroadcastHandler receives a broadcast. Its functions are called in order from
// one goroutine; either may be nil. While one runs, events wait in a bounded
// buffer; if that overflows the subscription is Lost, then Resumed with a hole.
type BroadcastHandler struct {
	// Event is called for each event. It owns the event.
	Event func(Event)
	// State is called when the state changes, first with Live.
	State func(State)
}

// BroadcastOptions are the options of Bus.Broadcast. The zero value is useful.
type BroadcastOptions struct {
	// OnInvalid is told of each message that is no valid event, beside
	// Options.OnInvalid, in the order of the events.
	OnInvalid func(body []byte, err error)
}

// State says whether a broadcast subscription sees everything.
type State struct {
	// Kind is Live, Lost or Resumed.
	Kind StateKind
	// Hole says, with Resumed, that events were or may have been missed.
	Hole bool
	// Reason says why, for people; it may be nil.
	Reason error
}

// String describes the state for people.
func (s State) String() string {
	name := s.Kind.String()
	if s.Hole {
		name += " with a hole"
	}
	if s.Reason != nil {
		name += ": " + s.Reason.Error()
	}
	return name
}

// StateKind is the kind of a State.
type StateKind int

// The kinds of State.
const (
	// Live: every event is seen from here on.
	Live StateKind = iota + 1
	// Lost: events may be passing unseen until Resumed.
	Lost
	// Resumed: every event is seen again; State.Hole says whether some were missed.
	Resumed
)

// String returns the kind's name.
func (k StateKind) String() string {
	switch k {
	case Live:
		return "live"
	case Lost:
		return "lost"
	case Resumed:
		return "resumed"
	}
	return "unknown"
}

// Broadcast gives h every event that is published to the topic after Broadcast
// returned, in publish order, in this process as in every other one that asks.
// ctx bounds only the subscribing; the subscription goes on until Close.
func (b *Bus) Broadcast(ctx context.Context, topic string, h BroadcastHandler, opts *BroadcastOptions) (*Subscription, error) {
	if err := CheckName(topic); err != nil {
		return nil, fmt.Errorf("bus: broadcast: %w", err)
	}
	return b.broadcast(topic, h, opts, func(sink driver.Sink) (driver.Subscription, error) {
		return b.driver.Broadcast(ctx, topic, sink)
	})
}

func (b *Bus) broadcast(topic string, h BroadcastHandler, opts *BroadcastOptions, start func(driver.Sink) (driver.Subscription, error)) (*Subscription, error) {
	k := &sink{bus: b, topic: topic, h: h}
	if opts != nil {
		k.onInvalid = opts.OnInvalid
	}
	s := &Subscription{cancel: func() {}}
	s, err := b.subscribe(s, func() (driver.Subscription, error) { return start(k) })
	if err != nil {
		return nil, fmt.Errorf("bus: broadcast %s: %w", topic, err)
	}
	return s, nil
}

// sink turns a driver's messages and states into events and states.
type sink struct {
	bus       *Bus
	topic     string
	h         BroadcastHandler
	onInvalid func(body []byte, err error)
	events    []Event // room for those of a batch
}

func (k *sink) Message(m driver.Message) {
	var e Event
	err := k.bus.check(&m)
	if err == nil {
		err = e.fromMessage(&m)
	}
	switch {
	case errors.Is(err, errBatch):
		k.batch(&m)
	case err != nil:
		k.bad(m.Body, err)
	default:
		k.event(e)
	}
}

func (k *sink) batch(m *driver.Message) {
	events, err := decodeBatch(m.Body, k.bus.opts.MaxEventBytes, k.events[:0])
	if err != nil {
		k.bad(m.Body, err)
		return
	}
	for i := range events {
		k.event(events[i])
	}
	clear(events)
	k.events = events
}

func (k *sink) event(e Event) {
	if k.h.Event == nil || e.Extensions[redriveGroup] != "" {
		return
	}
	defer k.recovered()
	k.h.Event(e)
}

func (k *sink) bad(body []byte, err error) {
	k.bus.bad(k.topic, body, err)
	if k.onInvalid != nil {
		defer k.recovered()
		k.onInvalid(body, err)
	}
}

func (k *sink) State(state driver.State, reason error) {
	s := State{Reason: reason}
	switch state {
	case driver.Live:
		s.Kind = Live
	case driver.Lost:
		s.Kind = Lost
	case driver.Resumed:
		s.Kind = Resumed
	case driver.ResumedWithHole:
		s.Kind, s.Hole = Resumed, true
	}
	if s.Kind != Live {
		k.bus.log.Warn("broadcast state", "topic", k.topic, "state", s.String())
	}
	if k.h.State != nil {
		defer k.recovered()
		k.h.State(s)
	}
}

// recovered keeps a handler's panic from ending the subscription. It is deferred
// directly.
func (k *sink) recovered() {
	if v := recover(); v != nil {
		k.bus.log.Error("broadcast handler panicked", "topic", k.topic, "panic", v, "stack", string(debug.Stack()))
	}
}

// check refuses what is larger than this bus takes. Each event of a batch is
// looked at later.
func (b *Bus) check(m *driver.Message) error {
	if size := m.Size(); size > b.opts.MaxEventBytes && (size > driver.MaxBatchBytes || !isBatch(m)) {
		return fmt.Errorf("%w: %d bytes, allowed are %d", ErrTooLarge, size, b.opts.MaxEventBytes)
	}
	return nil
}

// bad counts and reports a message that is no valid event.
func (b *Bus) bad(topic string, body []byte, err error) {
	b.invalid.Add(1)
	b.log.Warn("message is no valid event", "topic", topic, "bytes", len(body), "error", err)
	if b.opts.OnInvalid != nil {
		b.opts.OnInvalid(topic, body, err)
	}
}
