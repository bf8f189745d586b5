package resn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// RunOwned runs what publishes topics, such as the relay of an outbox, while they
// are the owner's:
//
//	err := resn.RunOwned(ctx, resn.NewBusLease(b), []string{"restaurants"}, relay.Run,
//		&resn.OwnershipOptions{Owner: "restaurants-service"})
//
// OwnershipOptions.Owner is needed: it names the service, all of whose processes
// relay one outbox, of which one leads. Another service that publishes one of the
// topics is refused with an [*OwnedError], unless OwnershipOptions.Wait says to
// stand by. What stands by must announce the same changes: a service whose relays
// are cut off goes on changing its database, and another's watermarks would vouch
// for that. Nothing here can prevent it: who is cut off doesn't hear that there is
// another owner. Two databases don't share a topic. An [*OwnedError] says that two
// do: whoever gets it makes no more changes until somebody has looked.
//
// When a topic is lost the context of run ends, and when run has returned the
// topics are taken again. RunOwned returns nil when ctx has ended, what run
// returned when it ended by itself, and an [*OwnedError].
func RunOwned(ctx context.Context, l Lease, topics []string, run func(context.Context) error, opts *OwnershipOptions) error {
	var o OwnershipOptions
	if opts != nil {
		o = *opts
	}
	if o.Owner == "" {
		return errors.New("resn: run owned: OwnershipOptions.Owner is empty; processes that relay one outbox share its topics under one name, such as the service's")
	}
	if len(topics) == 0 {
		return errors.New("resn: run owned: no topics are named; name those that run publishes")
	}
	if o.TTL <= 0 {
		o.TTL = DefaultOwnershipTTL
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	topics = slices.Compact(slices.Sorted(slices.Values(topics)))
	for ctx.Err() == nil {
		owned, err := ownAll(ctx, l, topics, &o)
		if err == nil {
			err = runWithin(ctx, owned, run)
		}
		giveUp(ctx, owned, &o)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it ended because it was told to
		case errors.Is(err, ErrOwned), !errors.Is(err, errNotOurs):
			return err
		}
		o.Logger.Warn("not published until the topics are ours", "topics", topics, "error", err)
		select {
		case <-time.After(o.TTL / 4):
		case <-ctx.Done():
		}
	}
	return nil
}

// errNotOurs is wrapped by what RunOwned tries again after.
var errNotOurs = errors.New("resn: the topics aren't ours")

// ownAll takes all topics, several at once, because each takes a TTL.
func ownAll(ctx context.Context, l Lease, topics []string, o *OwnershipOptions) ([]*Ownership, error) {
	type claim struct {
		own *Ownership
		err error
	}
	claims := make(chan claim, len(topics))
	for _, topic := range topics {
		go func() {
			own, err := Own(ctx, l, topic, o)
			claims <- claim{own, err}
		}()
	}
	var owned []*Ownership
	var errs []error
	for range topics {
		c := <-claims
		if c.err != nil {
			errs = append(errs, fmt.Errorf("%w: %w", errNotOurs, c.err))
			continue
		}
		owned = append(owned, c.own)
	}
	return owned, errors.Join(errs...)
}

// runWithin runs within all of them.
func runWithin(ctx context.Context, owned []*Ownership, run func(context.Context) error) error {
	within, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for _, own := range owned {
		defer context.AfterFunc(own.Context(), func() {
			cancel(fmt.Errorf("%w: %w", errNotOurs, context.Cause(own.Context())))
		})()
	}
	err := run(within)
	if lost := context.Cause(within); lost != nil && ctx.Err() == nil {
		return lost
	}
	return err
}

// giveUp lets others have the topics.
func giveUp(ctx context.Context, owned []*Ownership, o *OwnershipOptions) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.TTL)
	defer cancel()
	for _, own := range owned {
		if err := own.Close(ctx); err != nil {
			o.Logger.Warn("topic not given up; it is free after its TTL", "topic", own.topic, "error", err)
		}
	}
}
