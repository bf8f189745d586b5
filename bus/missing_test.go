package bus_test

import (
	"testing"
	"testing/synctest"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
)

func TestNewRefusesNoDriver(t *testing.T) {
	defer func() {
		if got, want := recover(), "bus: New: the driver is nil"; got != want {
			t.Errorf("panic %v, want %s", got, want)
		}
	}()
	bus.New(nil, nil)
}

// Who doesn't want to know gives no function.
func TestPublishAsyncWithoutDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := membus.New(nil)
		if err := b.PublishAsync(t.Context(), "orders", bus.Event{Type: "order.placed"}, nil); err != nil {
			t.Error(err)
		}
		if err := b.Shutdown(t.Context()); err != nil { // waits for it
			t.Error(err)
		}
	})
}
