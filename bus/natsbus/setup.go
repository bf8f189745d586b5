package natsbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/goswale/swale/bus/driver"
)

// makeStreams makes the JetStream streams of events that aren't there.
func (c *conn) makeStreams(ctx context.Context) error {
	if c.opts.Core {
		return nil
	}
	able := true // every stream takes batches
	for shard := range c.opts.Shards {
		name := c.streamName(shard)
		if stream, err := c.js.Stream(ctx, name); err == nil {
			able = able && stream.CachedInfo().Config.AllowBatchPublish
			continue
		} else if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("look for stream %s: %w", name, err)
		}
		config := c.config(name, fmt.Sprintf("%s.e.%d.>", c.opts.Prefix, shard))
		config.AllowBatchPublish = atLeast(c.nc.ConnectedServerVersion(), 2, 14)
		stream, err := c.js.CreateStream(ctx, config)
		if err != nil {
			// Another process may have been quicker, with other bounds. Of two that come
			// at the same moment the server tells one that its subjects overlap, not
			// that the stream is there.
			var absent error
			var api *jetstream.APIError
			if stream, absent = c.js.Stream(ctx, name); absent != nil && errors.As(err, &api) && api.ErrorCode == unknownField {
				// The leader of a cluster that is halfway to a newer version knows no batches.
				config.AllowBatchPublish = false
				stream, absent = c.js.CreateStream(ctx, config)
			}
			if absent != nil {
				return fmt.Errorf("make stream %s: %w", name, err)
			}
		}
		able = able && stream.CachedInfo().Config.AllowBatchPublish
	}
	c.batches.able.Store(able)
	return nil
}

// unknownField is JetStream's error code for a request that it can't read.
const unknownField = 10025

func (c *conn) config(name, subject string) jetstream.StreamConfig {
	s := jetstream.StreamConfig{
		Name: name, Subjects: []string{subject}, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
		MaxAge: c.opts.Retention, MaxBytes: -1, Replicas: c.opts.Replicas,
		Duplicates: min(2*time.Minute, c.opts.Retention), AllowDirect: true,
		Storage: jetstream.FileStorage,
	}
	if c.opts.MaxBytes > 0 {
		s.MaxBytes = c.opts.MaxBytes
	}
	if c.opts.InMemory {
		s.Storage = jetstream.MemoryStorage
	}
	return s
}

// temporary marks the errors of an administrative call that may pass.
func temporary(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && api.Code < 500 {
		return err
	}
	if errors.Is(err, nats.ErrConnectionClosed) {
		return err
	}
	return driver.Temporary(err)
}
