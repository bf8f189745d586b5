package driver

import "context"

// GroupDeleter is implemented by drivers that can take a durable group away from
// the broker.
type GroupDeleter interface {
	// DeleteGroup deletes the durable group of the topic and what it hasn't acked.
	// The group's dead letters stay. A group that isn't there is no error. A member
	// that is still subscribed may make the group anew.
	DeleteGroup(ctx context.Context, topic, group string) error
}
