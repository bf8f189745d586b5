package gateway

import (
	"context"
	"slices"
	"time"
)

// Store keeps what the gateway must not forget: who may use it, who owns which
// topic, and who is subscribed to what. Queues are not in it, the bus keeps
// those. [MemoryStore] is one that ends with the process, package sqlstore has
// one in a database; package storetest proves others.
//
// Its methods are called from many goroutines and from several gateways at
// once. What isn't there is an error that is fs.ErrNotExist. Slices that go in
// or come out belong to whoever received them.
type Store interface {
	// Ping returns an error if the store can't be used now.
	Ping(ctx context.Context) error

	// AddToken keeps a token. If one with its Hash or ID is there the error is
	// fs.ErrExist.
	AddToken(ctx context.Context, t Token) error
	// TokenByHash returns the token with that hash.
	TokenByHash(ctx context.Context, hash string) (Token, error)
	// Tokens returns all tokens in the order of their IDs.
	Tokens(ctx context.Context) ([]Token, error)
	// RemoveToken forgets a token, its subscription, and its ownership of topics.
	// A token that isn't there is no error.
	RemoveToken(ctx context.Context, id string) error

	// ClaimTopic makes the topic where it isn't there, makes owner its owner if it
	// has none, and returns it as it then is, all at once. An empty owner claims
	// nothing.
	ClaimTopic(ctx context.Context, name, owner string) (Topic, error)
	// Topic returns the topic.
	Topic(ctx context.Context, name string) (Topic, error)
	// Topics returns all topics in the order of their names.
	Topics(ctx context.Context) ([]Topic, error)
	// RemoveTopic forgets the topic and takes it out of every subscription. A topic
	// that isn't there is an error that is fs.ErrNotExist.
	RemoveTopic(ctx context.Context, name string) error
	// CountEvents adds to Topic.Events. A topic that isn't there is no error.
	CountEvents(ctx context.Context, name string, n int64) error

	// PutSubscription keeps a subscription in the place of the subscriber's earlier
	// one, whose Sent it goes on with.
	PutSubscription(ctx context.Context, s Subscription) error
	// Subscription returns the subscriber's subscription.
	Subscription(ctx context.Context, subscriber string) (Subscription, error)
	// Subscriptions returns all in the order of their subscribers.
	Subscriptions(ctx context.Context) ([]Subscription, error)
	// RemoveSubscription forgets the subscription; if there is none the error is
	// fs.ErrNotExist.
	RemoveSubscription(ctx context.Context, subscriber string) error
	// LeaveTopic takes one topic out of the subscription, in one step; if the
	// subscription hasn't got it the error is fs.ErrNotExist.
	LeaveTopic(ctx context.Context, subscriber, topic string) error
	// PauseSubscription sets Subscription.Paused. One that isn't there is no error.
	PauseSubscription(ctx context.Context, subscriber, reason string) error
	// CountSent adds to Subscription.Sent. One that isn't there is no error.
	CountSent(ctx context.Context, subscriber string, n int64) error
}

// Token is a client of the gateway. The token itself is not kept.
type Token struct {
	// ID names the client where its token must not be shown: as owner of topics, as
	// subscriber, as the name of its group on the bus. 1 to 64 of a-z and 0-9.
	ID string
	// Name is for people.
	Name string
	// Hash is a keyed hash of the token.
	Hash string
	// Created is to the millisecond.
	Created time.Time
}

// Topic is a topic that was published or subscribed to through the gateway.
type Topic struct {
	Name string
	// Owner is the ID of the token that may publish it; "" if nobody has yet.
	Owner string
	// Events counts those that were published through the gateway.
	Events int64
}

// Subscription is what one client wants to be told.
type Subscription struct {
	// Subscriber is the ID of the client's token.
	Subscriber string
	// Topics are sorted.
	Topics []string
	// Callback is where batches go, an https URL without credentials.
	Callback string
	// Credential goes with each request to Callback, sealed.
	Credential string
	// Deadline is how long an event waits for others. To the millisecond.
	Deadline time.Duration
	// Max bounds the events of a batch.
	Max int
	// Format is how a batch is written.
	Format Format
	// Types are the types of notice that are wanted, sorted; none means all.
	Types []string
	// Rate bounds requests a minute, as the callback's owner asked; 0 doesn't.
	Rate int
	// Paused says why nothing is delivered, while events queue up. Empty if it is.
	Paused string
	// Sent counts the events that were acknowledged.
	Sent int64
}

// same reports whether two subscriptions ask for the same.
func same(a, b Subscription) bool {
	return a.Callback == b.Callback && a.Credential == b.Credential && a.Deadline == b.Deadline && a.Max == b.Max &&
		a.Format == b.Format && a.Rate == b.Rate && a.Paused == b.Paused &&
		slices.Equal(a.Topics, b.Topics) && slices.Equal(a.Types, b.Types)
}

// Format is how events are written in requests to a callback.
type Format string

// The formats.
const (
	// Routemaster is a JSON array of topic, type, url, t and data.
	Routemaster Format = "routemaster"
	// CloudEventsBatch is the JSON batch format of CloudEvents.
	CloudEventsBatch Format = "cloudevents-batch"
	// CloudEventsStructured is one event a request in structured mode.
	CloudEventsStructured Format = "cloudevents-structured"
	// CloudEventsBinary is one event a request in binary mode.
	CloudEventsBinary Format = "cloudevents-binary"
)

// cloudEvents reports whether the format is one of CloudEvents.
func (f Format) cloudEvents() bool { return f != Routemaster }

// single reports whether a request holds one event.
func (f Format) single() bool { return f == CloudEventsStructured || f == CloudEventsBinary }
