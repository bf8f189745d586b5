package rabbitbus

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
)

func batch(n int) []bus.Event {
	events := make([]bus.Event, n)
	for i := range events {
		events[i] = event(i)
	}
	return events
}

func TestTenThousandTopics(t *testing.T) {
	s := newSpace(t)
	b := s.bus(t, Options{}, "")
	var all log
	for i := range 50 {
		_, err := b.Broadcast(soon(t), "topic-"+strconv.Itoa(i*200), all.broadcast(), nil)
		must(t, err, "Broadcast")
	}
	var wg sync.WaitGroup
	ctx := soon(t)
	for i := range 10_000 {
		wg.Add(1)
		must(t, b.PublishAsync(ctx, "topic-"+strconv.Itoa(i), event(i), func(err error) {
			if err != nil {
				t.Errorf("topic %d: %v", i, err)
			}
			wg.Done()
		}), "PublishAsync")
	}
	wg.Wait()
	all.until(t, "ten thousand topics cost no more than one", func(lines []string) bool { return len(lines) == 50+50 })
}

// TestConsumerSlowerThanProducer has everything published before most of it is
// handled.
func TestConsumerSlowerThanProducer(t *testing.T) {
	s := newSpace(t)
	b := s.bus(t, Options{}, "")
	var got log
	published := make(chan struct{})
	_, err := s.bus(t, Options{}, "").Group(soon(t), "t", "g", func(ctx context.Context, d *bus.Delivery) error {
		if d.Event.ID == "1000" {
			<-published
		}
		<-time.After(time.Millisecond)
		return got.handle(ctx, d)
	}, &bus.GroupOptions{MaxInFlight: 32, AckWait: time.Second})
	must(t, err, "Group")
	const n = 3000 // three times AckWait
	must(t, b.Publish(soon(t), "t", batch(n)...), "Publish")
	close(published)
	got.until(t, "a slow group gets everything in the end", func(lines []string) bool { return len(lines) >= n })
	if lines := got.all(); len(lines) != n {
		t.Errorf("%d deliveries of %d events: being slow is no reason to deliver again", len(lines), n)
	}
	inOrder(t, got.all(), n)
}

// slow is a handler that waits in its first event until released.
func slow(all *log) (h bus.BroadcastHandler, release func()) {
	free := make(chan struct{})
	h = all.broadcast()
	inner := h.Event
	h.Event = func(e bus.Event) {
		if e.ID == "0" {
			<-free
		}
		inner(e)
	}
	return h, func() { close(free) }
}

func TestSlowBroadcastHandler(t *testing.T) {
	s := newSpace(t)
	b := s.bus(t, Options{Buffer: 100}, "")
	var all log
	h, release := slow(&all)
	_, err := b.Broadcast(soon(t), "t", h, nil)
	must(t, err, "Broadcast")
	must(t, b.Publish(soon(t), "t", batch(2000)...), "Publish")
	must(t, b.Publish(soon(t), "other", event(0)), "Publish")
	release()
	must(t, b.Publish(soon(t), "t", event(2000)), "Publish")
	lines := all.until(t, "the newest event arrives", has("2000"))
	if lost, hole := slices.Index(lines, "lost"), slices.Index(lines, "resumed with a hole"); lost < 0 || hole < lost {
		t.Errorf("what a handler is too slow for is dropped, and it is told so: %d lines, lost is number %d, the hole %d", len(lines), lost, hole)
	}
}

func TestSlowStreamHandler(t *testing.T) {
	s := newSpace(t)
	st, err := s.bus(t, Options{Buffer: 100}, "").Stream(soon(t), "t", nil)
	must(t, err, "Stream")
	var all log
	h, release := slow(&all)
	_, err = st.Broadcast(soon(t), h, nil)
	must(t, err, "Broadcast")
	must(t, st.Publish(soon(t), batch(5000)...), "Publish")
	release()
	lines := all.until(t, "a slow handler gets everything in the end", has("4999"))
	if len(lines) != 1+5000 || has("lost")(lines) {
		t.Errorf("what the buffer can't hold waits in the stream: %d lines of 5001", len(lines))
	}
	inOrder(t, lines[1:], 5000)
}
