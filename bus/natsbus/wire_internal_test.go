package natsbus

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// deadlines remembers the last deadline of reads.
type deadlines struct {
	net.Conn
	read time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read = t
	return nil
}

// TestConnectingAgainHasItsOwnTime: a peer that is open but dead held the client's
// lock for as long as the opening had been given.
func TestConnectingAgainHasItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := new(deadlines)
		w := &wire{Conn: c, of: &wires{first: time.Hour, again: 2 * time.Second}}
		for _, want := range []time.Duration{time.Hour, 2 * time.Second} {
			if err := w.SetDeadline(time.Now().Add(time.Minute)); err != nil || time.Until(c.read) != want {
				t.Errorf("a handshake has %s, want %s; %v", time.Until(c.read), want, err)
			}
			w.of.opened.Store(true)
		}
		if err := w.SetDeadline(time.Time{}); err != nil || !c.read.IsZero() {
			t.Errorf("none is none: %s, %v", c.read, err)
		}
	})
}
