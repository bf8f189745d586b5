package driver

import (
	"context"
	"time"
)

// Driver connects the core to one broker. All methods may be called at once
// from any goroutine.
type Driver interface {
	// Info says what the driver is and promises. It doesn't block.
	Info() Info

	// Publish hands msgs to the broker, in order, and calls done exactly once for
	// each: with the message's index and nil when the broker has it safe, as
	// Info().Durability says, or the reason why it hasn't. done may be called
	// from any goroutine, also before Publish returns; it doesn't block.
	//
	// Publish may block while the transport takes the messages, never past ctx,
	// and doesn't wait for the broker's answers. Once ctx has ended the core no
	// longer waits, but done must still be called for every message in bounded
	// time. A driver doesn't retry: it reports an error made by Temporary when the
	// same message may succeed later. An error may mean that the broker has the
	// message nonetheless; the core treats publishing as at least once.
	Publish(ctx context.Context, topic string, msgs []Message, done func(i int, err error))

	// CreateGroup makes the durable group of the topic, and whatever the broker
	// needs for the topic; if it is there nothing happens. The group's position
	// begins now.
	CreateGroup(ctx context.Context, topic, group string) error

	// Group joins the durable group of the topic, creating both where needed, and
	// calls deliver for each message from one goroutine, in the topic's order.
	// deliver doesn't block; a driver has no more than opts.MaxInFlight
	// deliveries handed over and neither acked nor nacked.
	//
	// What the group hasn't acked stays with the broker and is delivered again:
	// after a nack, after opts.AckWait without Touch, or when the connection is
	// gone. The subscription outlives reconnects by itself. ctx bounds only the
	// joining. A group's position begins at the moment of its creation. Unless
	// opts.Shared, one member at a time should be given messages, the next one
	// only when what the first left behind comes before newer messages; a driver
	// that can't do so says in Info that its groups aren't exclusive.
	Group(ctx context.Context, topic, group string, opts GroupOptions, deliver func(Delivery)) (Subscription, error)

	// Backlog returns how many messages the group hasn't acked.
	Backlog(ctx context.Context, topic, group string) (int, error)

	// Broadcast gives every message published to the topic after it returned, in
	// the topic's order, to sink, whose functions are called from one goroutine
	// and may block. Before Broadcast returns the broker knows the subscription;
	// the first call is sink.State(Live).
	//
	// When the driver can't be sure any more that it sees every message
	// (connection gone, heartbeat missing, buffer overrun), it calls
	// sink.State(Lost) as soon as it notices, keeps trying by itself, and calls
	// State(Resumed) when nothing was missed, or State(ResumedWithHole) when
	// something was or might have been, before the first message after it. No
	// message is handed over between Lost and Resumed, except those that
	// continue the order without a gap. ctx bounds only the subscribing.
	Broadcast(ctx context.Context, topic string, sink Sink) (Subscription, error)

	// Close ends the connection and every goroutine of the driver. The core calls
	// it once, after it closed all subscriptions. It doesn't wait past ctx.
	Close(ctx context.Context) error
}

// Subscription is a running Group, Broadcast or Serve.
type Subscription interface {
	// Stop asks the broker for no more messages. When it returns deliver (or the
	// sink, or the server's handler) isn't running and won't be called again,
	// while what was delivered may still be acked.
	// It may be called from any goroutine except those callbacks, and twice.
	Stop(ctx context.Context) error
	// Detach ends the subscription after Stop: acks are flushed and resources at
	// the client released. A durable group stays at the broker.
	Detach(ctx context.Context) error
}

// Info is what a driver says about itself.
type Info struct {
	// Name is the product, such as "nats".
	Name string
	// Durability is what Publish's nil means with the driver's configuration.
	Durability Durability
	// MaxPayload is the largest Message.Size the broker takes; 0 is unlimited.
	MaxPayload int
	// Copies says that the driver looks at no message given to Publish, nor at its
	// slices, once it has called done for it, and at none given to Request once that
	// has returned an answer, so that the core may use their memory again.
	Copies bool
	// ExclusiveGroups says that at any time one member of a group handles all of
	// a topic, so that order per key holds across processes.
	ExclusiveGroups bool
}

// GroupOptions are the options of a group subscription; the core has filled in
// every field.
type GroupOptions struct {
	// MaxInFlight bounds deliveries that are neither acked nor nacked.
	MaxInFlight int
	// AckWait is how long the broker waits for Ack or Touch before it delivers again.
	AckWait time.Duration
	// Shared lets members of the group that run in other processes work on the
	// topic at the same time, which gives up the order per key between them.
	Shared bool
}

// Delivery is one message for a group.
type Delivery struct {
	Message
	// Attempt counts the broker's deliveries of this message to the group, from 1.
	Attempt int
	// Acker settles the delivery.
	Acker Acker
}

// Acker settles one delivery. Its methods don't block on the network. After Ack
// or Nack no further method is called.
type Acker interface {
	// Ack says that the message needn't be delivered to the group again.
	Ack() error
	// Nack asks for another delivery after the delay.
	Nack(delay time.Duration) error
	// Touch restarts the delivery's AckWait.
	Touch() error
}

// Sink receives a broadcast.
type Sink interface {
	// Message is called for each message in order.
	Message(Message)
	// State is called when the subscription's state changes, from the same
	// goroutine as Message, with a reason for people when there is one.
	State(state State, reason error)
}

// State is what a broadcast subscription knows about its completeness.
type State int

// The states of a broadcast subscription.
const (
	// Live means that every message is seen.
	Live State = iota + 1
	// Lost means that messages may be passing unseen.
	Lost
	// Resumed means live again after Lost, and nothing was missed.
	Resumed
	// ResumedWithHole means live again after Lost, and something may be missing.
	ResumedWithHole
)
