package rabbitbus

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
)

func position(key string, i int) bus.Event {
	return bus.Event{ID: strconv.Itoa(i), Type: "pos", Subject: key}
}

func TestStreamMissesNothingOverCut(t *testing.T) {
	t.Parallel()
	s, p := newSpace(t), newProxy(t)
	st, err := s.bus(t, Options{}, "").Stream(soon(t), "t", nil)
	must(t, err, "Stream")
	far, err := s.bus(t, Options{}, p.addr()).Stream(soon(t), "t", nil)
	must(t, err, "Stream")
	var got log
	_, err = far.Broadcast(soon(t), got.broadcast(), nil)
	must(t, err, "Broadcast")
	want := []string{"live"}
	next := 0
	publish := func(n int) {
		for range n {
			must(t, st.Publish(soon(t), position("r", next)), "Publish")
			want = append(want, strconv.Itoa(next))
			next++
		}
	}
	publish(10)
	got.until(t, "events arrive", has("9"))
	for round := range 3 {
		p.cut(true)
		got.until(t, "the cut is noticed", func(lines []string) bool { return count(lines, "lost") == round+1 })
		want = append(want, "lost", "resumed")
		publish(round * 300) // nothing, and more than the broker sends without an ack
		p.heal()
		got.until(t, "it comes back", func(lines []string) bool { return count(lines, "resumed") == round+1 })
		publish(1)
		got.until(t, "events go on", has(strconv.Itoa(next-1)))
	}
	if lines := got.all(); !slices.Equal(lines, want) {
		t.Errorf("a cut costs a stream's reader nothing, and it is told so: got %d lines instead of %d, the last are %q", len(lines), len(want), lines[max(0, len(lines)-5):])
	}
	e, err := far.Latest(soon(t), "r")
	must(t, err, "Latest")
	if e.ID != strconv.Itoa(next-1) {
		t.Errorf("after the cuts the latest is %d, got %s", next-1, e.ID)
	}
}

func TestStreamTellsWhatItDropped(t *testing.T) {
	t.Parallel()
	s, p := newSpace(t), newProxy(t)
	bounds := &bus.StreamOptions{MaxBytes: 1 << 20, MaxEventBytes: 64 << 10}
	st, err := s.bus(t, Options{}, "").Stream(soon(t), "t", bounds)
	must(t, err, "Stream")
	far, err := s.bus(t, Options{}, p.addr()).Stream(soon(t), "t", bounds)
	must(t, err, "Stream")
	var got log
	_, err = far.Broadcast(soon(t), got.broadcast(), nil)
	must(t, err, "Broadcast")
	must(t, st.Publish(soon(t), position("quiet", 0)), "Publish")
	got.until(t, "an event arrives", has("0"))
	_, err = far.Latest(soon(t), "quiet")
	must(t, err, "Latest")
	p.cut(true)
	got.until(t, "the cut is noticed", has("lost"))
	large := position("busy", 1)
	large.Data = []byte(`"` + strings.Repeat("x", 60_000) + `"`)
	for range 100 { // several segments
		must(t, st.Publish(soon(t), large), "Publish")
	}
	p.heal()
	got.until(t, "the hole is told", has("resumed with a hole"))
	if _, err := far.Latest(soon(t), "quiet"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what the stream has dropped isn't the latest of its key any more: %v", err)
	}
	e, err := far.Latest(soon(t), "busy")
	must(t, err, "Latest")
	if e.ID != "1" {
		t.Errorf("the latest of a key that is there: %v", e)
	}
}

func TestStreamDeletedUnderItsReaders(t *testing.T) {
	t.Parallel()
	s, p := newSpace(t), newProxy(t)
	b, c := s.driver(t, Options{}, "")
	t.Cleanup(func() { _ = b.Shutdown(soon(t)) })
	st, err := b.Stream(soon(t), "t", nil)
	must(t, err, "Stream")
	far, err := s.bus(t, Options{}, p.addr()).Stream(soon(t), "t", nil)
	must(t, err, "Stream")
	var near, away log
	_, err = st.Broadcast(soon(t), near.broadcast(), nil)
	must(t, err, "Broadcast")
	_, err = far.Broadcast(soon(t), away.broadcast(), nil)
	must(t, err, "Broadcast")
	for i := range 10 {
		must(t, st.Publish(soon(t), position("old", i)), "Publish")
	}
	for _, st := range []*bus.Stream{st, far} {
		_, err = st.Latest(soon(t), "old")
		must(t, err, "Latest")
	}
	near.until(t, "events arrive", has("9"))
	away.until(t, "events arrive", has("9"))
	p.cut(true) // one reader doesn't see it go
	away.until(t, "the cut is noticed", has("lost"))
	must(t, c.do(soon(t), c.out, func(ch channel) error {
		_, err := ch.QueueDelete(c.names.stream("t"), false, false, false)
		return err
	}), "delete the stream")
	near.until(t, "the loss is told", has("resumed with a hole"))
	must(t, st.Publish(soon(t), position("new", 10)), "Publish")
	near.until(t, "events go on", has("10"))
	p.heal()
	away.until(t, "the loss is told to who was away", has("resumed with a hole"))
	must(t, st.Publish(soon(t), position("new", 11)), "Publish")
	away.until(t, "events go on", has("11"))
	for name, st := range map[string]*bus.Stream{"near": st, "away": far} {
		e, err := st.Latest(soon(t), "new")
		must(t, err, "Latest in the stream that was made anew")
		if e.ID != "11" {
			t.Errorf("%s: the latest is %v", name, e)
		}
		if _, err := st.Latest(soon(t), "old"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: what was deleted is gone: %v", name, err)
		}
	}
}

func TestStreamThatIsGoneTakesNothing(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	b, c := s.driver(t, Options{}, "")
	t.Cleanup(func() { _ = b.Shutdown(soon(t)) })
	st, err := b.Stream(soon(t), "t", nil)
	must(t, err, "Stream")
	must(t, c.do(soon(t), c.out, func(ch channel) error {
		_, err := ch.QueueDelete(c.names.stream("t"), false, false, false)
		return err
	}), "delete the stream")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := st.Publish(ctx, position("r", 0)); err == nil {
		t.Error("what goes nowhere isn't safe")
	}
	_, err = b.Stream(soon(t), "t", nil)
	must(t, err, "Stream again")
	must(t, st.Publish(soon(t), position("r", 1)), "Publish when it is there again")
}

func TestStreamBoundsAreForEverybody(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	st, err := s.bus(t, Options{}, "").Stream(soon(t), "t", nil)
	must(t, err, "Stream")
	for i := range 20 {
		must(t, st.Publish(soon(t), position(strconv.Itoa(i), i)), "Publish")
	}
	all := func() (ids []string) {
		for e, err := range st.All(soon(t)) {
			must(t, err, "All")
			ids = append(ids, e.ID)
		}
		return ids
	}
	if ids := all(); len(ids) != 20 {
		t.Fatalf("20 keys have a latest event, got %q", ids)
	}
	_, err = s.bus(t, Options{}, "").Stream(soon(t), "t", &bus.StreamOptions{MaxEvents: 3})
	must(t, err, "Stream with other bounds")
	if ids := all(); !slices.Equal(ids, []string{"17", "18", "19"}) {
		t.Errorf("bounds that somebody else declares count here too, got %q", ids)
	}
	_, err = s.bus(t, Options{}, "").Stream(soon(t), "t", &bus.StreamOptions{MaxAge: 200 * time.Millisecond})
	must(t, err, "Stream with other bounds")
	over := soon(t)
	for len(all()) > 0 {
		if over.Err() != nil {
			t.Fatal("events that are older than MaxAge must go")
		}
		breathe()
	}
}

// TestStreamKeepsPerKey is about the events that count, of which only the latest of
// a key is ever seen.
func TestStreamKeepsPerKey(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	st, err := s.bus(t, Options{}, "").Stream(soon(t), "t", &bus.StreamOptions{PerKey: 2, MaxEvents: 3})
	must(t, err, "Stream")
	for i, key := range []string{"a", "b", "b", "b", "b"} { // two of b count, and a
		must(t, st.Publish(soon(t), position(key, i)), "Publish")
	}
	for key, want := range map[string]string{"a": "0", "b": "4"} {
		e, err := st.Latest(soon(t), key)
		must(t, err, "Latest")
		if e.ID != want {
			t.Errorf("the latest of %s is %s, got %s", key, want, e.ID)
		}
	}
	for i := range 2 {
		must(t, st.Publish(soon(t), position("c", i)), "Publish")
	}
	if _, err := st.Latest(soon(t), "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the oldest gives way to the second event of another key: %v", err)
	}
}
