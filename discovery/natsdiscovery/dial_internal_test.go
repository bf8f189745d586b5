package natsdiscovery

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
)

// deadlines remembers the last deadline.
type deadlines struct {
	net.Conn
	last time.Time
}

func (d *deadlines) SetDeadline(t time.Time) error {
	d.last = t
	return nil
}

func (d *deadlines) SetReadDeadline(t time.Time) error { return d.SetDeadline(t) }

// TestOpeningHasItsOwnTime: of several servers each has its share of the opening's
// time, also for the handshake, and the options' timeout is for what comes after.
func TestOpeningHasItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		d, o := new(dialer), nats.GetDefaultOptions()
		o.Servers = []string{"nats://a.example", "nats://b.example", "nats://c.example"}
		if err := d.within(ctx)(&o); err != nil || o.CustomDialer != nats.CustomDialer(d) {
			t.Fatalf("the dialer is ours: %v, %v", o.CustomDialer, err)
		}
		if d.first != 10*time.Second || d.Timeout != nats.DefaultTimeout {
			t.Errorf("a server has %s, later %s", d.first, d.Timeout)
		}
		if err := new(dialer).within(ctx)(&o); err != nil || o.CustomDialer != nats.CustomDialer(d) {
			t.Errorf("a caller's dialer stays: %v, %v", o.CustomDialer, err)
		}
		c, end := new(deadlines), time.Now().Add(d.first)
		first := &firstConn{Conn: c, end: end}
		for name, set := range map[string]func(time.Time) error{"": first.SetDeadline, " of reads": first.SetReadDeadline} {
			if err := set(time.Now().Add(time.Second)); err != nil || !c.last.Equal(end) {
				t.Errorf("the deadline%s is %s, want %s; %v", name, c.last, end, err)
			}
			if err := set(time.Time{}); err != nil || !c.last.IsZero() {
				t.Errorf("no deadline%s is none: %s, %v", name, c.last, err)
			}
		}
	})
}
