package bus

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/goswale/swale/bus/driver"
)

// Request asks one server of the subject and returns its answer. ctx's deadline,
// or Options.RequestTimeout without one, travels with the question; when ctx is
// cancelled the server's context is too, where the driver can. It returns an error
// that is ErrNoResponders at once when nobody serves the subject, and a
// [*RemoteError] when the handler failed. Nothing is retried: the question may
// have been answered although the answer got lost.
func (b *Bus) Request(ctx context.Context, subject string, e Event) (Event, error) {
	l := b.load(1)
	answer, err := b.ask(ctx, subject, &l.msgs[0], func(m *driver.Message) (err error) {
		l.room, err = b.append(ctx, subject, &e, m, l.room)
		return err
	})
	var reply Event
	if err == nil {
		b.unload(l)
		err = b.check(&answer)
	}
	if err == nil {
		err = reply.fromMessage(&answer)
	}
	if err != nil {
		return Event{}, requestError(subject, err)
	}
	return reply, nil
}

// ask sends a message when fill has made it.
func (b *Bus) ask(ctx context.Context, subject string, m *driver.Message, fill func(*driver.Message) error) (answer driver.Message, err error) {
	if err := CheckName(subject); err != nil {
		return answer, err
	}
	r, ok := b.driver.(driver.Requester)
	if !ok {
		return answer, errors.ErrUnsupported
	}
	if err := b.enter(); err != nil {
		return answer, err
	}
	defer b.leave()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(b.opts.RequestTimeout)
	}
	if err := fill(m); err != nil {
		return answer, err
	}
	return r.Request(ctx, subject, m, deadline)
}

// ServeOptions are the options of Bus.Serve. The zero value is useful.
type ServeOptions struct {
	// Parallel bounds the handlers that run at once; further requests wait at this
	// server. Default 64.
	Parallel int
}

// Serve answers requests on the subject as one of the named group; each request
// goes to one server of the group. h is called on a goroutine per request, with
// the caller's deadline, and is cancelled when the caller gives up, where the
// driver can tell. An error or panic of h becomes the caller's [*RemoteError].
// ctx bounds only the subscribing.
func (b *Bus) Serve(ctx context.Context, subject, group string, h func(ctx context.Context, e Event) (Event, error), opts *ServeOptions) (*Subscription, error) {
	if h == nil {
		return nil, fmt.Errorf("bus: serve %s: the handler is nil", subject)
	}
	return b.serve(subject, group, opts, func(r driver.Requester, parallel int) (driver.Subscription, error) {
		return r.Serve(ctx, subject, group, parallel, func(ctx context.Context, m driver.Message) (driver.Message, error) {
			return b.answer(ctx, subject, m, h)
		})
	}, nil)
}

// serve starts a subscription to requests.
func (b *Bus) serve(subject, group string, opts *ServeOptions, start func(r driver.Requester, parallel int) (driver.Subscription, error), finish func(context.Context) error) (*Subscription, error) {
	if err := errors.Join(CheckName(subject), CheckName(group)); err != nil {
		return nil, fmt.Errorf("bus: serve: %w", err)
	}
	r, ok := b.driver.(driver.Requester)
	if !ok {
		return nil, fmt.Errorf("bus: serve %s: %w", subject, errors.ErrUnsupported)
	}
	parallel := 64
	if opts != nil && opts.Parallel > 0 {
		parallel = opts.Parallel
	}
	s, err := b.subscribe(&Subscription{cancel: func() {}, finish: finish}, func() (driver.Subscription, error) { return start(r, parallel) })
	if err != nil {
		return nil, fmt.Errorf("bus: serve %s: %w", subject, err)
	}
	return s, nil
}

func (b *Bus) answer(ctx context.Context, subject string, m driver.Message, h func(context.Context, Event) (Event, error)) (out driver.Message, err error) {
	defer func() {
		if v := recover(); v != nil {
			b.log.Error("request handler panicked", "subject", subject, "panic", v, "stack", string(debug.Stack()))
			err = errInternal
		}
	}()
	var e Event
	if err := b.check(&m); err != nil {
		return out, err
	}
	if err := e.fromMessage(&m); err != nil {
		b.bad(subject, m.Body, err)
		return out, err
	}
	reply, err := h(ctx, e)
	if err != nil {
		return out, err
	}
	if reply.Type == "" {
		reply.Type = e.Type + ".reply"
	}
	err = b.encode(ctx, subject, &reply, &out)
	return out, err
}
