package bustest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
)

// letters waits until the group has n dead letters.
func (s *suite) letters(t *testing.T, b *bus.Bus, topic, group string, n int) []bus.DeadLetter {
	t.Helper()
	ctx := s.ctx(t)
	for {
		all, err := b.DeadLetters(ctx, topic, group, 100)
		must(t, err, "DeadLetters")
		if len(all) >= n {
			return all
		}
		timer := time.NewTimer(20 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			t.Fatalf("a group's failures become dead letters: got %d of %d", len(all), n)
		}
	}
}

func testDeadLetter(t *testing.T, s *suite) {
	b, topic := s.bus(t), name("dead")
	var c events
	_, err := b.Group(s.ctx(t), topic, "g", func(ctx context.Context, d *bus.Delivery) error {
		switch d.Event.ID {
		case "poison":
			return errOnPurpose
		case "refused":
			return bus.Reject(errors.New("never"))
		}
		return c.handle(ctx, d)
	}, &bus.GroupOptions{MaxAttempts: 3, Backoff: bus.Backoff{Min: time.Millisecond}})
	must(t, err, "Group")
	poison := bus.Event{ID: "poison", Source: "/s", Type: "t", Subject: "k", Time: time.Now().UTC(), DataContentType: "text/plain", Data: []byte("x")}
	refused := bus.Event{ID: "refused", Type: "t", Subject: "l"}
	must(t, b.Publish(s.ctx(t), topic, poison, refused, bus.Event{ID: "fine", Type: "t", Subject: "k"}), "Publish")
	c.exactly(t, s, 1, "a dead letter makes way for its key's next event")
	for _, l := range s.letters(t, b, topic, "g", 2) {
		if l.Topic != topic || l.Group != "g" || l.Time.IsZero() {
			t.Errorf("a dead letter says whose it is and since when: %+v", l)
		}
		switch l.Original.ID {
		case "poison":
			if l.Reason != errOnPurpose.Error() || l.Attempt != 3 {
				t.Errorf("a dead letter has the last reason and the attempts: got %q after %d", l.Reason, l.Attempt)
			}
			compare(t, "dead letter", []bus.Event{l.Original}, []bus.Event{poison})
		case "refused":
			if l.Attempt != 1 || !strings.Contains(l.Reason, "never") {
				t.Errorf("Reject makes a dead letter at once: got attempt %d, reason %q", l.Attempt, l.Reason)
			}
		default:
			t.Errorf("unexpected dead letter %+v", l)
		}
	}
	if again := s.letters(t, b, topic, "g", 2); len(again) != 2 {
		t.Errorf("looking at dead letters leaves them: got %d", len(again))
	}
}

func testRedrive(t *testing.T, s *suite) {
	b, topic := s.bus(t), name("redrive")
	var c, other, all events
	var broken = true
	handler := func(ctx context.Context, d *bus.Delivery) error {
		c.mu.Lock()
		fail := broken
		c.mu.Unlock()
		if fail && d.Event.Subject == "bad" {
			return errOnPurpose
		}
		if d.Redriven != (d.Event.Subject == "bad") {
			t.Errorf("Redriven is true for redriven events and no others: %+v", d)
		}
		return c.handle(ctx, d)
	}
	_, err := b.Group(s.ctx(t), topic, "g", handler, &bus.GroupOptions{MaxAttempts: 1})
	must(t, err, "Group")
	_, err = b.Group(s.ctx(t), topic, "other", other.handle, nil)
	must(t, err, "Group")
	_, err = b.Broadcast(s.ctx(t), topic, all.broadcast(), nil)
	must(t, err, "Broadcast")
	must(t, b.Publish(s.ctx(t), topic,
		bus.Event{ID: "1", Type: "t", Subject: "bad"}, bus.Event{ID: "2", Type: "t", Subject: "good"},
		bus.Event{ID: "3", Type: "t", Subject: "bad", Extensions: map[string]string{"discard": "1"}}), "Publish")
	s.letters(t, b, topic, "g", 2)
	c.note(func() { broken = false })
	n, err := b.Redrive(s.ctx(t), topic, "g", &bus.RedriveOptions{Choose: func(l *bus.DeadLetter) bus.Verdict {
		if l.Original.Extensions["discard"] != "" {
			return bus.Discard
		}
		return bus.Again
	}})
	must(t, err, "Redrive")
	if n != 1 {
		t.Errorf("Redrive says how many it gave back: got %d, want 1", n)
	}
	got := c.exactly(t, s, 2, "a redriven event comes to its group again")
	if got[1].ID != "1" || len(got[1].Extensions) != 0 {
		t.Errorf("the original comes as it was: %+v", got[1])
	}
	other.exactly(t, s, 3, "a redriven event comes to no other group")
	all.exactly(t, s, 3, "a redriven event is not broadcast")
	left, err := b.DeadLetters(s.ctx(t), topic, "g", 10)
	must(t, err, "DeadLetters")
	if len(left) != 0 {
		t.Errorf("what was redriven or discarded is no dead letter any more: %d are left", len(left))
	}
}

func testGarbage(t *testing.T, s *suite) {
	b, topic := s.bus(t), name("garbage")
	var all, one events
	var bad int
	_, err := b.Broadcast(s.ctx(t), topic, all.broadcast(), &bus.BroadcastOptions{
		OnInvalid: func([]byte, error) { all.note(func() { bad++ }) },
	})
	must(t, err, "Broadcast")
	groups := s.join(t, b, topic, "g", &one, nil)
	bodies := []string{"", "garbage", "{", `{"specversion":"1.0"}`, `[]`, "\x00\xff", `{"specversion":"0.3","id":"1","source":"/","type":"t"}`}
	for _, body := range bodies {
		s.f.Inject(t, topic, []byte(body))
	}
	must(t, b.Publish(s.ctx(t), topic, bus.Event{Type: "t", Subject: "fine"}), "Publish")
	all.exactly(t, s, 1, "garbage doesn't stop a broadcast")
	if bad != len(bodies) {
		t.Errorf("each message that is no event is reported: got %d of %d", bad, len(bodies))
	}
	if groups {
		one.exactly(t, s, 1, "garbage doesn't stop a group")
		s.letters(t, b, topic, "g", len(bodies))
	}
	if got := b.Invalid(); got < uint64(len(bodies)) {
		t.Errorf("messages that are no events are counted: got %d", got)
	}
}

func testOversized(t *testing.T, s *suite) {
	from, to, topic := s.bus(t), s.busWith(t, bus.Options{MaxEventBytes: 4096}), name("oversized")
	var all, one events
	bad := 0
	_, err := to.Broadcast(s.ctx(t), topic, all.broadcast(), &bus.BroadcastOptions{
		OnInvalid: func([]byte, error) { all.note(func() { bad++ }) },
	})
	must(t, err, "Broadcast")
	groups := s.join(t, to, topic, "g", &one, nil)
	big := bus.Event{ID: "big", Type: "t", Subject: "k", DataContentType: "text/plain", Data: []byte(strings.Repeat("x", 20_000))}
	must(t, from.Publish(s.ctx(t), topic, big, bus.Event{ID: "fine", Type: "t", Subject: "k"}), "Publish")
	all.exactly(t, s, 1, "an event over the receiver's limit doesn't stop a broadcast")
	if bad != 1 {
		t.Errorf("an event over the receiver's limit is reported: got %d", bad)
	}
	if !groups {
		return
	}
	one.exactly(t, s, 1, "an event over the receiver's limit doesn't stop a group")
	l := s.letters(t, from, topic, "g", 1)[0]
	if !strings.Contains(l.Reason, bus.ErrTooLarge.Error()) || len(l.Body) == 0 {
		t.Errorf("an event over the receiver's limit becomes a dead letter with its beginning: %q, %d bytes", l.Reason, len(l.Body))
	}
}
