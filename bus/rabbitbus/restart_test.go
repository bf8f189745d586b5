package rabbitbus

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/goswale/swale/bus"
)

// inOrder checks that the events 0 to n-1 came, each for the first time in order.
func inOrder(t *testing.T, lines []string, n int) {
	t.Helper()
	next := 0
	for _, id := range lines {
		switch i, err := strconv.Atoi(id); {
		case err != nil: // a state
		case i == next:
			next++
		case i > next:
			t.Fatalf("event %d came before %d: what Publish said is safe must come, and in order", i, next)
		}
	}
	if next != n {
		t.Errorf("events up to %d of %d came", next, n)
	}
}

// TestBrokerRestart stops a node, and then kills it, while events are published,
// and starts it again. In this order: RabbitMQ 3.10 writes down which quorum queues
// it has every three minutes or when it stops, and doesn't find those that it had
// made just before it was killed.
func TestBrokerRestart(t *testing.T) {
	t.Parallel()
	node := newBroker(t)
	s := newSpaceAt(t, node.url())
	from, to := s.bus(t, Options{}, ""), s.bus(t, Options{}, "")
	var one, all, values log
	in, err := from.Stream(soon(t), "v", nil)
	must(t, err, "Stream")
	out, err := to.Stream(soon(t), "v", nil)
	must(t, err, "Stream")
	_, err = out.Broadcast(soon(t), values.broadcast(), nil)
	must(t, err, "Broadcast of a stream")
	_, err = to.Group(soon(t), "t", "g", one.handle, nil)
	must(t, err, "Group")
	_, err = to.Broadcast(soon(t), "t", all.broadcast(), nil)
	must(t, err, "Broadcast")
	_, err = to.Serve(soon(t), "s", "g", func(_ context.Context, e bus.Event) (bus.Event, error) { return e, nil }, nil)
	must(t, err, "Serve")
	next := 0
	for round, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		var end atomic.Bool
		published := make(chan error, 1)
		began := next
		go func() {
			for !end.Load() {
				if err := errors.Join(from.Publish(patient(t), "t", event(next)), in.Publish(patient(t), event(next))); err != nil {
					published <- err
					return
				}
				next++
			}
			published <- nil
		}()
		one.until(t, "events are on their way", has(strconv.Itoa(began+20)))
		node.end(t, signal)
		all.until(t, "the broadcast notices", func(lines []string) bool { return count(lines, "lost") == round+1 })
		node.start(t)
		all.until(t, "the broadcast says that it may have missed something", func(lines []string) bool {
			return count(lines, "resumed with a hole") == round+1
		})
		end.Store(true)
		must(t, <-published, "Publish while the node is away")
		must(t, from.Publish(soon(t), "t", event(next)), "Publish after the restart")
		must(t, in.Publish(soon(t), event(next)), "Publish to the stream after the restart")
		one.until(t, "the group goes on", has(strconv.Itoa(next)))
		all.until(t, "the broadcast goes on", has(strconv.Itoa(next)))
		values.until(t, "the stream goes on", has(strconv.Itoa(next)))
		next++
		for attempt := 0; ; attempt++ {
			if _, err = from.Request(soon(t), "s", bus.Event{Type: "t"}); err == nil {
				break
			}
			if attempt == 50 {
				t.Fatalf("requests must work again after the restart: %v", err)
			}
			breathe()
		}
	}
	inOrder(t, one.all(), next)
	inOrder(t, values.all(), next)
	if lines := values.all(); count(lines, "resumed") != 2 || count(lines, "resumed with a hole") != 0 {
		t.Errorf("a stream's reader misses nothing over two restarts, and is told so: %q", slices.DeleteFunc(lines, func(l string) bool { return l[0] <= '9' }))
	}
}

func count(lines []string, want string) (n int) {
	for _, line := range lines {
		if line == want {
			n++
		}
	}
	return n
}

// TestBrokerRefusesLargeMessage has a broker that takes less than the bus was told.
// It closes the channel over a message that is too large, which must not be sent
// again and again, and the others must.
func TestBrokerRefusesLargeMessage(t *testing.T) {
	t.Parallel()
	node := newBroker(t, "max_message_size = 65536")
	s := newSpaceAt(t, node.url())
	b := s.bus(t, Options{}, "")
	var got log
	_, err := b.Group(soon(t), "t", "g", got.handle, nil)
	must(t, err, "Group")
	large := event(5)
	large.Data = []byte(`"` + strings.Repeat("x", 100_000) + `"`)
	events := make([]bus.Event, 10)
	for i := range events {
		events[i] = event(i)
	}
	events[5] = large
	err = b.Publish(soon(t), "t", events...)
	var partial *bus.PublishError
	if !errors.As(err, &partial) || !errors.Is(err, bus.ErrTooLarge) {
		t.Fatalf("an event that the broker doesn't take is ErrTooLarge: %v", err)
	}
	for _, f := range partial.Failed {
		if tooLarge := errors.Is(f.Err, bus.ErrTooLarge); tooLarge != (f.Index == 5) {
			t.Errorf("only the large event is too large: number %d failed with %v", f.Index, f.Err)
		}
	}
	must(t, b.Publish(soon(t), "t", event(10)), "Publish after a refusal")
	got.until(t, "events go on", has("10"))
	if has("5")(got.all()) {
		t.Error("the broker has taken a message over its limit")
	}
}
