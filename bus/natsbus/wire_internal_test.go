package natsbus

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
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

// TestEachServerHasItsShare: the first of several servers, being open but dead, took
// all the time that the opening had.
func TestEachServerHasItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		w, o := new(wires), nats.GetDefaultOptions()
		o.Servers = []string{"nats://a.example", "nats://b.example", "nats://c.example"}
		if err := w.within(ctx)(&o); err != nil || o.CustomDialer != nats.CustomDialer(w) {
			t.Fatalf("the dialer is ours: %v, %v", o.CustomDialer, err)
		}
		if w.first != 10*time.Second || w.again != nats.DefaultTimeout {
			t.Errorf("a server has %s, later %s", w.first, w.again)
		}
		theirs := new(wires)
		if err := theirs.within(ctx)(&o); err != nil || o.CustomDialer != nats.CustomDialer(w) {
			t.Errorf("a caller's dialer stays: %v, %v", o.CustomDialer, err)
		}
	})
}

// A request waits for room no longer than until its deadline.
func TestRoomUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{busy: true}
		w.queued.Store(maxQueued)
		c := &conn{wires: new(wires)}
		c.wires.current.Store(w)
		if err := c.roomUntil(t.Context(), time.Now().Add(time.Second)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without room it fails with DeadlineExceeded, got %v", err)
		}
		w.queued.Store(0)
		if err := c.roomUntil(t.Context(), time.Now().Add(-time.Second)); err != nil {
			t.Errorf("with room nothing waits, got %v", err)
		}
	})
}
