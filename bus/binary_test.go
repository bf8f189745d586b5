package bus_test

import (
	"context"
	"testing"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
)

// A dead letter carries the event that failed. In binary mode it would have
// that event's media type and be read as it.
func TestADeadLetterSurvivesBinaryMode(t *testing.T) {
	b := membus.New(&membus.Options{Bus: bus.Options{Binary: true}})
	defer func() { _ = b.Shutdown(context.WithoutCancel(t.Context())) }()
	failed := make(chan struct{})
	_, err := b.Group(t.Context(), "topic", "g", func(context.Context, *bus.Delivery) error {
		defer close(failed)
		return bus.Reject(errBroken)
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Publish(t.Context(), "topic", bus.Event{ID: "1", Type: "t", Subject: "poison"}); err != nil {
		t.Fatal(err)
	}
	<-failed
	for {
		letters, err := b.DeadLetters(t.Context(), "topic", "g", 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(letters) == 0 {
			continue // its handler has returned, its letter is being written
		}
		if l := letters[0]; l.Original.ID != "1" || l.Original.Subject != "poison" || l.Reason == "" {
			t.Errorf("the dead letter is %+v; want the original with the reason", l)
		}
		return
	}
}
