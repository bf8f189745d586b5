package natsbus

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// DeleteGroup implements driver.GroupDeleter.
func (c *conn) DeleteGroup(ctx context.Context, topic, group string) error {
	if c.opts.Core {
		return errCore
	}
	err := c.js.DeleteConsumer(ctx, c.streamName(c.shard(topic)), consumerName(topic, group))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil
	}
	return temporary(err)
}
