package bustest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
)

func testCloseDrains(t *testing.T, s *suite) {
	topic := name("drain")
	b := s.bus(t)
	started, release := make(chan struct{}), make(chan struct{})
	var first, second events
	sub, err := b.Group(s.ctx(t), topic, "g", func(ctx context.Context, d *bus.Delivery) error {
		if d.Event.ID == "0" {
			close(started)
			<-release
			if ctx.Err() != nil {
				t.Error("a handler that runs during Close isn't cancelled while Close waits")
			}
			// A handler that finishes may still publish.
			if err := b.Publish(ctx, topic+".next", bus.Event{Type: "t"}); err != nil {
				t.Errorf("a handler that runs during Close may publish: %v", err)
			}
		}
		return first.handle(ctx, d)
	}, &bus.GroupOptions{Parallel: 1, MaxInFlight: 4})
	must(t, err, "Group")
	must(t, b.Publish(s.ctx(t), topic, numbered(10, 1)...), "Publish")
	<-started
	closed := make(chan error)
	go func() { closed <- sub.Close(s.ctx(t)) }()
	moment := time.NewTimer(200 * time.Millisecond)
	select {
	case err := <-closed:
		t.Fatalf("Close returned while a handler was running: %v", err)
	case <-moment.C:
	}
	close(release)
	must(t, <-closed, "Close")
	handled := len(first.got)
	if handled < 1 {
		t.Fatal("the running handler finishes before Close returns")
	}
	_, err = s.bus(t).Group(s.ctx(t), topic, "g", second.handle, nil)
	must(t, err, "Group")
	if handled == 10 {
		t.Fatal("Close had begun, but everything that was queued was still handled")
	}
	got := second.exactly(t, s, 10-handled, "what a member finished while closing was acked, and the rest comes to the next one")
	// Where several members work at once the broker promises no order between them.
	if b.Driver().ExclusiveGroups && got[0].ID != numbered(10, 1)[handled].ID {
		t.Errorf("the next member goes on in order: first is %s after %d were handled", got[0].ID, handled)
	}
	if !first.never(t, func() bool { return len(first.got) > handled }) {
		t.Error("after Close no handler is called")
	}
}

func testShutdown(t *testing.T, s *suite) {
	b, topic := s.bus(t), name("shutdown")
	var c events
	sub, err := b.Broadcast(s.ctx(t), topic, c.broadcast(), nil)
	must(t, err, "Broadcast")
	groups := s.join(t, b, topic, "g", new(events), nil)
	must(t, b.Publish(s.ctx(t), topic, bus.Event{Type: "t"}), "Publish")
	c.atLeast(t, s, 1, "the event arrives")
	must(t, b.Shutdown(s.ctx(t)), "Shutdown")
	must(t, b.Shutdown(s.ctx(t)), "shutting down twice is fine")
	must(t, sub.Close(s.ctx(t)), "closing a subscription after Shutdown is fine")
	if err := b.Publish(s.ctx(t), topic, bus.Event{Type: "t"}); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("after Shutdown Publish returns ErrClosed, got %v", err)
	}
	if _, err := b.Group(s.ctx(t), topic, "g", c.handle, nil); groups && !errors.Is(err, bus.ErrClosed) {
		t.Errorf("after Shutdown Group returns ErrClosed, got %v", err)
	}
	if _, err := b.Broadcast(s.ctx(t), topic, c.broadcast(), nil); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("after Shutdown Broadcast returns ErrClosed, got %v", err)
	}
	never := s.open(t, bus.Options{})
	must(t, never.Shutdown(s.ctx(t)), "shutting down an unused bus is fine")
}
