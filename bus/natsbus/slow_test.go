package natsbus_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/natsbus"
)

// A backlog a thousand times what a member may hold: it waits at the server and
// not here, is counted, and comes in order once the handler can.
func TestLargeBacklog(t *testing.T) {
	server := startServer(t, nil)
	from, to := openBus(t, server.URL(), &natsbus.Options{AckTimeout: patience}), openBus(t, server.URL(), nil)
	const n, held = 20_000, 20
	release := make(chan struct{})
	var here, most atomic.Int64
	var group record
	if _, err := to.Group(t.Context(), "orders", "g", func(_ context.Context, d *bus.Delivery) error {
		now := here.Add(1)
		defer here.Add(-1)
		if now > most.Load() {
			most.Store(now)
		}
		<-release
		group.add(d.Event.Subject + "/" + d.Event.ID)
		return nil
	}, &bus.GroupOptions{MaxInFlight: held, Parallel: 5 * held}); err != nil {
		t.Fatal(err)
	}
	batch := make([]bus.Event, n)
	for i := range batch {
		batch[i] = event(i)
		batch[i].Subject = "key" + strconv.Itoa(i%100)
	}
	if err := from.Publish(t.Context(), "orders", batch...); err != nil {
		t.Fatal(err)
	}
	if got := backlog(t, from, "orders", n); got != n {
		t.Errorf("the backlog is %d; want %d, which nobody has acked", got, n)
	}
	close(release)
	lines := group.until(t, "the whole backlog", func(lines []string) bool { return len(lines) >= n })
	inOrder(t, lines)
	if len(lines) != n || most.Load() > held {
		t.Errorf("%d events of %d were handled, up to %d at once", len(lines), n, most.Load())
	}
}

// backlog returns the backlog of the group g. The server counts a moment after it
// has confirmed, so that this waits until there are as many as expected, and then
// a moment for more.
func backlog(t *testing.T, b *bus.Bus, topic string, want int) int {
	t.Helper()
	end, settled := time.Now().Add(patience), false
	for {
		n, err := b.Backlog(t.Context(), topic, "g")
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case settled || time.Now().After(end):
			return n
		case n >= want:
			settled = true
			<-time.After(200 * time.Millisecond)
		default:
			<-time.After(5 * time.Millisecond)
		}
	}
}

// inOrder checks that the numbers of each key, written key/number, only grow.
func inOrder(t *testing.T, lines []string) {
	t.Helper()
	last := map[string]int{}
	for _, l := range lines {
		key, id, _ := strings.Cut(l, "/")
		i, err := strconv.Atoi(id)
		if before, ok := last[key]; ok && i <= before || err != nil {
			t.Fatalf("%s: %d came after %d: a backlog changes neither order nor number", key, i, before)
		}
		last[key] = i
	}
}

// With Shared all members work, each in the order of keys, each event at one of
// them. Between members there is no such order, which is what Shared gives up.
func TestSharedMembers(t *testing.T) {
	server := startServer(t, nil)
	const n = 300
	var mu sync.Mutex
	got := map[string]int{}
	var seen [2][]string
	for i := range seen {
		b := openBus(t, server.URL(), &natsbus.Options{})
		if _, err := b.Group(t.Context(), "orders", "g", func(_ context.Context, d *bus.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			got[d.Event.ID]++
			seen[i] = append(seen[i], d.Event.Subject+"/"+d.Event.ID)
			return nil
		}, &bus.GroupOptions{Shared: true, MaxInFlight: 4}); err != nil {
			t.Fatal(err)
		}
	}
	from := openBus(t, server.URL(), nil)
	publishAll(t, from, "orders", 0, n)
	for sent, deadline := n, time.Now().Add(patience); ; {
		mu.Lock()
		all, idle := len(got) == sent, len(seen[0]) == 0 || len(seen[1]) == 0
		mu.Unlock()
		if all && !idle {
			break
		}
		if all { // by a member that was quick enough to leave the other nothing
			publishAll(t, from, "orders", sent, sent+1)
			sent++
		}
		if time.Now().After(deadline) {
			t.Fatal("not every event reached a member, or one member has nothing to do")
		}
		<-time.After(10 * time.Millisecond)
	}
	mu.Lock()
	defer mu.Unlock()
	for id, times := range got {
		if times != 1 {
			t.Errorf("event %s was handled %d times on a good day", id, times)
		}
	}
	for i := range seen {
		inOrder(t, seen[i])
	}
}
