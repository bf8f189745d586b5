package bus

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/goswale/swale/bus/driver"
)

// Stream is a topic for value objects: immutable values without an identity of
// their own, such as where a rider was. Its name is apart from the names of event
// topics, its events are small, and what is kept is bounded. It is safe for
// concurrent use.
type Stream struct {
	bus   *Bus
	topic string
	opts  StreamOptions
	d     driver.Streamer
}

// StreamOptions bound a stream. The zero value is useful.
type StreamOptions struct {
	// MaxEventBytes bounds an encoded event. Default 2 KiB.
	MaxEventBytes int
	// MaxAge is how long an event is kept. Default 1 h.
	MaxAge time.Duration
	// PerKey is how many events of a key are kept. Default 1, the latest.
	PerKey int
	// MaxEvents bounds the events that are kept; the oldest give way. Default 1,000,000.
	MaxEvents int64
	// MaxBytes bounds their bytes. Default 256 MiB.
	MaxBytes int64
}

// Stream declares a stream and returns it. Declaring it again with other bounds
// changes them for everybody.
func (b *Bus) Stream(ctx context.Context, topic string, opts *StreamOptions) (*Stream, error) {
	if err := CheckName(topic); err != nil {
		return nil, fmt.Errorf("bus: stream: %w", err)
	}
	d, ok := b.driver.(driver.Streamer)
	if !ok {
		return nil, fmt.Errorf("bus: stream %s: %w", topic, errors.ErrUnsupported)
	}
	s := &Stream{bus: b, topic: topic, d: d}
	if opts != nil {
		s.opts = *opts
	}
	o := &s.opts
	if o.MaxEventBytes <= 0 {
		o.MaxEventBytes = 2 << 10
	}
	if o.MaxAge <= 0 {
		o.MaxAge = time.Hour
	}
	if o.PerKey <= 0 {
		o.PerKey = 1
	}
	if o.MaxEvents <= 0 {
		o.MaxEvents = 1_000_000
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 256 << 20
	}
	if err := b.enter(); err != nil {
		return nil, fmt.Errorf("bus: stream %s: %w", topic, err)
	}
	defer b.leave()
	err := d.DeclareStream(ctx, topic, driver.StreamConfig{MaxAge: o.MaxAge, PerKey: o.PerKey, MaxEvents: o.MaxEvents, MaxBytes: o.MaxBytes})
	if err != nil {
		return nil, fmt.Errorf("bus: stream %s: %w", topic, err)
	}
	return s, nil
}

// Publish is Bus.Publish for the stream, with the stream's limit of size.
func (s *Stream) Publish(ctx context.Context, events ...Event) error {
	b := s.bus
	if len(events) == 0 {
		return nil
	}
	if err := b.enter(); err != nil {
		return fmt.Errorf("bus: publish to stream %s: %w", s.topic, err)
	}
	defer b.leave()
	msgs := make([]driver.Message, len(events))
	for i := range events {
		err := b.encode(ctx, s.topic, &events[i], &msgs[i])
		if size := msgs[i].Size(); err == nil && size > s.opts.MaxEventBytes {
			err = fmt.Errorf("%w: %d bytes, the stream allows %d", ErrTooLarge, size, s.opts.MaxEventBytes)
		}
		if err != nil {
			return fmt.Errorf("bus: publish to stream %s: event %d: %w", s.topic, i, err)
		}
	}
	return b.publish(ctx, s.topic, msgs, s.d.PublishStream)
}

// Broadcast is Bus.Broadcast for the stream.
func (s *Stream) Broadcast(ctx context.Context, h BroadcastHandler, opts *BroadcastOptions) (*Subscription, error) {
	return s.bus.broadcast(s.topic, h, opts, func(k driver.Sink) (driver.Subscription, error) {
		return s.d.BroadcastStream(ctx, s.topic, k)
	})
}

// Latest returns the latest event of the key. The error is fs.ErrNotExist when
// there is none, or none any more.
func (s *Stream) Latest(ctx context.Context, key string) (Event, error) {
	var e Event
	err := s.bus.enter()
	if err == nil {
		defer s.bus.leave()
		var m driver.Message
		if m, err = s.d.Latest(ctx, s.topic, key); err == nil {
			err = e.fromMessage(&m)
		}
	}
	if err != nil {
		return Event{}, fmt.Errorf("bus: latest of stream %s: %w", s.topic, err)
	}
	return e, nil
}

// All returns the latest event of every key. What is published meanwhile may be
// seen or not. Messages that are no valid events are left out.
func (s *Stream) All(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		err := s.bus.enter()
		if err == nil {
			defer s.bus.leave()
			more := true
			err = s.d.LatestAll(ctx, s.topic, func(m driver.Message) bool {
				var e Event
				if bad := e.fromMessage(&m); bad != nil {
					s.bus.bad(s.topic, m.Body, bad)
					return true
				}
				more = yield(e, nil)
				return more
			})
			if !more {
				return
			}
		}
		if err != nil {
			yield(Event{}, fmt.Errorf("bus: all of stream %s: %w", s.topic, err))
		}
	}
}
