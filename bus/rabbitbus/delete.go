package rabbitbus

import (
	"context"

	amqp "github.com/rabbitmq/amqp091-go"
)

// DeleteGroup implements driver.GroupDeleter.
func (c *conn) DeleteGroup(ctx context.Context, topic, group string) error {
	err := c.do(ctx, c.in, func(ch channel) error {
		_, err := ch.QueueDelete(c.names.queue(topic, group), false, false, false)
		return err
	})
	if code(err, amqp.NotFound) {
		return nil
	}
	return err
}
