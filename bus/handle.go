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
	return &retryAfter{delay: delay, err: err}
}

type retryAfter struct {
	delay time.Duration
	err   error
}

func (e *retryAfter) Error() string {
	if e.err == nil {
		return "try again after " + e.delay.String()
	}
	return e.err.Error()
}

func (e *retryAfter) Unwrap() error { return e.err }

// Reject returns an error that makes the event a dead letter at once, because no
// further attempt could succeed.
func Reject(err error) error { return &rejected{err: err} }

type rejected struct{ err error }

func (e *rejected) Error() string {
	if e.err == nil {
		return "rejected"
	}
	return e.err.Error()
}

func (e *rejected) Unwrap() error { return e.err }

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
		attempt := it.d // the handler owns its delivery, so that it gets a copy
		if it.d.Attempt > 1 || g.opts.MaxAttempts > 1 {
			attempt.Event = it.d.Event.shielded()
		}
		err := g.h(g.ctx, &attempt)
		if err == nil {
			if len(it.more) > 0 {
				it.d.Event, it.more = it.more[0], it.more[1:]
				it.d.Attempt = 1
				continue
			}
			g.settled(it.acker.Ack())
			return 0, false
		}
		if delay, again = g.failed(it, err); again {
			return delay, true
		}
		it.bad = err
	}
	if err := g.bury(it); err != nil {
		g.bus.log.Error("dead letter", "topic", g.topic, "group", g.group, "id", it.d.Event.ID, "error", err)
		return g.opts.Backoff.Delay(it.d.Attempt), true
	}
	g.settled(it.acker.Ack())
	return 0, false
}

// failed judges a handler's error: another attempt, or the end.
func (g *member) failed(it *item, err error) (delay time.Duration, again bool) {
	attempt := it.d.Attempt
	log := g.bus.log.With("topic", g.topic, "group", g.group, "id", it.d.Event.ID, "type", it.d.Event.Type, "attempt", attempt, "error", err)
	var p *PanicError
	if errors.As(err, &p) {
		log.Error("handler panicked", "stack", string(p.Stack))
	}
	var r *rejected
	if errors.As(err, &r) || g.opts.MaxAttempts > 0 && attempt >= g.opts.MaxAttempts {
		log.Warn("event becomes a dead letter")
		return 0, false
	}
	it.d.Attempt++
	delay = g.opts.Backoff.Delay(attempt)
	var after *retryAfter
	if errors.As(err, &after) {
		delay = after.delay
	}
	log.Debug("event is tried again", "delay", delay)
	return delay, true
}

// shielded returns a copy for a handler, whose changes must not reach the next
// attempt: the map is copied, the data is capped but shared.
func (e *Event) shielded() Event {
	c := *e
	if len(e.Extensions) > 0 {
		c.Extensions = make(map[string]string, len(e.Extensions))
		for k, v := range e.Extensions {
			c.Extensions[k] = v
		}
	}
	c.Data = e.Data[:len(e.Data):len(e.Data)]
	return c
}
