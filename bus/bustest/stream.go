package bustest

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goswale/swale/bus"
)

func testStream(t *testing.T, s *suite) {
	b, topic := s.bus(t), name("stream")
	st, err := b.Stream(s.ctx(t), topic, &bus.StreamOptions{MaxEventBytes: 1024})
	must(t, err, "Stream")
	if _, err := st.Latest(s.ctx(t), "nobody"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Latest of a key without events is fs.ErrNotExist, got %v", err)
	}
	keys := []string{"rider 1", "/riders/2?x=*.>", "", "ü", strings.Repeat("k", 200)}
	for round := range 3 {
		for _, k := range keys {
			must(t, st.Publish(s.ctx(t), bus.Event{Type: "pos", Subject: k, Data: []byte(strconv.Itoa(round))}), "Publish")
		}
	}
	other, err := s.bus(t).Stream(s.ctx(t), topic, &bus.StreamOptions{MaxEventBytes: 1024})
	must(t, err, "declaring a stream again is fine")
	for _, k := range keys {
		e, err := other.Latest(s.ctx(t), k)
		must(t, err, "Latest")
		if e.Subject != k || string(e.Data) != "2" {
			t.Errorf("Latest returns the key's latest: %q has %s", e.Subject, e.Data)
		}
	}
	var got []string
	for e, err := range other.All(s.ctx(t)) {
		must(t, err, "All")
		if string(e.Data) != "2" {
			t.Errorf("All returns the latest of each key: %q has %s", e.Subject, e.Data)
		}
		got = append(got, e.Subject)
	}
	slices.Sort(got)
	want := slices.Sorted(slices.Values(keys))
	if !slices.Equal(got, want) {
		t.Errorf("All returns each key once:\n got %q\nwant %q", got, want)
	}
	for _, err := range other.All(s.ctx(t)) {
		must(t, err, "All")
		break // leaving early is fine
	}
	big := bus.Event{Type: "pos", Data: []byte(`"` + strings.Repeat("x", 2000) + `"`)}
	if err := st.Publish(s.ctx(t), big); !errors.Is(err, bus.ErrTooLarge) {
		t.Errorf("a stream refuses events over its limit with ErrTooLarge, got %v", err)
	}
}

func testStreamBounds(t *testing.T, s *suite) {
	b, topic := s.bus(t), name("bounds")
	st, err := b.Stream(s.ctx(t), topic, &bus.StreamOptions{MaxEvents: 10})
	must(t, err, "Stream")
	for i := range 30 {
		must(t, st.Publish(s.ctx(t), bus.Event{Type: "pos", Subject: strconv.Itoa(i)}), "a full stream goes on taking events")
	}
	n := 0
	for e, err := range st.All(s.ctx(t)) {
		must(t, err, "All")
		if i, _ := strconv.Atoi(e.Subject); i < 20 {
			t.Errorf("the oldest events give way: %d is still there", i)
		}
		n++
	}
	if n != 10 {
		t.Errorf("MaxEvents bounds the stream: got %d of 10", n)
	}
}

func testStreamBroadcast(t *testing.T, s *suite) {
	b, topic := s.bus(t), name("live")
	st, err := b.Stream(s.ctx(t), topic, nil)
	must(t, err, "Stream")
	var c, apart events
	_, err = st.Broadcast(s.ctx(t), c.broadcast(), nil)
	must(t, err, "Broadcast")
	_, err = b.Broadcast(s.ctx(t), topic, apart.broadcast(), nil)
	must(t, err, "Broadcast")
	for i := range 100 {
		must(t, st.Publish(s.ctx(t), bus.Event{Type: "pos", Subject: "r", Data: []byte(strconv.Itoa(i))}), "Publish")
	}
	for i, e := range c.exactly(t, s, 100, "a stream's subscribers see every event") {
		if string(e.Data) != strconv.Itoa(i) {
			t.Fatalf("a stream's events come in order: number %d is %s", i, e.Data)
		}
	}
	if !apart.never(t, func() bool { return len(apart.got) > 0 }) {
		t.Error("a stream is apart from the event topic of its name")
	}
}
