package bus_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/driver"
)

func events(n int) []bus.Event {
	out := make([]bus.Event, n)
	for i := range out {
		out[i] = bus.Event{ID: strconv.Itoa(i), Type: "t"}
	}
	return out
}

func ids(msgs []driver.Message) []string {
	var out []string
	for _, m := range msgs {
		out = append(out, m.ID)
	}
	return out
}

var errBroken = errors.New("broken")

func TestPublishRetriesTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{publish: func(round int, msgs []driver.Message, done func(int, error)) {
			for i := range msgs {
				if round == 1 && i >= 2 {
					done(i, driver.Temporary(errBroken))
				} else {
					done(i, nil)
				}
			}
		}}
		b := bus.New(f, nil)
		if err := b.Publish(t.Context(), "topic", events(5)...); err != nil {
			t.Fatalf("a failure of the last events that may pass is retried: %v", err)
		}
		if diff := cmp.Diff([]string{"2", "3", "4"}, ids(f.sent[1])); diff != "" {
			t.Errorf("only what failed is sent again, in order (-want +got):\n%s", diff)
		}
	})
}

func TestPublishPartialFailure(t *testing.T) {
	f := &fake{publish: func(_ int, msgs []driver.Message, done func(int, error)) {
		for i := range msgs {
			switch i {
			case 1:
				done(i, driver.Temporary(errBroken)) // sending it again would put it behind 2
			case 3:
				done(i, driver.ErrTooLarge)
			default:
				done(i, nil)
			}
		}
	}}
	err := bus.New(f, nil).Publish(t.Context(), "topic", events(5)...)
	var partial *bus.PublishError
	if !errors.As(err, &partial) || !errors.Is(err, errBroken) || !errors.Is(err, bus.ErrTooLarge) {
		t.Fatalf("a partial failure says which and why, got %v", err)
	}
	if partial.Topic != "topic" || partial.Total != 5 || len(partial.Failed) != 2 || partial.Failed[0].Index != 1 || partial.Failed[1].Index != 3 {
		t.Errorf("a partial failure says which: %+v", partial)
	}
	if len(f.sent) != 1 {
		t.Errorf("what can't be sent again without changing the order isn't: %d rounds", len(f.sent))
	}
}

func TestPublishNeverBlocksPastContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late []func()
		f := &fake{publish: func(_ int, msgs []driver.Message, done func(int, error)) {
			for i := range msgs {
				if msgs[i].ID == "0" {
					done(i, nil)
					continue
				}
				late = append(late, func() { done(i, nil) })
			}
		}}
		b := bus.New(f, &bus.Options{Window: 3})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := b.Publish(ctx, "topic", events(10)...)
		if d := time.Since(start); d != time.Second {
			t.Errorf("Publish ends with its context: took %v", d)
		}
		var partial *bus.PublishError
		if !errors.As(err, &partial) || !errors.Is(err, context.DeadlineExceeded) || len(partial.Failed) != 9 {
			t.Fatalf("what isn't confirmed when the context ends is listed: %v", err)
		}
		if n := len(late); n != 3 {
			t.Errorf("the window bounds what is unconfirmed: %d instead of 3", n)
		}
		for _, done := range late {
			done() // must neither block nor panic
		}
		// Without a deadline the bus has one.
		b = bus.New(f, &bus.Options{PublishTimeout: 5 * time.Second})
		start = time.Now()
		if err := b.Publish(t.Context(), "topic", events(2)...); err == nil || time.Since(start) != 5*time.Second {
			t.Errorf("without a deadline PublishTimeout counts: %v after %v", err, time.Since(start))
		}
		for _, done := range late {
			_ = done
		}
	})
}

func TestPublishLeavesCallersEvents(t *testing.T) {
	f := &fake{publish: func(_ int, msgs []driver.Message, done func(int, error)) { done(0, nil) }}
	e := []bus.Event{{Type: "t"}}
	b := bus.New(f, &bus.Options{Source: "/here", BeforePublish: func(_ context.Context, topic string, e *bus.Event) { e.Subject = topic }})
	if err := b.Publish(t.Context(), "topic", e...); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(bus.Event{Type: "t"}, e[0]); diff != "" {
		t.Errorf("the caller's events aren't changed: %s", diff)
	}
	var sent bus.Event
	if err := sent.UnmarshalJSON(f.sent[0][0].Body); err != nil {
		t.Fatal(err)
	}
	if sent.ID == "" || sent.Source != "/here" || sent.Subject != "topic" || sent.Time.IsZero() {
		t.Errorf("missing attributes are filled in: %+v", sent)
	}
}
