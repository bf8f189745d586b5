package natsbus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/goswale/swale/bus/driver"
)

// Publish implements driver.Driver.
func (c *conn) Publish(ctx context.Context, topic string, msgs []driver.Message, done func(int, error)) {
	if c.opts.Core {
		c.let(ctx, topic, msgs, done)
		return
	}
	subject := c.subject(topic)
	if c.sendBatch(ctx, subject, msgs, done) {
		return
	}
	c.send(ctx, msgs, done, func(*driver.Message) string { return subject })
}

// send publishes and leaves the confirmations to the table of acks.
func (c *conn) send(ctx context.Context, msgs []driver.Message, done func(int, error), subject func(*driver.Message) string) {
	full := c.room(ctx)
	for i := range msgs {
		err := full
		if err == nil {
			err = c.connected()
		}
		if err != nil {
			for j := i; j < len(msgs); j++ {
				done(j, err)
			}
			return
		}
		m := &msgs[i]
		c.acks.sending.RLock()
		token, reply := c.acks.add(i, done)
		if len(m.Attributes) == 0 && !c.opts.Deduplicate {
			err = c.nc.PublishRequest(subject(m), reply, m.Body)
		} else {
			out := &nats.Msg{Subject: subject(m), Reply: reply, Data: m.Body, Header: header(m)}
			if c.opts.Deduplicate {
				if out.Header == nil {
					out.Header = make(nats.Header, 1)
				}
				// JetStream compares within the whole stream, which many topics share.
				out.Header[jetstream.MsgIDHeader] = []string{escape(out.Subject + " " + m.Source + " " + m.ID)}
			}
			err = c.nc.PublishMsg(out)
		}
		c.acks.sending.RUnlock() // before anybody is told, who may publish again at once
		if err != nil {
			c.acks.drop(token, sendError(err))
		}
	}
}

// room waits while a server reads too slowly.
func (c *conn) room(ctx context.Context) error {
	if c.wires == nil {
		return nil
	}
	return c.wires.room(ctx)
}

// roomUntil is room for no longer than until the deadline.
func (c *conn) roomUntil(ctx context.Context, deadline time.Time) error {
	if c.wires == nil || c.wires.roomy() {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	return c.wires.room(ctx)
}

// connected returns why nothing can be sent now. A connection of the caller's may
// buffer while it is down; what is sent must not overtake what was lost.
func (c *conn) connected() error {
	switch {
	case c.nc.IsConnected():
		return nil
	case c.nc.IsClosed():
		return driver.Temporary(nats.ErrConnectionClosed)
	}
	return driver.Temporary(nats.ErrDisconnected)
}

func sendError(err error) error {
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: %w", driver.ErrTooLarge, err)
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrBadSubject):
		return err
	}
	return driver.Temporary(err)
}

// acks is the table of publishes that wait for JetStream's confirmation. The
// reply subject of each ends with its place and generation.
type acks struct {
	prefix string

	// sending is held for reading while a message is handed to the client, which
	// copies them. What fails many publishes at once waits for that: the caller may
	// use the memory of a message again as soon as it is told of its failure.
	sending sync.RWMutex

	mu    sync.Mutex
	slots []slot
	free  []uint32
	tick  uint32
	buf   []byte
}

type slot struct {
	done func(int, error)
	i    int
	gen  uint32
	tick uint32
}

// add takes a place and returns the token of it and the reply subject.
func (a *acks) add(i int, done func(int, error)) (token uint64, reply string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var n uint32
	if last := len(a.free) - 1; last >= 0 {
		n = a.free[last]
		a.free = a.free[:last]
	} else {
		n = uint32(len(a.slots))
		a.slots = append(a.slots, slot{})
	}
	s := &a.slots[n]
	s.done, s.i, s.tick = done, i, a.tick
	s.gen++
	token = uint64(s.gen)<<32 | uint64(n)
	a.buf = strconv.AppendUint(append(a.buf[:0], a.prefix...), token, 36)
	return token, string(a.buf)
}

// take frees the place of a token and returns what to call, unless the token is
// an old one.
func (a *acks) take(token uint64) (done func(int, error), i int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := token & 0xffffffff
	if n >= uint64(len(a.slots)) {
		return nil, 0
	}
	s := &a.slots[n]
	if s.done == nil || uint64(s.gen) != token>>32 {
		return nil, 0
	}
	done, i = s.done, s.i
	s.done = nil
	a.free = append(a.free, uint32(n))
	return done, i
}

func (a *acks) drop(token uint64, err error) {
	if done, i := a.take(token); done != nil {
		done(i, err)
	}
}

// settle takes a confirmation.
func (a *acks) settle(token string, m *nats.Msg) {
	n, err := strconv.ParseUint(token, 36, 64)
	if err != nil {
		return
	}
	if done, i := a.take(n); done != nil {
		done(i, confirmed(m))
	}
}

// confirmed judges JetStream's answer to a publish. The good one is recognized
// without decoding it.
func confirmed(m *nats.Msg) error {
	if len(m.Data) == 0 {
		if m.Header.Get("Status") == "503" {
			return driver.Temporary(jetstream.ErrNoStreamResponse)
		}
		return driver.Temporary(errors.New("empty confirmation"))
	}
	if bytes.HasPrefix(m.Data, []byte(`{"stream":`)) && !bytes.Contains(m.Data, []byte(`"error"`)) {
		return nil
	}
	var answer struct {
		Error  *jetstream.APIError `json:"error"`
		Stream string              `json:"stream"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return driver.Temporary(fmt.Errorf("confirmation: %w", err))
	}
	if answer.Error != nil {
		return temporary(answer.Error)
	}
	if answer.Stream == "" {
		return driver.Temporary(errors.New("confirmation without a stream"))
	}
	return nil
}

// expire fails what has waited for that many ticks.
func (a *acks) expire(ticks uint32) {
	a.sending.Lock()
	a.mu.Lock()
	a.tick++
	old := a.collect(func(s *slot) bool { return a.tick-s.tick >= ticks })
	a.mu.Unlock()
	a.sending.Unlock()
	for _, s := range old {
		s.done(s.i, driver.Temporary(errUnconfirmed))
	}
}

var errUnconfirmed = errors.New("no confirmation from JetStream in time")

// fail fails everything.
func (a *acks) fail(err error) {
	a.sending.Lock()
	a.mu.Lock()
	all := a.collect(func(*slot) bool { return true })
	a.mu.Unlock()
	a.sending.Unlock()
	for _, s := range all {
		s.done(s.i, err)
	}
}

// collect takes out the slots that the function names; a.mu is held.
func (a *acks) collect(which func(*slot) bool) []slot {
	var out []slot
	for n := range a.slots {
		if s := &a.slots[n]; s.done != nil && which(s) {
			out = append(out, *s)
			s.done = nil
			a.free = append(a.free, uint32(n))
		}
	}
	return out
}
