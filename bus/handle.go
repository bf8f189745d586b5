package bus

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// RetryAfter returns an error that has the event tried again after the delay
// instead of the backoff. It counts as an attempt.
func RetryAfter(delay time.Duration, err error) error {
	return &retryAfterError{delay: delay, err: err}
}

type retryAfterError struct {
	delay time.Duration
	err   error
}

func (e *retryAfterError) Error() string {
	if e.err == nil {
		return "try again after " + e.delay.String()
	}
	return e.err.Error()
}

func (e *retryAfterError) Unwrap() error { return e.err }

// Reject returns an error that makes the event a dead letter at once, because no
// further attempt could succeed.
func Reject(err error) error { return &rejectedError{err: err} }

// Rejected reports whether an error was made by [Reject], for middleware.
func Rejected(err error) bool {
	var r *rejectedError
	return errors.As(err, &r)
}

type rejectedError struct{ err error }

func (e *rejectedError) Error() string {
	if e.err == nil {
		return "rejected"
	}
	return e.err.Error()
}

func (e *rejectedError) Unwrap() error { return e.err }

// PanicError is the error of a handler that panicked.
type PanicError struct {
	// Value is what was given to panic.
	Value any
	// Stack is the goroutine's stack at that time.
	Stack []byte
}

// Error returns the panic's value as text.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// guard turns a handler's panic into an error.
func guard(h Handler) Handler {
	return func(ctx context.Context, d *Delivery) (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = &PanicError{Value: v, Stack: debug.Stack()}
			}
		}()
		return h(ctx, d)
	}
}

// handle makes one attempt at an item and settles it, or says after which delay
// to try again.
func (g *member) handle(it *item) (delay time.Duration, again bool) {
	for it.bad == nil {
		it.d.Topic, it.d.Group, it.d.Attempt = g.topic, g.group, it.attempt
		err := g.h(g.ctx, &it.d)
		if err == nil {
			if more, bad := g.following(it); bad != nil {
				it.bad = bad
			} else if !more {
				g.settled(it.acker.Ack())
				return 0, false
			}
			continue
		}
		if delay, again = g.failed(it, err); again {
			return delay, true
		}
		it.bad = err
	}
	if err := g.bury(it); err != nil {
		g.bus.log.Error("dead letter", "topic", g.topic, "group", g.group, "error", err)
		return g.opts.Backoff.Delay(it.attempt), true
	}
	g.settled(it.acker.Ack())
	return 0, false
}

// following goes on to the next event of a batch, if the item is one and has more.
func (g *member) following(it *item) (more bool, err error) {
	if !it.batch {
		return false, nil
	}
	it.index++
	it.attempt = 1
	events, err := UnmarshalBatch(it.m.Body)
	if err != nil || it.index >= len(events) {
		return false, err
	}
	it.d = Delivery{Event: events[it.index]}
	return true, nil
}

// failed judges a handler's error: another attempt, or the end.
func (g *member) failed(it *item, err error) (delay time.Duration, again bool) {
	attempt := it.attempt
	redriven := it.d.Redriven
	it.d = Delivery{} // the handler may have changed it
	if bad := g.decode(it); bad != nil {
		err = errors.Join(err, bad) // it changed the data in place
	}
	if redriven {
		g.redriven(&it.d)
	}
	log := g.bus.log.With("topic", g.topic, "group", g.group, "id", it.d.Event.ID, "type", it.d.Event.Type, "attempt", attempt, "error", err)
	var p *PanicError
	if errors.As(err, &p) {
		log.Error("handler panicked", "stack", string(p.Stack))
	}
	if Rejected(err) || g.opts.MaxAttempts > 0 && attempt >= g.opts.MaxAttempts {
		log.Warn("event becomes a dead letter")
		return 0, false
	}
	it.attempt++
	delay = g.opts.Backoff.Delay(attempt)
	var after *retryAfterError
	if errors.As(err, &after) {
		delay = after.delay
	}
	log.Debug("event is tried again", "delay", delay)
	return delay, true
}
