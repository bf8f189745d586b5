package driver

import (
	"context"
	"time"
)

// Streamer is implemented by drivers that have topics for value objects. Their
// names are apart from those of event topics.
type Streamer interface {
	// DeclareStream makes the stream, or changes its bounds to these.
	DeclareStream(ctx context.Context, topic string, c StreamConfig) error
	// PublishStream is Publish for a stream.
	PublishStream(ctx context.Context, topic string, msgs []Message, done func(i int, err error))
	// BroadcastStream is Broadcast for a stream.
	BroadcastStream(ctx context.Context, topic string, sink Sink) (Subscription, error)
	// Latest returns the key's latest message, or an error that is fs.ErrNotExist.
	Latest(ctx context.Context, topic, key string) (Message, error)
	// LatestAll calls fn with the latest message of every key, until fn returns
	// false. Messages published meanwhile may be seen or not.
	LatestAll(ctx context.Context, topic string, fn func(Message) bool) error
}

// StreamConfig bounds a stream; the core has filled in every field.
type StreamConfig struct {
	// MaxAge is how long a message is kept.
	MaxAge time.Duration
	// PerKey is how many messages of one key are kept.
	PerKey int
	// MaxEvents and MaxBytes bound the stream; the oldest messages give way.
	MaxEvents, MaxBytes int64
}
