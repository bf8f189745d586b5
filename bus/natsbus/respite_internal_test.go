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
