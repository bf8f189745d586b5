package natsdiscovery

import (
	"cmp"
	"context"
	"net"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// dialer makes the connections of a nats.Conn: the first within the time that the
// opening has, others within the timeout of the connection's options. The client
// holds its lock while it connects again, so that a peer that is open but dead would
// otherwise hold up everybody for as long as the opening was allowed to take.
// natsbus has the same rule; the two drivers have no module in common.
type dialer struct {
	net.Dialer
	first  time.Duration
	opened atomic.Bool // the first one is there
}

// within is the last option of a connection that is made within ctx.
func (d *dialer) within(ctx context.Context) nats.Option {
	return func(o *nats.Options) error {
		if o.CustomDialer != nil {
			return nil // the caller's
		}
		o.CustomDialer = d
		if o.Dialer != nil {
			d.Dialer = *o.Dialer
		}
		d.Timeout = cmp.Or(o.Timeout, nats.DefaultTimeout)
		d.first = d.Timeout
		if deadline, ok := ctx.Deadline(); ok {
			// Each server has its share, so that one that is dead leaves time for others.
			d.first = max(time.Until(deadline)/time.Duration(max(1, len(o.Servers))), time.Millisecond)
		}
		return nil
	}
}

// Dial implements nats.CustomDialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	if d.opened.Load() {
		return d.Dialer.Dial(network, address)
	}
	first := d.Dialer
	first.Timeout = d.first
	c, err := first.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return &firstConn{Conn: c, end: time.Now().Add(d.first)}, nil
}

// firstConn has until end for its handshakes, for which the client sets deadlines.
type firstConn struct {
	net.Conn
	end time.Time
}

func (c *firstConn) SetDeadline(t time.Time) error     { return c.Conn.SetDeadline(c.later(t)) }
func (c *firstConn) SetReadDeadline(t time.Time) error { return c.Conn.SetReadDeadline(c.later(t)) }

func (c *firstConn) later(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return c.end
}
