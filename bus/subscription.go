package bus

import (
	"context"
	"errors"
	"sync"

	"github.com/goswale/swale/bus/driver"
)

// Subscription is what Group, Broadcast and Serve return. It goes on until Close
// or the bus's Shutdown, whatever happens to the connection. It is safe for
// concurrent use.
type Subscription struct {
	bus    *Bus
	inner  driver.Subscription
	finish func(ctx context.Context) error // handlers that still run; may be nil
	cancel context.CancelFunc              // ends the handlers' context

	mu     sync.Mutex
	closed bool
}

// Close drains: nothing new is taken, running handlers finish, their acks leave,
// then the subscription ends here; a durable group stays at the broker and
// collects. When ctx ends first the handlers' contexts are cancelled, and Close
// returns the context's error; what isn't acked is delivered again. Closing again
// is fine. A handler must not close its own subscription.
func (s *Subscription) Close(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	errs := []error{s.inner.Stop(ctx)}
	if s.finish != nil {
		errs = append(errs, s.finish(ctx))
	}
	s.cancel()
	errs = append(errs, s.inner.Detach(ctx))
	s.bus.forget(s)
	return errors.Join(errs...)
}

// subscribe starts a subscription and keeps it for Shutdown.
func (b *Bus) subscribe(s *Subscription, start func() (driver.Subscription, error)) (*Subscription, error) {
	b.mu.Lock()
	if b.closing {
		b.mu.Unlock()
		s.cancel()
		return nil, errShutDown
	}
	// Held so that a Shutdown meanwhile waits in Close for the start.
	s.mu.Lock()
	b.subs[s] = struct{}{}
	b.mu.Unlock()
	defer s.mu.Unlock()
	s.bus = b
	inner, err := start()
	if err != nil {
		s.closed = true
		s.cancel()
		b.forget(s)
		return nil, err
	}
	s.inner = inner
	return s, nil
}

func (b *Bus) forget(s *Subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.subs, s)
}
