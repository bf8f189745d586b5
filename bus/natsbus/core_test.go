package natsbus_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/natsbus"
)

// body is an event as it stands on the wire.
func body(t *testing.T, i int) []byte {
	t.Helper()
	e := event(i)
	e.Source = "/"
	b, err := e.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What core NATS loses between a publisher and a listener is known by the numbers
// and told before what comes behind it, of each publisher and topic by itself.
func TestCoreTellsAMissingEvent(t *testing.T) {
	server := startServer(t, nil)
	b := openBus(t, server.URL(), &natsbus.Options{Core: true})
	var all record
	if _, err := b.Broadcast(t.Context(), "orders", all.handler(), nil); err != nil {
		t.Fatal(err)
	}
	raw, err := nats.Connect(server.URL(), nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	for i, reply := range []string{"one.7", "two.1", "one.8", "one.10", "", "foreign", "two.2", "one.9", "one.11", "x.y.two.4"} {
		if err := raw.PublishMsg(&nats.Msg{Subject: "swale.l.orders", Reply: reply, Data: body(t, i)}); err != nil {
			t.Fatal(err)
		}
	}
	lines := all.until(t, "the last event", has("9"))
	want := []string{
		"live", "0", "1", "2", // a publisher that is new may have any number
		"lost", "resumed with a hole", "3", // 9 of the first is missing
		"4", "5", "6", // others aren't numbered, or go on
		"8", // 9 came after 10: its hole has been told
		"9", // renamed on the way
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("a hole is told where it is, and nothing else (-want +got):\n%s", diff)
	}
}

func TestCoreOverrunIsAHole(t *testing.T) {
	server := startServer(t, nil)
	from := openBus(t, server.URL(), &natsbus.Options{Core: true})
	to := openBus(t, server.URL(), &natsbus.Options{Core: true, Buffer: 16, Heartbeat: 100 * time.Millisecond})
	var all record
	h := all.handler()
	inner, release := h.Event, make(chan struct{})
	h.Event = func(e bus.Event) {
		if e.ID == "0" {
			<-release
		}
		inner(e)
	}
	if _, err := to.Broadcast(t.Context(), "orders", h, nil); err != nil {
		t.Fatal(err)
	}
	publishAll(t, from, "orders", 0, 500)
	// A request that went the same way came after all of them.
	if _, err := to.Request(t.Context(), "nobody", bus.Event{Type: "t"}); !errors.Is(err, bus.ErrNoResponders) {
		t.Fatal(err)
	}
	close(release)
	all.until(t, "what the buffer couldn't hold is a hole", has("resumed with a hole"))
	// The handler may still be at what the buffer held, so that more are lost.
	var lines []string
	for i := 500; len(lines) == 0; i++ {
		publishAll(t, from, "orders", i, i+1)
		<-time.After(10 * time.Millisecond)
		lines = all.until(t, "it goes on after the hole", func(lines []string) bool {
			return i < 1000 || slices.ContainsFunc(lines, later)
		})
		if !slices.ContainsFunc(lines, later) {
			lines = nil
		}
	}
	holeBeforeGap(t, lines)
}

// later reports whether a line is an event published after the overrun.
func later(line string) bool {
	i, err := strconv.Atoi(line)
	return err == nil && i >= 500
}

// holeBeforeGap checks that events are in order, none twice, and that each gap
// has a hole before it.
func holeBeforeGap(t *testing.T, lines []string) {
	t.Helper()
	next, hole := 0, false
	for _, l := range lines {
		i, err := strconv.Atoi(l)
		switch {
		case err != nil:
			hole = hole || l == "resumed with a hole"
		case i < next:
			t.Fatalf("event %d came after %d", i, next-1)
		case i > next && !hole:
			t.Fatalf("events %d to %d are missing, and nothing said so", next, i-1)
		default:
			next, hole = i+1, false
		}
	}
}

func TestCoreDisconnectIsAHole(t *testing.T) {
	server := startServer(t, nil)
	p := startProxy(t, server.URL())
	from := openBus(t, server.URL(), &natsbus.Options{Core: true})
	to := openBus(t, p.url(), &natsbus.Options{Core: true})
	var all record
	if _, err := to.Broadcast(t.Context(), "orders", all.handler(), nil); err != nil {
		t.Fatal(err)
	}
	publishAll(t, from, "orders", 0, 10)
	all.until(t, "events before the cut", has("9"))
	p.set(true, false)
	all.until(t, "a cut is reported", has("lost"))
	publishAll(t, from, "orders", 10, 20)
	p.set(false, false)
	all.until(t, "what passed meanwhile is a hole", has("resumed with a hole"))
	publishAll(t, from, "orders", 20, 21)
	lines := all.until(t, "it goes on after the hole", has("20"))
	holeBeforeGap(t, lines)
	if n := len(slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return l != "lost" })); n != 1 {
		t.Errorf("one cut was reported %d times: %q", n, lines)
	}
}

// A publisher without a connection is told, and what it publishes later has no
// hole in its numbers.
func TestCoreRefusedWithoutConnection(t *testing.T) {
	server := startServer(t, nil)
	p := startProxy(t, server.URL())
	from := openBus(t, p.url(), &natsbus.Options{Core: true})
	to := openBus(t, server.URL(), &natsbus.Options{Core: true})
	var all, own record
	if _, err := to.Broadcast(t.Context(), "orders", all.handler(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Broadcast(t.Context(), "orders", own.handler(), nil); err != nil {
		t.Fatal(err)
	}
	publishAll(t, from, "orders", 0, 10)
	all.until(t, "events before the cut", has("9"))
	p.set(true, false)
	own.until(t, "the publisher's connection is cut", has("lost"))
	if err := shortPublish(t, from); err == nil {
		t.Error("an event that can't leave is called safe")
	}
	p.set(false, false)
	publishAll(t, from, "orders", 10, 20)
	lines := all.until(t, "events after the cut", has("19"))
	whole(t, lines, 20)
	if slices.Contains(lines, "lost") {
		t.Errorf("what was refused left no hole, yet one was told: %q", lines)
	}
}

// Core asks nothing of JetStream: neither a stream nor a consumer is made.
func TestCoreMakesNothing(t *testing.T) {
	server := startServer(t, nil)
	b := openBus(t, server.URL(), &natsbus.Options{Core: true})
	var all record
	if _, err := b.Broadcast(t.Context(), "orders", all.handler(), nil); err != nil {
		t.Fatal(err)
	}
	publishAll(t, b, "orders", 0, 10)
	all.until(t, "events", has("9"))
	if got := b.Durability().String(); got != "kept nowhere" {
		t.Errorf("the durability is called %q", got)
	}
	raw, err := nats.Connect(server.URL(), nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	m, err := raw.Request("$JS.API.STREAM.NAMES", nil, patience)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Total int `json:"total"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil || answer.Total != 0 {
		t.Errorf("core NATS needs no stream, there are %d (%v)", answer.Total, err)
	}
}
