package natsbus

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A handler's context must be one like any other, whoever looks at it and when.
func TestRespite(t *testing.T) {
	looks := map[string]func(ctx context.Context) (err func() error){
		"Err": func(ctx context.Context) func() error { return ctx.Err },
		"Done": func(ctx context.Context) func() error {
			done := ctx.Done()
			return func() error {
				select {
				case <-done:
					return ctx.Err()
				default:
					return nil
				}
			}
		},
		"Done, afterwards": func(ctx context.Context) func() error {
			return func() error {
				if ctx.Err() == nil {
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			}
		},
		"a child": func(ctx context.Context) func() error {
			child, cancel := context.WithCancel(ctx)
			context.AfterFunc(child, cancel)
			return child.Err
		},
		"AfterFunc": func(ctx context.Context) func() error {
			var called atomic.Bool
			context.AfterFunc(ctx, func() { called.Store(true) })
			return func() error {
				if synctest.Wait(); called.Load() {
					return ctx.Err()
				}
				return nil
			}
		},
		"AfterFunc, afterwards": func(ctx context.Context) func() error {
			return func() error {
				if ctx.Err() == nil {
					return nil
				}
				var called atomic.Bool
				context.AfterFunc(ctx, func() { called.Store(true) })
				if synctest.Wait(); called.Load() {
					return ctx.Err()
				}
				return nil
			}
		},
	}
	for name, look := range looks {
		for _, c := range []struct {
			what string
			want error
			end  func(*respite)
		}{
			{"its deadline", context.DeadlineExceeded, func(*respite) { time.Sleep(2 * time.Second) }},
			{"a cancel", context.Canceled, func(p *respite) { p.end(context.Canceled) }},
		} {
			synctest.Test(t, func(t *testing.T) {
				p := &respite{deadline: time.Now().Add(time.Second)}
				err := look(p)
				synctest.Wait()
				if got := err(); got != nil {
					t.Errorf("%s: a context that goes on has the error %v", name, got)
				}
				c.end(p)
				synctest.Wait()
				if got := err(); !errors.Is(got, c.want) {
					t.Errorf("%s: after %s the error is %v, want %v", name, c.what, got, c.want)
				}
			})
		}
	}
}

// A function that was stopped isn't called.
func TestRespiteStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &respite{deadline: time.Now().Add(time.Second)}
		stop := context.AfterFunc(p, func() { t.Error("called although it was stopped") })
		if !stop() {
			t.Error("stop before the end reports that it stopped something")
		}
		p.end(context.Canceled)
		synctest.Wait()
		if stop() {
			t.Error("a further stop reports that there was nothing to stop")
		}
	})
}

// The parts that package context asks for only in its own order, or not at all.
func TestRespiteParts(t *testing.T) {
	const life = time.Second
	begin := func() *respite { return &respite{deadline: time.Now().Add(life)} }
	for name, check := range map[string]func(t *testing.T){
		"deadline": func(t *testing.T) {
			p := begin()
			if d, ok := p.Deadline(); !ok || !d.Equal(p.deadline) {
				t.Errorf("Deadline: %v, %v", d, ok)
			}
			if _, ok := new(respite).Deadline(); ok {
				t.Error("a context without a deadline has one")
			}
			if v := p.Value(p); v != nil {
				t.Errorf("Value: %v", v)
			}
		},
		"no deadline": func(t *testing.T) {
			p := new(respite)
			if err := p.Err(); err != nil {
				t.Errorf("before anybody waits: %v", err)
			}
			<-time.After(life)
			select {
			case <-p.Done():
				t.Error("it ends by itself")
			case <-time.After(life):
			}
			if err := p.Err(); err != nil {
				t.Error(err)
			}
		},
		"one channel": func(t *testing.T) {
			p := begin()
			if first := p.Done(); p.Done() != first {
				t.Error("Done returns another channel each time")
			}
		},
		"one timer": func(t *testing.T) {
			p := begin()
			p.Done()
			first := p.timer
			if p.Done(); p.timer != first {
				t.Error("who waits second starts another timer")
			}
			if p.end(context.Canceled); first.Stop() {
				t.Error("the timer runs on after the end")
			}
			p = begin()
			p.end(context.Canceled)
			if p.Done(); p.timer != nil {
				t.Error("a timer for what has ended")
			}
		},
		"the first end counts": func(t *testing.T) {
			p := begin()
			p.end(context.Canceled)
			p.end(context.DeadlineExceeded)
			<-time.After(2 * life)
			if err := p.Err(); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled, and then %v", err)
			}
		},
		"at the deadline": func(t *testing.T) {
			p := begin()
			<-time.After(life)
			if err := p.Err(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("at its deadline: %v", err)
			}
		},
		"Err is not before Done": func(t *testing.T) {
			p := begin()
			done := p.Done()
			p.timer.Stop() // it is late
			<-time.After(2 * life)
			if err := p.Err(); err != nil {
				t.Errorf("it has the error %v, and those who wait aren't told", err)
			}
			p.end(context.DeadlineExceeded)
			<-done
		},
		"functions": func(t *testing.T) {
			p := begin()
			var first, second, stopped atomic.Int32
			call := func(n *atomic.Int32) func() { return func() { _ = p.Err(); n.Add(1) } }
			late := p.AfterFunc(call(&first))
			p.AfterFunc(call(&second))
			stop := p.AfterFunc(call(&stopped))
			if !stop() || stop() {
				t.Error("stop says whether it stopped something")
			}
			<-time.After(2 * life)
			synctest.Wait()
			if first.Load() != 1 || second.Load() != 1 || stopped.Load() != 0 {
				t.Errorf("called %d and %d times, and %d times although stopped", first.Load(), second.Load(), stopped.Load())
			}
			if late() {
				t.Error("there was nothing to stop any more")
			}
			stop = p.AfterFunc(call(&first)) // after the end
			synctest.Wait()
			if first.Load() != 2 || stop() {
				t.Error("a function that comes after the end is called at once")
			}
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, check) })
	}
}
