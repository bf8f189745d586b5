package resn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/hal"
)

// ErrValue is wrapped by every error about something that is not a well-formed
// value of a [Stream].
var ErrValue = errors.New("resn: not a stream value")

// valueType is the CloudEvents type of a stream's values. On a topic of notices it
// is rejected, because it has a payload.
const valueType = eventPrefix + "value"

// DefaultMaxValue is the default of [StreamOptions.MaxBytes].
const DefaultMaxValue = 1 << 10

// valueEnvelope is the room that a value's event needs beside the value, its key
// included.
const valueEnvelope = 1<<10 + MaxHref

// StreamOptions configures a [Stream]. The zero value, and nil, are useful.
type StreamOptions struct {
	// MaxBytes bounds a value's JSON. Default 1 KiB: what is larger is rather a
	// resource, with a notice.
	MaxBytes int

	// Keep bounds what the bus keeps. Its MaxEventBytes is derived from
	// MaxBytes. Default the latest value of each key for an hour, see
	// [bus.StreamOptions].
	Keep bus.StreamOptions

	// Source names the owner in CloudEvents. Default "/" and the topic.
	Source string

	// Logger hears of values that can't be read. Default: nothing is logged.
	Logger *slog.Logger
}

// Stream is a topic for immutable value objects that have no identity, such as
// where a rider was: too many and too short-lived to be resources with notices.
// Unlike a notice a value carries a small payload, with _links to what it is
// about. It is never vouched for and nothing is cached by it; a topic of notices
// of the same name is another topic. A Stream is safe for concurrent use.
//
// T is a struct with a field whose JSON name is "_links".
type Stream[T any] struct {
	inner *bus.Stream
	topic string
	key   func(T) string
	opts  StreamOptions
}

// Value is a value of a stream, and when it was published.
type Value[T any] struct {
	Value T
	Key   string
	Time  time.Time // by the publisher's clock
}

// StreamHandler hears of what a stream carries. Its functions are called in order
// from one goroutine; each may be nil.
type StreamHandler[T any] struct {
	// Value is called for each value.
	Value func(Value[T])
	// State is called when the subscription's state changes, first with
	// [bus.Live]. After a hole [Stream.All] has what is there now.
	State func(bus.State)
	// Invalid is called for what is not a value of the stream.
	Invalid func(error)
}

// NewStream declares a stream of values and returns it. key says of which thing a
// value tells, and so which earlier one it takes the place of: usually the href of
// one of its links.
func NewStream[T any](ctx context.Context, b *bus.Bus, topic string, key func(T) string, opts *StreamOptions) (*Stream[T], error) {
	s := &Stream[T]{topic: topic, key: key}
	if opts != nil {
		s.opts = *opts
	}
	s.opts.MaxBytes = positive(s.opts.MaxBytes, DefaultMaxValue)
	s.opts.Source = orDefault(s.opts.Source, "/"+topic)
	if s.opts.Logger == nil {
		s.opts.Logger = slog.New(slog.DiscardHandler)
	}
	if err := validTopic(topic); err != nil {
		return nil, fmt.Errorf("resn: stream: %w", err)
	}
	if t := reflect.TypeFor[T](); !linked(t) {
		return nil, fmt.Errorf("resn: stream %q: type %v has no field with the JSON name \"_links\"; a value says by its links what it is about", topic, t)
	}
	keep := s.opts.Keep
	keep.MaxEventBytes = s.opts.MaxBytes + valueEnvelope
	inner, err := b.Stream(ctx, topic, &keep)
	if err != nil {
		return nil, fmt.Errorf("resn: %w", err)
	}
	s.inner = inner
	return s, nil
}

// linked reports whether a struct has a field with the JSON name _links, embedded
// structs included.
func linked(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "_links" && f.IsExported() || f.Anonymous && name == "" && linked(f.Type) {
			return true
		}
	}
	return false
}

// Publish publishes values in this order, and returns nil when the bus has them.
// If one is malformed or too large nothing is published, and the error says which
// and why.
func (s *Stream[T]) Publish(ctx context.Context, values ...T) error {
	events := make([]bus.Event, len(values))
	for i, v := range values {
		data, err := json.Marshal(v)
		key := s.key(v)
		if err == nil {
			err = s.check(key, data)
		}
		if err != nil {
			return fmt.Errorf("resn: stream %q: value %d: %w", s.topic, i, err)
		}
		events[i] = bus.Event{
			Source: s.opts.Source, Type: valueType, Subject: key, Time: time.Now(),
			DataContentType: hal.HALType, Data: data,
			Extensions: map[string]string{extTopic: s.topic},
		}
	}
	return s.inner.Publish(ctx, events...)
}

// check says what is wrong with a value, in either direction.
func (s *Stream[T]) check(key string, data []byte) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: its key is empty", ErrValue)
	case len(key) > MaxHref:
		return fmt.Errorf("%w: its key has %d bytes; at most %d are allowed", ErrValue, len(key), MaxHref)
	case len(data) > s.opts.MaxBytes:
		return fmt.Errorf("%w: it has %d bytes, and StreamOptions.MaxBytes is %d", ErrValue, len(data), s.opts.MaxBytes)
	}
	var doc struct {
		Links hal.Links `json:"_links"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("%w: %w", ErrValue, err)
	}
	found := false
	for rel, links := range doc.Links.Relations() {
		for _, link := range links {
			if u, err := url.Parse(link.Href); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
				return fmt.Errorf("%w: its link %q leads to %q; a value is read far from where it was made, so links are absolute http or https URLs", ErrValue, clip(rel), clip(link.Href))
			}
			found = true
		}
	}
	if !found {
		return fmt.Errorf("%w: it has no _links", ErrValue)
	}
	return nil
}

// decode reads what came over the bus.
func (s *Stream[T]) decode(e *bus.Event) (Value[T], error) {
	var v Value[T]
	switch topic := e.Extensions[extTopic]; {
	case e.Type != valueType:
		return v, fmt.Errorf("%w: its CloudEvents type is %q; a stream carries %q", ErrValue, clip(e.Type), valueType)
	case topic != "" && topic != s.topic:
		return v, fmt.Errorf("%w: a value of %q came on %q", ErrValue, clip(topic), s.topic)
	}
	if err := s.check(e.Subject, e.Data); err != nil {
		return v, err
	}
	v.Key, v.Time = e.Subject, e.Time
	if err := json.Unmarshal(e.Data, &v.Value); err != nil {
		return v, fmt.Errorf("%w: %w", ErrValue, err)
	}
	return v, nil
}

// Subscribe gives h every value that is published from now on, in this process as
// in every other one that asks. ctx bounds only the subscribing; close the
// subscription to end it.
func (s *Stream[T]) Subscribe(ctx context.Context, h StreamHandler[T]) (*bus.Subscription, error) {
	invalid := func(err error) {
		s.opts.Logger.Warn("value rejected", "stream", s.topic, "error", err)
		if h.Invalid != nil {
			h.Invalid(err)
		}
	}
	sub, err := s.inner.Broadcast(ctx, bus.BroadcastHandler{
		Event: func(e bus.Event) {
			v, err := s.decode(&e)
			switch {
			case err != nil:
				invalid(err)
			case h.Value != nil:
				h.Value(v)
			}
		},
		State: h.State,
	}, &bus.BroadcastOptions{OnInvalid: func(_ []byte, err error) { invalid(fmt.Errorf("%w: %w", ErrValue, err)) }})
	if err != nil {
		return nil, fmt.Errorf("resn: %w", err)
	}
	return sub, nil
}

// Latest returns the latest value of the key. The error matches
// [io/fs.ErrNotExist] when there is none, or none any more.
func (s *Stream[T]) Latest(ctx context.Context, key string) (Value[T], error) {
	e, err := s.inner.Latest(ctx, key)
	if err != nil {
		return Value[T]{}, fmt.Errorf("resn: %w", err)
	}
	v, err := s.decode(&e)
	if err != nil {
		return Value[T]{}, fmt.Errorf("resn: stream %q: latest of %q: %w", s.topic, clip(key), err)
	}
	return v, nil
}

// All returns the latest value of every key. What is published meanwhile may be
// seen or not. What isn't a value of the stream is left out.
func (s *Stream[T]) All(ctx context.Context) iter.Seq2[Value[T], error] {
	return func(yield func(Value[T], error) bool) {
		for e, err := range s.inner.All(ctx) {
			if err != nil {
				yield(Value[T]{}, fmt.Errorf("resn: %w", err))
				return
			}
			v, err := s.decode(&e)
			if err != nil {
				s.opts.Logger.Warn("value rejected", "stream", s.topic, "error", err)
				continue
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}
