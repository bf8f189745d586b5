package natsbus

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/bus/driver"
)

const (
	// writePatience is how long a write waits for the kernel.
	writePatience = 20 * time.Millisecond
	// maxQueued is from how many bytes on publishers wait for a peer that reads
	// too slowly.
	maxQueued = 1 << 20
)

// wires makes the connections of a nats.Conn. The client writes while it holds
// its lock, so that a peer that reads nothing any more would hold up everybody,
// for as long as a minute and past every context. A wire's writes don't wait;
// publishers wait instead, before they begin, and each for as long as it may.
type wires struct {
	dialer       net.Dialer
	first, again time.Duration // what a connection may take, the first one and others
	opened       atomic.Bool   // the first one is there
	current      atomic.Pointer[wire]
}

// within is the last option of a connection that is made within ctx. The timeout of
// the options is for what comes after: the client holds its lock while it connects
// again, so that to wait there for as long as for the opening would hold up everybody.
func (d *wires) within(ctx context.Context) nats.Option {
	return func(o *nats.Options) error {
		if o.CustomDialer != nil {
			return nil // the caller's, without what wires are for
		}
		o.CustomDialer = d
		if o.Dialer != nil {
			d.dialer = *o.Dialer
		}
		d.again = cmp.Or(o.Timeout, nats.DefaultTimeout)
		d.first = d.again
		if deadline, ok := ctx.Deadline(); ok {
			// Each server has its share, so that one that is dead leaves time for others.
			d.first = max(time.Until(deadline)/time.Duration(max(1, len(o.Servers))), time.Millisecond)
		}
		return nil
	}
}

// patience is what a connection may take now.
func (d *wires) patience() time.Duration {
	if d.opened.Load() {
		return d.again
	}
	return d.first
}

// Dial implements nats.CustomDialer.
func (d *wires) Dial(network, address string) (net.Conn, error) {
	dialer := d.dialer
	dialer.Timeout = d.patience()
	c, err := dialer.Dial(network, address)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: c, of: d}
	d.current.Store(w)
	return w, nil
}

// roomy reports whether the current connection takes more.
func (d *wires) roomy() bool {
	w := d.current.Load()
	return w == nil || w.queued.Load() < maxQueued
}

// room waits until the current connection takes more.
func (d *wires) room(ctx context.Context) error {
	if d.roomy() {
		return nil
	}
	select {
	case <-d.current.Load().moving():
		return nil
	case <-ctx.Done():
		return driver.Temporary(fmt.Errorf("the server reads nothing: %w", context.Cause(ctx)))
	}
}

// wire is one connection.
type wire struct {
	net.Conn
	of     *wires
	queued atomic.Int64
	plain  atomic.Bool // it carries NATS's protocol as it is, without TLS or WebSocket

	mu      sync.Mutex
	begun   bool
	limited time.Time     // the deadline of writes
	queue   []byte        // what the kernel didn't take in time
	busy    bool          // a goroutine writes the queue
	moved   chan struct{} // closed when the queue is short again, or the connection gone
	err     error
}

// Write returns as soon as the kernel has p, or else the queue.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	if !w.begun {
		// A client's first word; what wraps the protocol begins with its own.
		w.begun = true
		w.plain.Store(bytes.HasPrefix(p, []byte("CONNECT ")))
	}
	n := 0
	if !w.busy {
		err := w.limit()
		if err == nil {
			n, err = w.Conn.Write(p)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			w.err = err
			return n, err
		}
		w.limited = time.Time{}
		if w.err = w.Conn.SetWriteDeadline(time.Time{}); w.err != nil {
			return n, w.err
		}
		w.busy = true
		go w.drain()
	}
	w.queue = append(w.queue, p[n:]...)
	w.queued.Add(int64(len(p) - n))
	return len(p), nil
}

// limit has writes wait for the kernel no longer than writePatience, nor less than
// half of it. Setting a deadline costs more than looking whether one is due. w.mu is
// held.
func (w *wire) limit() error {
	now := time.Now()
	if w.limited.Sub(now) >= writePatience/2 {
		return nil
	}
	w.limited = now.Add(writePatience)
	return w.Conn.SetWriteDeadline(w.limited)
}

// drain writes the queue until it is empty or the connection ends.
func (w *wire) drain() {
	for {
		w.mu.Lock()
		p := w.queue
		w.queue = nil
		if len(p) == 0 || w.err != nil {
			w.busy = false
			w.move()
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		_, err := w.Conn.Write(p)
		w.queued.Add(-int64(len(p)))
		w.mu.Lock()
		if err != nil {
			w.err = err
		} else if w.queued.Load() < maxQueued {
			w.move()
		}
		w.mu.Unlock()
	}
}

// move wakes those who wait; w.mu is held.
func (w *wire) move() {
	if w.moved != nil {
		close(w.moved)
		w.moved = nil
	}
}

// moving returns what is closed when there is room.
func (w *wire) moving() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.moved == nil {
		w.moved = make(chan struct{})
	}
	if ch := w.moved; w.queued.Load() < maxQueued || w.err != nil || !w.busy {
		w.move()
		return ch
	}
	return w.moved
}

// Close implements net.Conn.
func (w *wire) Close() error {
	err := w.Conn.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = net.ErrClosed
	}
	w.move()
	return err
}

// SetWriteDeadline does nothing: writes don't wait.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline sets the deadline of reads. The client sets one for the handshake.
func (w *wire) SetDeadline(t time.Time) error {
	if !t.IsZero() {
		t = time.Now().Add(w.of.patience())
	}
	return w.SetReadDeadline(t)
}
