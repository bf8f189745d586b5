package natsbus_test

import (
	"context"
	"testing"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/natsbus"
)

// A publisher that doesn't know whether an event arrived sends it again; with
// Deduplicate JetStream knows it by its id. Another source may use the same ids,
// and an event may go to several topics.
func TestDeduplicate(t *testing.T) {
	server := startServer(t, nil)
	for _, deduplicate := range []bool{false, true} {
		b := openBus(t, server.URL(), &natsbus.Options{Deduplicate: deduplicate})
		topic := map[bool]string{false: "plain", true: "deduplicated"}[deduplicate]
		group, err := b.Group(t.Context(), topic, "g", func(context.Context, *bus.Delivery) error { return nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := group.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		other := bus.Event{ID: "1", Source: "/one", Type: "t"}
		if err := b.Publish(t.Context(), topic+".other", other); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := b.Publish(t.Context(), topic, bus.Event{ID: "1", Source: "/one", Type: "t"}, bus.Event{ID: "1", Source: "/two", Type: "t"}); err != nil {
				t.Fatal(err)
			}
		}
		want := map[bool]int{false: 4, true: 2}[deduplicate]
		if n := backlog(t, b, topic, want); n != want {
			t.Errorf("Deduplicate %v: two events published twice are %d; want %d", deduplicate, n, want)
		}
	}
}
