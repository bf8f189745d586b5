// Package bus moves events between services: CloudEvents that are published to
// topics, received by durable groups or broadcast to every process, and
// request/reply beside them. The broker is a driver's affair: package membus is
// the one inside the process, the modules natsbus and rabbitbus speak to servers.
//
//	b := membus.New(nil)
//	defer b.Shutdown(ctx)
//
//	sub, err := b.Group(ctx, "orders", "kitchen", func(ctx context.Context, d *bus.Delivery) error {
//		return cook(ctx, d.Event.Subject) // an error: again later, with backoff
//	}, nil)
//
//	err = b.Publish(ctx, "orders", bus.Event{Type: "order.placed", Subject: "/orders/9"})
//
// # Publish
//
// [Bus.Publish] returns when the bus has the events safe, and what that means is
// stated by [Bus.Durability]. What is unconfirmed is bounded by
// Options.Window for the whole bus: a publisher that is faster than the broker
// waits, and never past its context. When only some events failed the error is a
// [*PublishError] that says which.
//
// # Groups
//
// [Bus.Group] is at least once. Every event of the topic goes to one handler of
// the group, again and again until that handler returns nil, with exponential
// backoff and jitter in between; after GroupOptions.MaxAttempts it goes to the
// group's dead letters with the reason ([Bus.DeadLetters], [Bus.Redrive]). Events
// with the same [Event.Key] are handled one after the other in publish order,
// also across retries, while other keys run in parallel.
//
// # Broadcast
//
// [Bus.Broadcast] gives every process every event from now on, in publish order,
// together with a [State]: [Live], [Lost] when events may be passing unseen, and
// [Resumed] with or without a hole. Loss is never silent; what to do about it is
// the subscriber's decision.
//
// # Streams
//
// A [Stream] is a topic for value objects, such as the position of a rider: small
// payloads, bounded retention, and the latest value of each key can be read.
//
// # Request and reply
//
// [Bus.Request] asks one of the servers of a subject ([Bus.Serve]). The deadline
// travels with the question, a cancelled caller cancels the server's context
// where the driver can, and [ErrNoResponders] comes at once when nobody serves.
// [Bus.Ask] and [Bus.Questions] do the same for protocols that have an envelope of
// their own: bytes instead of events, and answers that need not wait until the
// handler returns.
//
// # Errors
//
// Sentinels are [ErrClosed], [ErrInvalidEvent], [ErrInvalidTopic],
// [ErrNoResponders], [ErrTooLarge], and errors.ErrUnsupported for what a driver
// can't. The broker's own error stays reachable by errors.As.
//
// # Shutdown
//
// [Bus.Shutdown] drains: groups take nothing new, running handlers finish, their
// acks leave, and then the connection goes. It returns after the last goroutine.
//
// # Nothing from the bus is trusted
//
// A message that is no valid event is counted, logged and shown to
// Options.OnInvalid; for a group it also becomes a dead letter. It never stops a
// subscription.
package bus
