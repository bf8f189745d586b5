package natsbus

import (
	"context"
	"sync"
	"time"
)

// respite is the context of a request's handler. Its channel and its timer come
// into being when somebody waits for them: most handlers are done before that.
// It has no parent, so that nothing has to be entered and removed there: the server
// ends those that are left.
type respite struct {
	deadline time.Time // zero: none

	mu    sync.Mutex
	err   error
	done  chan struct{}
	timer *time.Timer
	funcs map[*func()]struct{}
}

var _ context.Context = (*respite)(nil)

// Deadline implements context.Context.
func (p *respite) Deadline() (time.Time, bool) { return p.deadline, !p.deadline.IsZero() }

// Value implements context.Context.
func (p *respite) Value(any) any { return nil }

// Done implements context.Context.
func (p *respite) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watch()
	if p.done == nil {
		p.done = make(chan struct{})
		if p.err != nil {
			close(p.done)
		}
	}
	return p.done
}

// Err implements context.Context.
func (p *respite) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil && p.timer == nil && !p.deadline.IsZero() && !time.Now().Before(p.deadline) {
		p.err = context.DeadlineExceeded // nobody waits who would have to be told
	}
	return p.err
}

// AfterFunc is what package context calls instead of having a goroutine wait for
// Done, for contexts that are made from this one.
func (p *respite) AfterFunc(f func()) (stop func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		go f()
		return func() bool { return false }
	}
	p.watch()
	if p.funcs == nil {
		p.funcs = make(map[*func()]struct{})
	}
	p.funcs[&f] = struct{}{}
	return func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		_, waits := p.funcs[&f]
		delete(p.funcs, &f)
		return waits
	}
}

// watch starts the timer; mu is held.
func (p *respite) watch() {
	if p.err == nil && p.timer == nil && !p.deadline.IsZero() {
		p.timer = time.AfterFunc(time.Until(p.deadline), func() { p.end(context.DeadlineExceeded) })
	}
}

// end ends the context, once.
func (p *respite) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return
	}
	p.err = err
	if p.done != nil {
		close(p.done)
	}
	if p.timer != nil {
		p.timer.Stop()
	}
	for f := range p.funcs {
		go (*f)()
	}
	p.funcs = nil
}
