package bustest

import (
	"slices"
	"strconv"
	"testing"

	"github.com/goswale/swale/bus"
)

func testBroadcastOrder(t *testing.T, s *suite) {
	const n = 2000
	topic := name("order")
	var all [3]events
	for i := range all {
		_, err := s.bus(t).Broadcast(s.ctx(t), topic, all[i].broadcast(), nil)
		must(t, err, "Broadcast")
	}
	from := s.bus(t)
	for i := 0; i < n; i += 100 {
		batch := make([]bus.Event, 100)
		for j := range batch {
			batch[j] = bus.Event{Type: "t", Subject: strconv.Itoa(i + j)}
		}
		must(t, from.Publish(s.ctx(t), topic, batch...), "Publish")
	}
	for i := range all {
		got := all[i].exactly(t, s, n, "every process gets every event of a broadcast, once")
		for j, e := range got {
			if e.Subject != strconv.Itoa(j) {
				t.Fatalf("process %d: broadcast keeps publish order: number %d is %s", i, j, e.Subject)
			}
		}
		if states := all[i].states; len(states) == 0 || states[0].Kind != bus.Live || len(states) > 1 {
			t.Errorf("process %d: on a good day the only state is Live, got %v", i, states)
		}
	}
}

func testBroadcastFromNowOn(t *testing.T, s *suite) {
	b, topic := s.bus(t), name("now")
	var early, first, second events
	_, err := s.bus(t).Broadcast(s.ctx(t), topic, early.broadcast(), nil)
	must(t, err, "Broadcast")
	must(t, b.Publish(s.ctx(t), topic, bus.Event{Type: "t", Subject: "before"}), "Publish")
	// Where safe means sent, an event may be under way when Publish returns.
	early.atLeast(t, s, 1, "an event published before the others subscribe arrives")
	sub, err := s.bus(t).Broadcast(s.ctx(t), topic, first.broadcast(), nil)
	must(t, err, "Broadcast")
	must(t, b.Publish(s.ctx(t), topic, bus.Event{Type: "t", Subject: "one"}), "Publish")
	first.atLeast(t, s, 1, "an event published right after Broadcast returned arrives")
	must(t, sub.Close(s.ctx(t)), "Close")
	must(t, sub.Close(s.ctx(t)), "closing twice is fine")
	_, err = s.bus(t).Broadcast(s.ctx(t), topic, second.broadcast(), nil)
	must(t, err, "Broadcast")
	must(t, b.Publish(s.ctx(t), topic, bus.Event{Type: "t", Subject: "two"}), "Publish")
	if got := subjects(second.exactly(t, s, 1, "broadcast begins now")); !slices.Equal(got, []string{"two"}) {
		t.Errorf("broadcast begins now, so only two is seen, got %v", got)
	}
	if got := subjects(first.exactly(t, s, 1, "after Close nothing comes")); !slices.Equal(got, []string{"one"}) {
		t.Errorf("before the beginning and after Close nothing comes, so only one is seen, got %v", got)
	}
}

func testBroadcastPanic(t *testing.T, s *suite) {
	b, topic := s.bus(t), name("panic")
	var c events
	h := c.broadcast()
	inner := h.Event
	h.Event = func(e bus.Event) {
		inner(e)
		if e.Subject == "0" {
			panic("on purpose")
		}
	}
	_, err := b.Broadcast(s.ctx(t), topic, h, nil)
	must(t, err, "Broadcast")
	must(t, b.Publish(s.ctx(t), topic, bus.Event{Type: "t", Subject: "0"}, bus.Event{Type: "t", Subject: "1"}), "Publish")
	c.exactly(t, s, 2, "a panic in a broadcast handler doesn't end the subscription")
}

func testTopicsApart(t *testing.T, s *suite) {
	b, base := s.bus(t), name("apart")
	topics := []string{base, base + ".b", base + ".b.c", base + "-b", base + "_b"}
	all := make([]events, len(topics))
	groups := make([]events, len(topics))
	for i, topic := range topics {
		_, err := b.Broadcast(s.ctx(t), topic, all[i].broadcast(), nil)
		must(t, err, "Broadcast")
		s.join(t, b, topic, "g", &groups[i], nil)
	}
	for _, topic := range topics {
		must(t, b.Publish(s.ctx(t), topic, bus.Event{Type: "t", Subject: topic}), "Publish")
	}
	for i, topic := range topics {
		rule := "a topic gets its own events and no other topic's, whatever the names have in common"
		both := []*events{&all[i], &groups[i]}
		if s.f.NoGroups {
			both = both[:1]
		}
		for _, c := range both {
			if got := subjects(c.exactly(t, s, 1, rule)); got[0] != topic {
				t.Errorf("%s: %s got one of %s", rule, topic, got[0])
			}
		}
	}
}
