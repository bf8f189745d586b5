package bustest

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
)

// testClockSetBack publishes as a machine does whose clock is set back by an hour
// and by a century: the only reading of a wall clock that travels is Event.Time,
// and nothing goes by it.
func testClockSetBack(t *testing.T, s *suite) {
	now := time.Date(2026, 11, 21, 9, 25, 0, 0, time.UTC)
	times := []time.Time{now, now.Add(time.Second), now.Add(-time.Hour), now.Add(-time.Hour + time.Second), now.AddDate(-100, 0, 0), now.Add(2 * time.Second)}
	batch := make([]bus.Event, len(times))
	want := make([]string, len(times))
	for i, at := range times {
		want[i] = strconv.Itoa(i)
		batch[i] = bus.Event{ID: want[i], Type: "t", Subject: "key", Time: at}
	}
	ids := func(events []bus.Event) []string {
		out := make([]string, len(events))
		for i, e := range events {
			out[i] = e.ID
			if !e.Time.Equal(times[i]) {
				t.Errorf("event %s arrived with the time %v instead of %v", e.ID, e.Time, times[i])
			}
		}
		return out
	}
	b, topic := s.bus(t), name("clock")
	var all, one events
	_, err := b.Broadcast(s.ctx(t), topic, all.broadcast(), nil)
	must(t, err, "Broadcast")
	groups := s.join(t, b, topic, "g", &one, nil)
	for i := range batch {
		must(t, b.Publish(s.ctx(t), topic, batch[i]), "Publish")
	}
	if got := ids(all.exactly(t, s, len(batch), "a clock set back loses nothing")); !slices.Equal(got, want) {
		t.Errorf("a broadcast goes by the order of publishing and not by the clock: got %v", got)
	}
	if groups {
		if got := ids(one.exactly(t, s, len(batch), "a clock set back loses nothing")); !slices.Equal(got, want) {
			t.Errorf("a group goes by the order of publishing and not by the clock: got %v", got)
		}
	}
	if !s.f.Streams {
		return
	}
	st, err := b.Stream(s.ctx(t), topic, nil)
	must(t, err, "Stream")
	must(t, st.Publish(s.ctx(t), batch[1], batch[2]), "Publish")
	latest, err := st.Latest(s.ctx(t), "key")
	must(t, err, "Latest")
	if latest.ID != "2" {
		t.Errorf("the latest of a key is the one published last and not the one with the latest time: got %s", latest.ID)
	}
}
