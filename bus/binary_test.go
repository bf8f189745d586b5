package bus_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/driver"
	"github.com/goswale/swale/bus/membus"
)

// Headers come in no order, so of two different values nobody could say which holds.
func TestAnAttributeStandsOnce(t *testing.T) {
	good := []driver.Attribute{
		{Name: "specversion", Value: "1.0"}, {Name: "id", Value: "1"}, {Name: "source", Value: "/s"}, {Name: "type", Value: "t"},
		{Name: "subject", Value: "a"}, {Name: "time", Value: "2026-11-22T00:00:00Z"}, {Name: "ext", Value: ""},
	}
	for _, a := range good {
		m := driver.Message{Attributes: append(slices.Clip(good), a)}
		if _, err := bus.FromMessage(m); err != nil {
			t.Errorf("%s twice with the same value is read: %v", a.Name, err)
		}
		m.Attributes[len(good)].Value = "2026-11-23T00:00:00Z"
		if _, err := bus.FromMessage(m); !errors.Is(err, bus.ErrInvalidEvent) {
			t.Errorf("%s twice with different values must be refused, got %v", a.Name, err)
		}
	}
}

func FuzzBinary(f *testing.F) {
	f.Add("text/plain", "id=1\nsource=/s\ntype=t\nspecversion=1.0\nsubject=a\ntime=2026-11-22T00:00:00Z\next=1", []byte("data"))
	f.Add("application/json", "id=\x00\nsource=\xff\ntype=t\nspecversion=1.0\ndatacontenttype=a/b\nid=2\nEXT=-1", []byte(nil))
	f.Add(driver.ContentTypeEvent, "", []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t"}`))
	f.Fuzz(func(t *testing.T, contentType, attributes string, body []byte) {
		m := driver.Message{ContentType: contentType, Body: body}
		for line := range strings.SplitSeq(attributes, "\n") {
			if name, value, ok := strings.Cut(line, "="); ok {
				m.Attributes = append(m.Attributes, driver.Attribute{Name: name, Value: value})
			}
		}
		e, err := bus.FromMessage(m)
		if err != nil {
			return
		}
		if err := e.Validate(); err != nil {
			t.Fatalf("what was read is valid: %v", err)
		}
		if isEvent := strings.HasPrefix(e.DataContentType, "application/cloudevents"); !isEvent {
			back, err := bus.ToBinary(e)
			if err != nil {
				t.Fatalf("what was read can be written: %v", err)
			}
			again, err := bus.FromMessage(back)
			if err != nil {
				t.Fatalf("what was written can be read: %v", err)
			}
			if diff := cmp.Diff(e, again); diff != "" {
				t.Fatalf("writing and reading changes nothing: %s", diff)
			}
		}
	})
}

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
