package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// part is something that has to be stopped.
type part struct {
	name string
	stop func(context.Context) error
}

// parts are stopped in the reverse order of their start.
type parts struct {
	mu    sync.Mutex
	list  []part
	ended bool
}

// errEnded is returned for a part that came too late.
var errEnded = errors.New("the service has ended")

func (p *parts) push(name string, stop func(context.Context) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return errEnded
	}
	p.list = append(p.list, part{name, stop})
	return nil
}

// last returns the name of the latest one.
func (p *parts) last() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.list[len(p.list)-1].name
}

func (p *parts) pop() (part, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.list) - 1
	if last < 0 {
		p.ended = true
		return part{}, false
	}
	top := p.list[last]
	p.list = p.list[:last]
	return top, true
}

// stop stops all of them, whatever goes wrong with one. A part that doesn't heed
// the end of ctx is left behind.
func (p *parts) stop(ctx context.Context, log *slog.Logger) error {
	var errs []error
	for {
		top, ok := p.pop()
		if !ok {
			return errors.Join(errs...)
		}
		began := time.Now()
		done := make(chan error, 1)
		go func() { done <- safely(ctx, top.stop) }()
		var err error
		select {
		case err = <-done:
		case <-ctx.Done():
			// It had its chance; one that ends at this very moment still counts.
			select {
			case err = <-done:
			case <-time.After(grace):
				err = fmt.Errorf("it doesn't end: %w", context.Cause(ctx))
			}
		}
		log.Debug("stopped", "part", top.name, "took", time.Since(began), "error", err)
		if err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", top.name, err))
		}
	}
}

// grace is what a part has to return in once its context has ended.
const grace = 100 * time.Millisecond

// safely calls f; a panic is an error.
func safely(ctx context.Context, f func(context.Context) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicError(v)
		}
	}()
	return f(ctx)
}
