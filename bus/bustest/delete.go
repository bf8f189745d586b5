package bustest

import (
	"testing"

	"github.com/goswale/swale/bus"
)

func testDeleteGroup(t *testing.T, s *suite) {
	topic, group := name("delete"), name("g")
	b := s.bus(t)
	must(t, b.DeleteGroup(s.ctx(t), topic, group), "DeleteGroup of a group that isn't there")
	sub, err := b.Group(s.ctx(t), topic, group, new(events).handle, nil)
	must(t, err, "Group")
	must(t, sub.Close(s.ctx(t)), "Close")
	must(t, b.Publish(s.ctx(t), topic, numbered(3, 1)...), "Publish")
	must(t, b.DeleteGroup(s.ctx(t), topic, group), "DeleteGroup")
	var c events
	_, err = b.Group(s.ctx(t), topic, group, c.handle, nil)
	must(t, err, "Group")
	must(t, b.Publish(s.ctx(t), topic, bus.Event{ID: "new", Type: "t", Subject: "after"}), "Publish")
	got := c.exactly(t, s, 1, "a deleted group takes with it what it collected; made anew it begins now")
	if got[0].ID != "new" {
		t.Errorf("a deleted group takes with it what it collected, got %v", got)
	}
}
