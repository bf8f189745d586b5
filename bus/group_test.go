package bus_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/driver"
)

func message(t *testing.T, e bus.Event) driver.Message {
	t.Helper()
	if e.ID == "" {
		e.ID, e.Source, e.Type = "1", "/s", "t"
	}
	body, err := e.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return driver.Message{ContentType: driver.ContentTypeEvent, Body: body}
}

func TestBackoffBetweenAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		b := bus.New(f, nil)
		var at []time.Duration
		start := time.Now()
		_, err := b.Group(t.Context(), "topic", "g", func(context.Context, *bus.Delivery) error {
			at = append(at, time.Since(start))
			if len(at) < 6 {
				return errBroken
			}
			return nil
		}, &bus.GroupOptions{Backoff: bus.Backoff{Min: time.Second, Max: 4 * time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		a := new(ack)
		f.deliver(driver.Delivery{Message: message(t, bus.Event{}), Attempt: 1, Acker: a})
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(at) != 6 || a.acks != 1 {
			t.Fatalf("an event is tried until it succeeds and then acked: %d attempts, %d acks", len(at), a.acks)
		}
		for i, full := range []time.Duration{1, 2, 4, 4, 4} {
			full *= time.Second
			if d := at[i+1] - at[i]; d < full/2 || d > full {
				t.Errorf("between attempts %d and %d the backoff is %v to %v, got %v", i+1, i+2, full/2, full, d)
			}
		}
		if err := b.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestHeldEventsAreTouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		b := bus.New(f, nil)
		release := make(chan struct{})
		_, err := b.Group(t.Context(), "topic", "g", func(context.Context, *bus.Delivery) error {
			<-release
			return nil
		}, &bus.GroupOptions{AckWait: 30 * time.Second, Parallel: 1})
		if err != nil {
			t.Fatal(err)
		}
		running, queued := new(ack), new(ack)
		f.deliver(driver.Delivery{Message: message(t, bus.Event{}), Acker: running})
		f.deliver(driver.Delivery{Message: message(t, bus.Event{}), Acker: queued})
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		for _, a := range []*ack{running, queued} {
			if a.touches < 10 {
				t.Errorf("an event that is held for ten times AckWait is touched at least once in each: %d times", a.touches)
			}
		}
		close(release)
		if err := b.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCloseGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		b := bus.New(f, nil)
		cancelled := make(chan struct{})
		sub, err := b.Group(t.Context(), "topic", "g", func(ctx context.Context, _ *bus.Delivery) error {
			<-ctx.Done()
			close(cancelled)
			return ctx.Err()
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		a := new(ack)
		f.deliver(driver.Delivery{Message: message(t, bus.Event{}), Acker: a})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := sub.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close gives up with its context, got %v", err)
		}
		<-cancelled
		synctest.Wait()
		if a.acks != 0 {
			t.Error("an event whose handler was abandoned isn't acked")
		}
		if !f.stopped {
			t.Error("Close stops the driver's subscription")
		}
	})
}

func TestDeadLetterWaitsForTheBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mended atomic.Bool
		f := &fake{publish: func(_ int, msgs []driver.Message, done func(int, error)) {
			for i := range msgs {
				if !mended.Load() {
					done(i, errBroken)
				} else {
					done(i, nil)
				}
			}
		}}
		b := bus.New(f, nil)
		if _, err := b.Group(t.Context(), "topic", "g", func(context.Context, *bus.Delivery) error { return bus.Reject(nil) }, nil); err != nil {
			t.Fatal(err)
		}
		a := new(ack)
		f.deliver(driver.Delivery{Message: message(t, bus.Event{}), Acker: a})
		time.Sleep(time.Minute)
		synctest.Wait()
		if a.acked() != 0 || f.rounds() < 3 {
			t.Fatalf("while the dead letter can't be written it is tried again and the event isn't acked: %d rounds, %d acks", f.rounds(), a.acked())
		}
		mended.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if a.acked() != 1 {
			t.Error("once the dead letter is safe the event is acked")
		}
		if err := b.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestBatchMessage(t *testing.T) {
	f := &fake{}
	b := bus.New(f, nil)
	var got []string
	done := make(chan struct{})
	_, err := b.Group(t.Context(), "topic", "g", func(_ context.Context, d *bus.Delivery) error {
		got = append(got, d.Event.ID)
		if d.Event.ID == "2" && d.Attempt == 1 {
			return errBroken
		}
		if d.Event.ID == "3" {
			close(done)
		}
		return nil
	}, &bus.GroupOptions{Backoff: bus.Backoff{Min: 1}})
	if err != nil {
		t.Fatal(err)
	}
	body, err := bus.MarshalBatch([]bus.Event{{ID: "1", Source: "/", Type: "t"}, {ID: "2", Source: "/", Type: "t"}, {ID: "3", Source: "/", Type: "t"}})
	if err != nil {
		t.Fatal(err)
	}
	a := new(ack)
	f.deliver(driver.Delivery{Message: driver.Message{ContentType: driver.ContentTypeBatch, Body: body}, Acker: a})
	<-done
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := strings.Join(got, ""); s != "1223" || a.acks != 1 {
		t.Errorf("a batch's events are handled in order, each until it succeeds, then the whole is acked: %s, %d acks", s, a.acks)
	}
}

func TestMiddleware(t *testing.T) {
	f := &fake{}
	var log bytes.Buffer
	var calls []string
	wrap := func(name string) bus.Middleware {
		return func(next bus.Handler) bus.Handler {
			return func(ctx context.Context, d *bus.Delivery) error {
				calls = append(calls, name)
				err := next(ctx, d)
				var p *bus.PanicError
				if d.Attempt == 1 && !errors.As(err, &p) {
					t.Errorf("middleware sees a panic as an error, got %v", err)
				}
				return err
			}
		}
	}
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b := bus.New(f, &bus.Options{Middleware: []bus.Middleware{wrap("outer"), wrap("inner"), bus.LogDeliveries(logger)}})
	done := make(chan struct{})
	_, err := b.Group(t.Context(), "topic", "g", func(_ context.Context, d *bus.Delivery) error {
		if d.Attempt == 1 {
			panic("on purpose")
		}
		close(done)
		return nil
	}, &bus.GroupOptions{Backoff: bus.Backoff{Min: 1}})
	if err != nil {
		t.Fatal(err)
	}
	f.deliver(driver.Delivery{Message: message(t, bus.Event{}), Acker: new(ack)})
	<-done
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(calls, " "); got != "outer inner outer inner" {
		t.Errorf("middleware runs around every attempt, the first outermost: %s", got)
	}
	for _, want := range []string{"event failed", "event handled", "topic=topic", "group=g", "attempt=2", "panic: on purpose"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, log.String())
		}
	}
}

func TestObserveSeesTheTopicsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		b := bus.New(f, nil)
		var seen, handled []string
		release := make(chan struct{})
		_, err := b.Group(t.Context(), "topic", "g", func(_ context.Context, d *bus.Delivery) error {
			<-release
			if d.Event.ID == "a1" && d.Attempt < 3 {
				return errBroken
			}
			handled = append(handled, d.Event.ID)
			return nil
		}, &bus.GroupOptions{
			Parallel: 1,
			Observe: func(e *bus.Event) {
				seen = append(seen, e.ID)
				e.Subject = "spoiled" // its own copy
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"a1", "b1", "a2", "b2"} {
			e := bus.Event{ID: id, Source: "/", Type: "t", Subject: id[:1]}
			f.deliver(driver.Delivery{Message: message(t, e), Acker: new(ack)})
		}
		if got := strings.Join(seen, " "); got != "a1 b1 a2 b2" {
			t.Errorf("each event is observed when it comes, before anything is handled: %s", got)
		}
		close(release)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := strings.Join(seen, " "); got != "a1 b1 a2 b2" {
			t.Errorf("further attempts aren't observed: %s", got)
		}
		if got := strings.Join(handled, " "); got != "b1 b2 a1 a2" {
			t.Errorf("keys wait for themselves only: %s", got)
		}
		if err := b.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestForeignMessages(t *testing.T) {
	buried := make(chan struct{})
	f := &fake{publish: func(_ int, msgs []driver.Message, done func(int, error)) {
		for i := range msgs {
			done(i, nil)
		}
		close(buried)
	}}
	b := bus.New(f, nil)
	got := make(chan string, 2)
	_, err := b.Group(t.Context(), "topic", "g", func(_ context.Context, d *bus.Delivery) error {
		got <- d.Event.Subject
		if d.Attempt == 1 {
			return errBroken
		}
		return nil
	}, &bus.GroupOptions{Backoff: bus.Backoff{Min: 1}, Foreign: func(body []byte) (bus.Event, error) {
		if s, ok := strings.CutPrefix(string(body), "plain "); ok {
			return bus.Event{ID: s, Source: "/", Type: "t", Subject: s}, nil
		}
		return bus.Event{}, errBroken
	}})
	if err != nil {
		t.Fatal(err)
	}
	known, unknown := new(ack), new(ack)
	f.deliver(driver.Delivery{Message: driver.Message{Body: []byte("plain text")}, Acker: known})
	f.deliver(driver.Delivery{Message: driver.Message{Body: []byte("what?")}, Acker: unknown})
	for range 2 {
		if s := <-got; s != "text" {
			t.Errorf("a foreign message is handled as the event that was made of it, at each attempt: %q", s)
		}
	}
	<-buried
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if known.acks != 1 || unknown.acks != 1 || f.rounds() != 1 {
		t.Errorf("what is nothing becomes a dead letter: %d and %d acks, %d published", known.acks, unknown.acks, f.rounds())
	}
}
