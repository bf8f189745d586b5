package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/goswale/swale/bus/driver"
)

// DeleteGroup deletes the durable group of the topic from the broker, together
// with the events that it hasn't acked; its dead letters stay. Close the group's
// subscriptions first, in every process: one that goes on may make the group
// anew. A group that isn't there is no error. The error is errors.ErrUnsupported
// when the driver can't delete groups.
func (b *Bus) DeleteGroup(ctx context.Context, topic, group string) error {
	if err := errors.Join(CheckName(topic), CheckName(group)); err != nil {
		return fmt.Errorf("bus: delete group: %w", err)
	}
	d, ok := b.driver.(driver.GroupDeleter)
	if !ok {
		return fmt.Errorf("bus: delete group %s on %s: %w", group, topic, errors.ErrUnsupported)
	}
	if err := b.enter(); err != nil {
		return err
	}
	defer b.leave()
	if err := d.DeleteGroup(ctx, topic, group); err != nil {
		return fmt.Errorf("bus: delete group %s on %s: %w", group, topic, err)
	}
	return nil
}
