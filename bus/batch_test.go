package bus_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/driver"
	"github.com/goswale/swale/bus/membus"
)

// A message that is a JSON array and says nothing of its type is a batch; whoever
// listens gets its events one by one, each held to the limit by itself.
func TestABatchIsSeveralEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := membus.NewBroker()
		var bad []error
		b := broker.Connect(&membus.Options{Bus: bus.Options{MaxEventBytes: 256}})
		defer func() { _ = b.Shutdown(context.WithoutCancel(t.Context())) }()
		var all, one []string
		_, err := b.Broadcast(t.Context(), "topic", bus.BroadcastHandler{Event: func(e bus.Event) { all = append(all, e.ID) }},
			&bus.BroadcastOptions{OnInvalid: func(_ []byte, err error) { bad = append(bad, err) }})
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Group(t.Context(), "topic", "g", func(_ context.Context, d *bus.Delivery) error {
			one = append(one, d.Event.ID)
			return nil
		}, &bus.GroupOptions{Parallel: 1, MaxAttempts: 1})
		if err != nil {
			t.Fatal(err)
		}
		event := func(id string) string {
			return `{"specversion":"1.0","id":"` + id + `","source":"/","type":"t","subject":"k"}`
		}
		for _, body := range []string{
			" [" + event("not an array at once") + "]",
			"[" + event("1") + "," + event("2") + "," + event("3") + "," + event("4") + "]", // 256 and more
			"[" + event("5") + "," + event(strings.Repeat("x", 256)) + "]",
			"[]",
			"[" + event("6") + "]",
		} {
			if err := broker.Inject(t.Context(), "topic", driver.Message{Body: []byte(body)}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		want := []string{"1", "2", "3", "4", "6"}
		if diff := cmp.Diff(want, all); diff != "" {
			t.Errorf("the broadcast of batches (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, one); diff != "" {
			t.Errorf("the group's events of batches (-want +got):\n%s", diff)
		}
		if len(bad) != 3 || !errors.Is(bad[1], bus.ErrTooLarge) || !errors.Is(bad[2], bus.ErrInvalidEvent) {
			t.Errorf("what can't be read is reported with its reason, got %v", bad)
		}
	})
}

// What a driver gives back after it has called done is used for later events; none
// of them may change one that is still on its way.
func TestMemoryOfEventsIsUsedAgainOnlyWhenTheDriverIsDone(t *testing.T) {
	d := &holding{sent: make(map[string]string)}
	b := bus.New(d, nil)
	for i := range 50 {
		id := strings.Repeat(string(rune('a'+i%26)), 1+i)
		if err := b.PublishAsync(t.Context(), "topic", bus.Event{ID: id, Type: "t"}, func(error) {}); err != nil {
			t.Fatal(err)
		}
		d.check(t)
		if i%3 == 0 {
			d.confirm()
		}
	}
	d.check(t)
	d.confirm()
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// holding is a driver that copies nothing until it confirms.
type holding struct {
	driver.Driver
	sent map[string]string // what each event looked like when it came
	held []driver.Message
	done []func(int, error)
}

func (*holding) Info() driver.Info           { return driver.Info{Copies: true} }
func (*holding) Close(context.Context) error { return nil }
func (d *holding) Publish(_ context.Context, _ string, msgs []driver.Message, done func(int, error)) {
	d.sent[msgs[0].ID] = string(msgs[0].Body)
	d.held, d.done = append(d.held, msgs[0]), append(d.done, done)
}

func (d *holding) check(t *testing.T) {
	t.Helper()
	for _, m := range d.held {
		if want := d.sent[m.ID]; string(m.Body) != want {
			t.Errorf("event %s changed on its way: %s instead of %s", m.ID, m.Body, want)
		}
	}
}

func (d *holding) confirm() {
	for _, done := range d.done {
		done(0, nil)
	}
	d.held, d.done = nil, nil
}
