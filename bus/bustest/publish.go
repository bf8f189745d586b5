package bustest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
)

func testPublish(t *testing.T, s *suite) {
	b := s.busWith(t, bus.Options{Window: 8})
	topic := name("publish")
	must(t, b.Publish(s.ctx(t), topic), "publishing nothing is fine")
	must(t, b.Publish(s.ctx(t), topic, bus.Event{Type: "t"}), "a missing ID, Source and Time is filled in")

	if err := b.Publish(s.ctx(t), "Not a topic", bus.Event{Type: "t"}); !errors.Is(err, bus.ErrInvalidTopic) {
		t.Errorf("a bad topic must be refused with ErrInvalidTopic, got %v", err)
	}
	if err := b.Publish(s.ctx(t), topic, bus.Event{}); !errors.Is(err, bus.ErrInvalidEvent) {
		t.Errorf("an event without a type must be refused with ErrInvalidEvent, got %v", err)
	}
	big := bus.Event{Type: "t", DataContentType: "text/plain", Data: []byte(strings.Repeat("x", max(b.Driver().MaxPayload, 2<<20)))}
	if err := b.Publish(s.ctx(t), topic, big); !errors.Is(err, bus.ErrTooLarge) {
		t.Errorf("an event over the limit must be refused with ErrTooLarge, got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	err := b.Publish(ended, topic, bus.Event{Type: "t"}, bus.Event{Type: "t"})
	var partial *bus.PublishError
	if !errors.Is(err, context.Canceled) || !errors.As(err, &partial) || len(partial.Failed) != 2 {
		t.Errorf("with an ended context nothing is published, and the error says so of each event: got %v", err)
	}

	// Far more events than the window, from many goroutines.
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			batch := make([]bus.Event, 50)
			for i := range batch {
				batch[i] = bus.Event{Type: "t", Subject: strconv.Itoa(i)}
			}
			if err := b.Publish(s.ctx(t), topic, batch...); err != nil {
				t.Errorf("a batch larger than the window is published in parts: %v", err)
			}
		})
	}
	wg.Wait()
}

func testPublishAsync(t *testing.T, s *suite) {
	b := s.busWith(t, bus.Options{Window: 16})
	topic := name("async")
	var c events
	_, err := b.Broadcast(s.ctx(t), topic, c.broadcast(), nil)
	must(t, err, "Broadcast")
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Add(1)
		must(t, b.PublishAsync(s.ctx(t), topic, bus.Event{Type: "t", Subject: strconv.Itoa(i)}, func(err error) {
			if err != nil {
				t.Errorf("PublishAsync: %v", err)
			}
			wg.Done()
		}), "PublishAsync")
	}
	wg.Wait()
	for i, e := range c.exactly(t, s, 200, "each event that was published asynchronously arrives once") {
		if e.Subject != strconv.Itoa(i) {
			t.Fatalf("events of one goroutine keep their order: number %d is %s", i, e.Subject)
		}
	}
}

// samples are events that are hard to carry.
func samples() []bus.Event {
	at := time.Date(2026, 11, 21, 9, 25, 0, 123456789, time.UTC)
	long := make(map[string]string)
	for i := range 20 {
		long["ext"+strconv.Itoa(i)] = strings.Repeat("v", i)
	}
	return []bus.Event{
		{ID: "1", Source: "/s", Type: "t", Time: at},
		{ID: "2", Source: "https://h/p?q=1#f", Type: "a.b", Subject: "/restaurants/203?x=\"ü\" %41", Time: at},
		{ID: "3", Source: "urn:x:y", Type: "t", Time: at.In(time.FixedZone("", 5*3600+1800)), DataContentType: "application/json", Data: []byte(`{"a":[1,2,"<&>"],"b":null}`)},
		{ID: "4", Source: "/s", Type: "t", Time: at, DataContentType: "text/plain; charset=utf-8", Data: []byte("line\nline \"q\" \u2028 é")},
		{ID: "5", Source: "/s", Type: "t", Time: at, DataContentType: "application/octet-stream", Data: []byte{0, 1, 2, 0xff, 0xfe, '\r', '\n', 0}},
		{ID: "6", Source: "/s", Type: "t", Time: at, DataSchema: "https://h/schema#1", Extensions: map[string]string{"partitionkey": "käse / %", "sequence": "18446744073709551615", "empty": ""}},
		{ID: "7", Source: "/s", Type: "t", Time: at, Extensions: long, DataContentType: "application/json", Data: []byte(`"just a string"`)},
		{ID: "8 with spaces", Source: "/s", Type: "t t", Time: at, Subject: " leading and trailing "},
		{ID: "9", Source: "/s", Type: "t", Time: at, DataContentType: "application/xml", Data: bytes.Repeat([]byte("<a/>"), 20000)},
	}
}

func testRoundTrip(t *testing.T, s *suite) {
	for _, binary := range []bool{false, true} {
		mode := map[bool]string{false: "structured", true: "binary"}[binary]
		t.Run(mode, func(t *testing.T) {
			from, to := s.busWith(t, bus.Options{Binary: binary}), s.bus(t)
			topic, group := name("round"), name("g")
			var all, one events
			_, err := to.Broadcast(s.ctx(t), topic, all.broadcast(), nil)
			must(t, err, "Broadcast")
			groups := s.join(t, to, topic, group, &one, &bus.GroupOptions{Parallel: 1})
			want := samples()
			must(t, from.Publish(s.ctx(t), topic, want...), "Publish")
			compare(t, "broadcast", all.exactly(t, s, len(want), "a broadcast arrives"), want)
			if groups {
				compare(t, "group", one.exactly(t, s, len(want), "a group's events arrive"), want)
			}
		})
	}
}

func compare(t *testing.T, how string, got, want []bus.Event) {
	t.Helper()
	byID := make(map[string]bus.Event)
	for _, e := range got {
		byID[e.ID] = e
	}
	for _, w := range want {
		g, ok := byID[w.ID]
		switch {
		case !ok:
			t.Errorf("%s: event %s did not arrive", how, w.ID)
		case g.Source != w.Source || g.Type != w.Type || g.Subject != w.Subject || g.DataContentType != w.DataContentType || g.DataSchema != w.DataSchema:
			t.Errorf("%s: attributes must arrive unchanged:\n got %+v\nwant %+v", how, g, w)
		case !g.Time.Equal(w.Time):
			t.Errorf("%s: time must arrive to the nanosecond: got %v, want %v", how, g.Time, w.Time)
		case !maps.Equal(g.Extensions, w.Extensions):
			t.Errorf("%s: extensions must arrive unchanged:\n got %q\nwant %q", how, g.Extensions, w.Extensions)
		case !bytes.Equal(g.Data, w.Data):
			t.Errorf("%s: data of event %s must arrive byte by byte: got %.60q, want %.60q", how, w.ID, g.Data, w.Data)
		}
	}
}
