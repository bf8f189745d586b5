package bustest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/driver"
)

var errOnPurpose = errors.New("on purpose")

func numbered(n int, keys int) []bus.Event {
	batch := make([]bus.Event, n)
	for i := range batch {
		batch[i] = bus.Event{ID: strconv.Itoa(i), Type: "t", Subject: "key" + strconv.Itoa(i%keys)}
	}
	return batch
}

// join has c collect a group's events, and reports false for a driver that has
// no groups.
func (s *suite) join(t *testing.T, b *bus.Bus, topic, group string, c *events, opts *bus.GroupOptions) bool {
	t.Helper()
	if s.f.NoGroups {
		return false
	}
	_, err := b.Group(s.ctx(t), topic, group, c.handle, opts)
	must(t, err, "Group")
	return true
}

// testNoGroups is for drivers that say so: whoever asks for a group is told at
// once instead of waiting for events that can't come.
func testNoGroups(t *testing.T, s *suite) {
	b, topic := s.bus(t), name("none")
	if _, err := b.Group(s.ctx(t), topic, "g", new(events).handle, nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Group of a driver without groups must be errors.ErrUnsupported, got %v", err)
	}
	if _, err := b.Backlog(s.ctx(t), topic, "g"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Backlog of a driver without groups must be errors.ErrUnsupported, got %v", err)
	}
	if level := b.Durability().Level; level != driver.Fleeting {
		t.Errorf("the durability without groups is %q; want %q", level, driver.Fleeting)
	}
}

func testGroupOnce(t *testing.T, s *suite) {
	const n = 500
	topic, group := name("once"), name("g")
	var all events
	for range 3 {
		_, err := s.bus(t).Group(s.ctx(t), topic, group, all.handle, nil)
		must(t, err, "Group")
	}
	must(t, s.bus(t).Publish(s.ctx(t), topic, numbered(n, 7)...), "Publish")
	seen := make(map[string]int)
	for _, e := range all.exactly(t, s, n, "on a good day each event is handled by one member of a group, once") {
		seen[e.ID]++
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("event %s was handled %d times on a good day", id, times)
		}
	}
}

func testGroupDurable(t *testing.T, s *suite) {
	topic, group := name("durable"), name("g")
	from := s.bus(t)
	must(t, from.Publish(s.ctx(t), topic, bus.Event{Type: "t", Subject: "before"}), "Publish")
	sub, err := s.bus(t).Group(s.ctx(t), topic, group, new(events).handle, nil)
	must(t, err, "Group")
	must(t, sub.Close(s.ctx(t)), "Close")
	must(t, from.Publish(s.ctx(t), topic, numbered(3, 1)...), "Publish")
	var c events
	_, err = s.bus(t).Group(s.ctx(t), topic, group, c.handle, nil)
	must(t, err, "Group")
	got := c.exactly(t, s, 3, "a group is durable: it collects while no member is there, from its creation on")
	if got[0].ID != "0" || got[2].ID != "2" {
		t.Errorf("what was collected comes in order, got %v", got)
	}
}

func testGroupsApart(t *testing.T, s *suite) {
	b, topic := s.bus(t), name("groups")
	var one, two events
	_, err := b.Group(s.ctx(t), topic, "one", one.handle, nil)
	must(t, err, "Group")
	_, err = b.Group(s.ctx(t), topic, "two", two.handle, nil)
	must(t, err, "Group")
	must(t, b.Publish(s.ctx(t), topic, numbered(10, 10)...), "Publish")
	one.exactly(t, s, 10, "each group gets every event")
	two.exactly(t, s, 10, "each group gets every event")
}

func testOrderPerKey(t *testing.T, s *suite) {
	const n, keys = 300, 5
	b, topic := s.bus(t), name("keys")
	var c events
	var busy [keys]atomic.Int32
	failed := make(map[string]bool)
	_, err := b.Group(s.ctx(t), topic, "g", func(_ context.Context, d *bus.Delivery) (err error) {
		i, _ := strconv.Atoi(d.Event.ID)
		if busy[i%keys].Add(1) > 1 {
			t.Errorf("two events of one key must not be handled at once")
		}
		defer busy[i%keys].Add(-1)
		c.note(func() {
			if i%7 == 0 && !failed[d.Event.ID] {
				failed[d.Event.ID] = true
				err = errOnPurpose
				return
			}
			c.got = append(c.got, d.Event)
		})
		return err
	}, &bus.GroupOptions{Backoff: bus.Backoff{Min: 5 * time.Millisecond}})
	must(t, err, "Group")
	must(t, b.Publish(s.ctx(t), topic, numbered(n, keys)...), "Publish")
	last := make(map[string]int)
	for _, e := range c.exactly(t, s, n, "every event is handled in the end") {
		i, _ := strconv.Atoi(e.ID)
		if before, ok := last[e.Subject]; ok && before > i {
			t.Fatalf("%s: event %d was handled after %d: order per key must hold across retries", e.Subject, i, before)
		}
		last[e.Subject] = i
	}
}

func testKeysInParallel(t *testing.T, s *suite) {
	b, topic := s.bus(t), name("parallel")
	block := make(chan struct{})
	defer close(block)
	var c events
	_, err := b.Group(s.ctx(t), topic, "g", func(ctx context.Context, d *bus.Delivery) error {
		if d.Event.Subject == "slow" {
			select {
			case <-block:
			case <-t.Context().Done():
			}
			return nil
		}
		return c.handle(ctx, d)
	}, nil)
	must(t, err, "Group")
	must(t, b.Publish(s.ctx(t), topic, bus.Event{Type: "t", Subject: "slow"}, bus.Event{Type: "t", Subject: "slow"}), "Publish")
	must(t, b.Publish(s.ctx(t), topic, numbered(50, 10)...), "Publish")
	c.atLeast(t, s, 50, "a key whose handler is stuck doesn't hold up the others")
}

func testFailover(t *testing.T, s *suite) {
	Steadily(t, time.Second, func() error {
		topic, group := name("failover"), name("g")
		var c events
		started, release := make(chan struct{}), make(chan struct{})
		first, err := s.bus(t).Group(s.ctx(t), topic, group, func(ctx context.Context, d *bus.Delivery) error {
			if d.Event.ID == "0" && d.Attempt == 1 {
				close(started)
				<-release
			}
			return c.handle(ctx, d)
		}, nil)
		must(t, err, "Group")
		from, batch := s.bus(t), numbered(100, 1)
		must(t, from.Publish(s.ctx(t), topic, batch[0]), "Publish")
		<-started
		_, err = s.bus(t).Group(s.ctx(t), topic, group, c.handle, nil)
		must(t, err, "Group")
		must(t, from.Publish(s.ctx(t), topic, batch[1:]...), "Publish")
		exclusive := from.Driver().ExclusiveGroups
		alone := !exclusive || c.never(t, func() bool { return len(c.got) > 0 })
		go func() { close(release) }()
		must(t, first.Close(s.ctx(t)), "Close")
		if !alone {
			return errors.New("while a member has the group exclusively, nobody handles what comes behind its event of the same key")
		}
		next := 0
		for _, e := range c.atLeast(t, s, 100, "when a member leaves the next one goes on") {
			switch i, _ := strconv.Atoi(e.ID); {
			case i == next:
				next++
			case i > next && exclusive:
				return fmt.Errorf("order per key must hold when a group's work moves to another process: %s came before %d", e.ID, next)
			}
		}
		return nil
	})
}

func testMaxInFlight(t *testing.T, s *suite) {
	b, topic := s.bus(t), name("inflight")
	var c events
	var now, most atomic.Int32
	_, err := b.Group(s.ctx(t), topic, "g", func(ctx context.Context, d *bus.Delivery) error {
		for n := now.Add(1); ; {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		defer now.Add(-1)
		timer := time.NewTimer(5 * time.Millisecond)
		<-timer.C
		return c.handle(ctx, d)
	}, &bus.GroupOptions{MaxInFlight: 4, Parallel: 16})
	must(t, err, "Group")
	must(t, b.Publish(s.ctx(t), topic, numbered(60, 60)...), "Publish")
	c.exactly(t, s, 60, "a small MaxInFlight slows but loses nothing")
	if m := most.Load(); m > 4 {
		t.Errorf("MaxInFlight 4 was exceeded: %d handlers ran at once", m)
	}
}

func testRetry(t *testing.T, s *suite) {
	b, topic := s.bus(t), name("retry")
	var c events
	var attempts []int
	_, err := b.Group(s.ctx(t), topic, "g", func(_ context.Context, d *bus.Delivery) error {
		var err error
		c.note(func() {
			attempts = append(attempts, d.Attempt)
			if d.Event.Extensions["touched"] != "" {
				t.Error("what a handler does to its event must not reach the next attempt")
			}
			d.Event.SetExtension("touched", "yes")
			switch len(attempts) {
			case 1:
				err = errOnPurpose
			case 2:
				panic("on purpose")
			case 3:
				err = bus.RetryAfter(time.Millisecond, errOnPurpose)
			default:
				c.got = append(c.got, d.Event)
			}
		})
		return err
	}, &bus.GroupOptions{Backoff: bus.Backoff{Min: time.Millisecond}})
	must(t, err, "Group")
	must(t, b.Publish(s.ctx(t), topic, bus.Event{Type: "t", Extensions: map[string]string{"a": "b"}}), "Publish")
	c.exactly(t, s, 1, "an event is tried again after an error, a panic and a RetryAfter")
	if !slices.Equal(attempts, []int{1, 2, 3, 4}) {
		t.Errorf("attempts count from 1: got %v", attempts)
	}
}

func testAckWaitExtended(t *testing.T, s *suite) {
	const ackWait = 4 * time.Second
	Steadily(t, ackWait/4, func() error {
		b, topic := s.bus(t), name("ackwait")
		var c events
		_, err := b.Group(s.ctx(t), topic, "g", func(ctx context.Context, d *bus.Delivery) error {
			timer := time.NewTimer(ackWait + ackWait*3/8)
			<-timer.C
			return c.handle(ctx, d)
		}, &bus.GroupOptions{AckWait: ackWait})
		must(t, err, "Group")
		must(t, b.Publish(s.ctx(t), topic, bus.Event{Type: "t"}), "Publish")
		c.atLeast(t, s, 1, "a handler that takes longer than AckWait finishes")
		if !c.never(t, func() bool { return len(c.got) > 1 }) {
			return errors.New("a handler that takes longer than AckWait keeps its event")
		}
		return nil
	})
}

func testBacklog(t *testing.T, s *suite) {
	b, topic := s.bus(t), name("backlog")
	sub, err := b.Group(s.ctx(t), topic, "g", new(events).handle, nil)
	must(t, err, "Group")
	must(t, sub.Close(s.ctx(t)), "Close")
	must(t, b.Publish(s.ctx(t), topic, numbered(5, 1)...), "Publish")
	// A broker may count a moment after it has said that an event is safe.
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for ctx := s.ctx(t); ; {
		n, err := b.Backlog(ctx, topic, "g")
		must(t, err, "Backlog")
		if n == 5 {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("Backlog counts what the group hasn't acked: got %d, want 5", n)
		}
	}
}
