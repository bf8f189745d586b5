package rabbitbus

import (
	"testing"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/driver"
)

// TestDeliveriesHaveNoLimit gives an event back more often than RabbitMQ 4 lets a
// queue have it delivered unless it is told otherwise: it would drop it then.
func TestDeliveriesHaveNoLimit(t *testing.T) {
	s := newSpace(t)
	b, c := s.driver(t, Options{}, "")
	t.Cleanup(func() {
		if err := b.Shutdown(soon(t)); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	const most = 50
	kept := make(chan struct{})
	sub, err := c.Group(soon(t), "t", "g", driver.GroupOptions{MaxInFlight: 1}, func(d driver.Delivery) {
		var err error
		if d.Attempt < most {
			err = d.Acker.Nack(0)
		} else {
			err = d.Acker.Ack()
			close(kept)
		}
		if err != nil {
			t.Errorf("attempt %d: %v", d.Attempt, err)
		}
	})
	must(t, err, "Group")
	must(t, b.Publish(soon(t), "t", bus.Event{Type: "t"}), "Publish")
	select {
	case <-kept:
	case <-soon(t).Done():
		t.Errorf("an event that is given back is delivered again, also for the %dth time", most)
	}
	must(t, sub.Stop(soon(t)), "Stop")
	must(t, sub.Detach(soon(t)), "Detach")
}
