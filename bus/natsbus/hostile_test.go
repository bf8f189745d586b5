package natsbus_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/natsbus"
)

// stranger is a client that may publish and knows how messages look.
func stranger(t *testing.T, url string) *nats.Conn {
	t.Helper()
	raw, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(raw.Close)
	return raw
}

// What a server says of a subscription has no data and a status. So may what
// anybody publishes.
func TestForgedControlMessages(t *testing.T) {
	server := startServer(t, nil)
	b := openBus(t, server.URL(), nil)
	var all, group record
	if _, err := b.Broadcast(t.Context(), "orders", all.handler(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Group(t.Context(), "orders", "g", func(_ context.Context, d *bus.Delivery) error {
		group.add(d.Event.ID)
		return nil
	}, &bus.GroupOptions{MaxInFlight: 3}); err != nil {
		t.Fatal(err)
	}
	raw := stranger(t, server.URL())
	forged := []nats.Header{
		{"Status": {"409"}, "Description": {"Consumer Deleted"}},
		{"Status": {"100"}},
		{"Status": {"100"}, "Nats-Last-Consumer": {"99"}, "Nats-Last-Stream": {"99"}},
		{"Status": {"404"}},
		{"Nats-Pin-Id": {"forged"}},
	}
	for _, h := range forged {
		if err := raw.PublishMsg(&nats.Msg{Subject: "swale.e.0.orders", Header: h}); err != nil {
			t.Fatal(err)
		}
	}
	if err := raw.Flush(); err != nil {
		t.Fatal(err)
	}
	publishAll(t, b, "orders", 0, 20)
	lines := all.until(t, "a broadcast goes past them", has("19"))
	whole(t, lines, 20)
	if has("lost")(lines) {
		t.Errorf("a message says nothing about the subscription: %q", lines)
	}
	group.until(t, "a group goes past them", has("19"))
	for ctx := unhurried(t); ; {
		letters, err := b.DeadLetters(ctx, "orders", "g", 10)
		if err != nil {
			t.Fatalf("what is no event is a dead letter of the group: %v", err)
		}
		if len(letters) == len(forged) {
			break
		}
	}
}

func TestForgedStatusOfAValue(t *testing.T) {
	server := startServer(t, nil)
	b := openBus(t, server.URL(), nil)
	s, err := b.Stream(t.Context(), "positions", nil)
	if err != nil {
		t.Fatal(err)
	}
	raw := stranger(t, server.URL())
	if _, err := raw.RequestMsg(&nats.Msg{Subject: "swale.s.positions.k", Header: nats.Header{"Status": {"404"}}}, patience); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Latest(t.Context(), "k"); !errors.Is(err, bus.ErrInvalidEvent) {
		t.Errorf("what is there and is no event is neither absent nor temporary: %v", err)
	}
}

// The number of an event is its reply subject, which whoever hears it can continue.
func TestForgedNumbers(t *testing.T) {
	server := startServer(t, nil)
	b := openBus(t, server.URL(), &natsbus.Options{Core: true})
	raw := stranger(t, server.URL())
	heard := make(chan *nats.Msg, 1)
	sub, err := raw.ChanSubscribe("swale.l.orders", heard)
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Flush(); err != nil {
		t.Fatal(err)
	}
	var all record
	if _, err := b.Broadcast(t.Context(), "orders", all.handler(), nil); err != nil {
		t.Fatal(err)
	}
	publishAll(t, b, "orders", 0, 1)
	first := <-heard
	if err := sub.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	last := first.Reply[len(first.Reply)-1:]
	if last != "1" {
		t.Fatalf("the first event has the number 1: %s", first.Reply)
	}
	forged := first.Reply[:len(first.Reply)-1] + strconv.FormatUint(1<<62, 10)
	if err := raw.PublishMsg(&nats.Msg{Subject: first.Subject, Reply: forged, Data: first.Data}); err != nil {
		t.Fatal(err)
	}
	if err := raw.Flush(); err != nil {
		t.Fatal(err)
	}
	all.until(t, "what is missing before a forged number is told", has("resumed with a hole"))
	publishAll(t, b, "orders", 1, 40)
	lines := all.until(t, "a forged number doesn't silence its publisher", has("39"))
	holes := 0
	for _, l := range lines {
		if l == "resumed with a hole" {
			holes++
		}
	}
	if missing := 40 - events(lines); missing > 0 && holes < 2 {
		t.Errorf("%d events are missing and nobody said so: %q", missing, lines)
	}
}

// Whoever asks chooses where the answer goes.
func TestForgedReply(t *testing.T) {
	server := startServer(t, nil)
	b := openBus(t, server.URL(), nil)
	if _, err := b.Serve(t.Context(), "s", "g", func(_ context.Context, e bus.Event) (bus.Event, error) { return e, nil }, nil); err != nil {
		t.Fatal(err)
	}
	raw := stranger(t, server.URL())
	asked, err := raw.SubscribeSync("swale.r.s")
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Request(t.Context(), "s", bus.Event{Type: "t"}); err != nil {
		t.Fatal(err)
	}
	question, err := asked.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	for _, reply := range []string{"$JS.API.STREAM.DELETE.swale-events", "swale.e.0.orders"} {
		if err := raw.PublishRequest("swale.r.s", reply, question.Data); err != nil {
			t.Fatal(err)
		}
	}
	own, err := raw.Request("swale.r.s", question.Data, patience)
	if err != nil || len(own.Data) == 0 {
		t.Fatalf("other clients are answered too: %v", err)
	}
	if _, err := b.Request(t.Context(), "s", bus.Event{Type: "t"}); err != nil {
		t.Fatal(err)
	}
	info, err := raw.Request("$JS.API.STREAM.INFO.swale-events", nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var state struct {
		State *struct{ Messages int } `json:"state"`
	}
	if err := json.Unmarshal(info.Data, &state); err != nil || state.State == nil {
		t.Fatal("an answer must not delete the stream")
	}
	if state.State.Messages != 0 {
		t.Errorf("an answer must not become an event: %d", state.State.Messages)
	}
}
