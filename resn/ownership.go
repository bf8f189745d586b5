package resn

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// DefaultOwnershipTTL is how long a topic stays with an owner who isn't heard of.
const DefaultOwnershipTTL = 2 * time.Second

// ErrOwned is wrapped by errors that say that somebody else publishes a topic.
var ErrOwned = errors.New("resn: the topic has another owner")

// ErrNotOwner is wrapped by errors of who published a topic and has lost it.
var ErrNotOwner = errors.New("resn: the topic isn't ours any more")

// OwnedError says who owns a topic. It wraps [ErrOwned].
type OwnedError struct {
	Topic, Owner string
}

func (e *OwnedError) Error() string {
	return fmt.Sprintf("resn: topic %q is published by %q; a topic has one owner at a time: stop that one, or wait until it is gone", e.Topic, clip(e.Owner))
}

// Unwrap makes it an [ErrOwned].
func (e *OwnedError) Unwrap() error { return ErrOwned }

// Lease is where those who publish agree who may: a row, a key in etcd, or, with
// [NewBusLease], the bus. Its methods may be called at once from any goroutine.
type Lease interface {
	// Hold takes the topic for the owner, or keeps it, for ttl, and returns until
	// when by this process's monotonic clock: no later than ttl after what told
	// others of it was sent. The error wraps [ErrOwned] while another owner has
	// it. Any other error says that nobody knows.
	Hold(ctx context.Context, topic, owner string, ttl time.Duration) (until time.Time, err error)
	// Release gives the topic up, if the owner has it.
	Release(ctx context.Context, topic, owner string) error
}

// OwnershipOptions configures [Own]. The zero value, and nil, are useful.
type OwnershipOptions struct {
	// Owner is who owns, as in errors that others get. Processes with one name
	// are one owner: name a service whose processes agree among themselves, as
	// relays of one outbox do. Default a name that nobody else has, so that one
	// process owns the topic.
	Owner string

	// TTL is how long the topic stays with an owner who isn't heard of: handover
	// takes so long. All who want a topic give the same. Default 2 s.
	TTL time.Duration

	// Wait waits until the topic is free, instead of returning an error: for a
	// process that stands by.
	Wait bool

	// Logger hears of a topic that was lost. Default: nothing is logged.
	Logger *slog.Logger
}

// Ownership is the right to publish a topic. It is kept until Close, or until it
// is lost. It is safe for concurrent use.
type Ownership struct {
	lease Lease
	topic string
	opts  OwnershipOptions

	ctx    context.Context // ends when the topic is lost
	cancel context.CancelCauseFunc
	stop   context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	until time.Time
}

// Own makes the caller the owner of a topic. If another has it the error is an
// [*OwnedError], unless OwnershipOptions.Wait says to wait for it until ctx ends.
//
// A [Publisher] does so by itself, and a relay of an outbox is run with [RunOwned].
// Whatever else publishes the topic is run within [Ownership.Context].
func Own(ctx context.Context, l Lease, topic string, opts *OwnershipOptions) (*Ownership, error) {
	if err := validTopic(topic); err != nil {
		return nil, err
	}
	o := &Ownership{lease: l, topic: topic, done: make(chan struct{})}
	if opts != nil {
		o.opts = *opts
	}
	if o.opts.Owner == "" {
		o.opts.Owner = rand.Text()
	}
	if o.opts.TTL <= 0 {
		o.opts.TTL = DefaultOwnershipTTL
	}
	if o.opts.Logger == nil {
		o.opts.Logger = slog.New(slog.DiscardHandler)
	}
	for {
		err := o.hold(ctx)
		if err == nil {
			break
		}
		if !o.opts.Wait || !errors.Is(err, ErrOwned) {
			return nil, err
		}
		select {
		case <-time.After(o.opts.TTL / 4):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", err, ctx.Err())
		}
	}
	o.ctx, o.cancel = context.WithCancelCause(context.Background())
	keep, stop := context.WithCancel(context.Background())
	o.stop = stop
	go o.keep(keep)
	return o, nil
}

// hold takes or keeps the topic.
func (o *Ownership) hold(ctx context.Context) error {
	until, err := o.lease.Hold(ctx, o.topic, o.opts.Owner, o.opts.TTL)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.until = until
	return nil
}

// keep keeps the topic until it is lost or given up.
func (o *Ownership) keep(ctx context.Context) {
	defer close(o.done)
	for ctx.Err() == nil {
		lost := time.NewTimer(time.Until(o.Until()))
		renew := time.NewTimer(o.opts.TTL / 3)
		held := make(chan error, 1)
		holding, cancel := context.WithDeadline(ctx, o.Until())
		go func() {
			select {
			case <-renew.C:
				held <- o.hold(holding)
			case <-holding.Done():
				held <- holding.Err()
			}
		}()
		var err error
		select {
		case err = <-held:
		case <-lost.C:
			// Whatever the lease may still answer, nobody counts on it any more.
			o.lose(errors.New("the lease could not be renewed"))
			err = <-held
		}
		cancel()
		lost.Stop()
		renew.Stop()
		switch {
		case ctx.Err() != nil || o.ctx.Err() != nil:
			return
		case errors.Is(err, ErrOwned):
			o.lose(err)
			return
		case err != nil:
			o.opts.Logger.Warn("ownership not renewed", "topic", o.topic, "error", err)
		}
	}
}

func (o *Ownership) lose(why error) {
	o.opts.Logger.Error("topic lost", "topic", o.topic, "owner", o.opts.Owner, "error", why)
	o.cancel(fmt.Errorf("%w: topic %q: %w", ErrNotOwner, o.topic, why))
}

// Context ends when the topic is lost or given up; its cause then wraps
// [ErrNotOwner]. Whatever publishes the topic is run within it.
func (o *Ownership) Context() context.Context { return o.ctx }

// Until returns until when the topic is ours if nothing more is heard of the
// lease, by this process's monotonic clock.
func (o *Ownership) Until() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.until
}

// err says why the topic isn't ours, or nil.
func (o *Ownership) err() error {
	if err := context.Cause(o.ctx); err != nil {
		return err
	}
	if !time.Now().Before(o.Until()) {
		return fmt.Errorf("%w: topic %q: the lease could not be renewed", ErrNotOwner, o.topic)
	}
	return nil
}

// Close gives the topic up, so that another may have it. It may be called twice.
func (o *Ownership) Close(ctx context.Context) error {
	o.stop()
	o.cancel(fmt.Errorf("%w: topic %q was given up", ErrNotOwner, o.topic))
	select {
	case <-o.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := o.lease.Release(ctx, o.topic, o.opts.Owner); err != nil {
		return fmt.Errorf("resn: give topic %q up: %w", o.topic, err)
	}
	return nil
}
