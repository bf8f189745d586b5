package natsbus

import (
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/bus/driver"
)

// maxLone is how many requests may be under way for their messages to be written
// one by one. From there on several share a write, which costs each less and
// takes longer.
const maxLone = 1000

// write sends a message of request and reply. A lone one is written to the
// connection here and now: nats.go would leave that to its flusher, which has to
// wake up first, on both ways of each request.
func (c *conn) write(subject, reply string, m *driver.Message, lone bool) error {
	if len(m.Attributes) > 0 {
		return sent(c.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Data: m.Body, Header: header(m)}))
	}
	if lone && c.wires != nil {
		// Taken before the question whether the connection is up: if it breaks
		// after that, this wire is no longer the one that the client uses.
		w := c.wires.current.Load()
		if w != nil && w.plain.Load() && c.nc.IsConnected() && int64(len(m.Body)) <= c.nc.MaxPayload() {
			return sent(w.publish(subject, reply, m.Body))
		}
	}
	if reply == "" {
		return sent(c.nc.Publish(subject, m.Body))
	}
	return sent(c.nc.PublishRequest(subject, reply, m.Body))
}

// sent is sendError, or nil.
func sent(err error) error {
	if err == nil {
		return nil
	}
	return sendError(err)
}

// protocol is the room for messages as they stand on the wire.
var protocol = sync.Pool{New: func() any { return new([]byte) }}

// maxProtocol is how much memory a room may keep.
const maxProtocol = 64 << 10

// publish writes a PUB of NATS's client protocol.
func (w *wire) publish(subject, reply string, body []byte) error {
	room := protocol.Get().(*[]byte) //nolint:forcetypeassert // the pool's own
	b := append((*room)[:0], "PUB "...)
	b = append(b, subject...)
	b = append(b, ' ')
	if reply != "" {
		b = append(b, reply...)
		b = append(b, ' ')
	}
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n"...)
	b = append(b, body...)
	b = append(b, "\r\n"...)
	_, err := w.Write(b)
	if cap(b) <= maxProtocol {
		*room = b
		protocol.Put(room)
	}
	return err
}
