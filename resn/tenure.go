package resn

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
)

// tenure takes a topic for a Publisher, keeps it, and takes it again when it was
// lost: a broker that was away for longer than a TTL must not end a process's
// changes for good.
type tenure struct {
	topic string
	lease Lease
	bus   *BusLease // lease, if it is ours to close
	opts  OwnershipOptions
	most  time.Duration // of one attempt
	stand bool          // by: that another has the topic is no mistake
	log   *slog.Logger

	without sabotage

	mu     sync.Mutex
	own    *Ownership    // nil while the topic isn't ours
	why    error         // nil until that is known
	turned chan struct{} // closed when own or why changes
}

func newTenure(b *bus.Bus, topic string, o *PublisherOptions) *tenure {
	t := &tenure{topic: topic, lease: o.Lease, log: o.Logger, without: o.without, turned: make(chan struct{})}
	if t.lease == nil {
		t.bus = NewBusLease(b)
		t.lease = t.bus
	}
	if o.Claim != nil {
		t.opts = *o.Claim
	}
	t.stand, t.opts.Wait = t.opts.Wait, false
	if t.opts.Owner == "" {
		t.opts.Owner = ownerName(o.Source)
	}
	if t.opts.TTL <= 0 {
		t.opts.TTL = DefaultOwnershipTTL
	}
	if t.opts.Logger == nil {
		t.opts.Logger = o.Logger
	}
	t.most = 2*t.opts.TTL + o.AnnounceTimeout
	return t
}

// ownerName is what who is refused reads: it should lead to the process.
func ownerName(source string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return source + " at " + host + ", process " + strconv.Itoa(os.Getpid()) + ", " + rand.Text()[:6]
}

// keep has the topic whenever it can be had, until ctx ends. gained is called
// before anybody learns that it is ours.
func (t *tenure) keep(ctx context.Context, gained func()) {
	defer t.close(ctx)
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, t.most)
		own, err := Own(attempt, t.lease, t.topic, &t.opts)
		cancel()
		if err != nil {
			t.refused(ctx, err)
			select {
			case <-time.After(t.opts.TTL / 4):
			case <-ctx.Done():
			}
			continue
		}
		gained()
		t.turn(own, nil)
		t.log.Info("topic is ours", "topic", t.topic, "owner", t.opts.Owner)
		select {
		case <-own.Context().Done():
			t.turn(nil, context.Cause(own.Context()))
		case <-ctx.Done():
			t.turn(nil, fmt.Errorf("%w: topic %q: the publisher is closed", ErrNotOwner, t.topic))
		}
		t.end(ctx, own)
		if t.without.retakes {
			return
		}
	}
}

// refused notes why the topic isn't ours, and tells the operator once.
func (t *tenure) refused(ctx context.Context, err error) {
	if !errors.Is(err, ErrOwned) {
		err = fmt.Errorf("%w: topic %q can't be claimed: %w", ErrNotOwner, t.topic, err)
	}
	t.mu.Lock()
	first := t.why == nil || t.why.Error() != err.Error()
	t.mu.Unlock()
	t.turn(nil, err)
	switch {
	case !first || ctx.Err() != nil:
	case t.stand && errors.Is(err, ErrOwned):
		t.log.Info("stands by until the topic is free", "topic", t.topic, "error", err)
	default:
		t.log.Error("changes are refused until the topic is ours", "topic", t.topic, "error", err)
	}
}

func (t *tenure) turn(own *Ownership, why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.own, t.why = own, why
	close(t.turned)
	t.turned = make(chan struct{})
}

// end gives the topic up.
func (t *tenure) end(ctx context.Context, own *Ownership) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.opts.TTL)
	defer cancel()
	if err := own.Close(ctx); err != nil {
		t.log.Warn("topic not given up; it is free after its TTL", "topic", t.topic, "error", err)
	}
}

func (t *tenure) close(ctx context.Context) {
	if t.bus == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.opts.TTL)
	defer cancel()
	if err := t.bus.Close(ctx); err != nil {
		t.log.Warn("claims still subscribed to", "topic", t.topic, "error", err)
	}
}

// wait waits until it is known whose the topic is, and says so.
func (t *tenure) wait(ctx context.Context) (*Ownership, error) {
	for {
		t.mu.Lock()
		own, why, turned := t.own, t.why, t.turned
		t.mu.Unlock()
		switch {
		case own != nil:
			return own, own.err()
		case why != nil:
			return nil, why
		}
		select {
		case <-turned:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: topic %q is being claimed: %w", ErrNotOwner, t.topic, ctx.Err())
		}
	}
}

// holds reports whether the topic is ours right now.
func (t *tenure) holds() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.own != nil && t.own.err() == nil
}

// turns returns what is closed when that changes; nothing ever for no tenure.
func (t *tenure) turns() <-chan struct{} {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.turned
}
