package membus

import (
	"context"
	"errors"

	"github.com/goswale/swale/bus/driver"
)

var (
	errCut       = errors.New("connection cut")
	errNoConfirm = errors.New("confirmation lost")
)

// Info describes the driver.
func (c *conn) Info() driver.Info {
	return driver.Info{
		Name: "membus", Durability: driver.Durability{Level: driver.Process},
		MaxPayload: c.opts.MaxPayload, ExclusiveGroups: true,
	}
}

// Publish implements driver.Driver.
func (c *conn) Publish(_ context.Context, name string, msgs []driver.Message, done func(int, error)) {
	c.send(msgs, done, func(m driver.Message) {
		t := c.broker.topic(name)
		t.publish(m)
	})
}

// send applies the faults of publishing around put, which runs under the
// broker's mutex.
func (c *conn) send(msgs []driver.Message, done func(int, error), put func(driver.Message)) {
	f := c.opts.Faults
	for i := range msgs {
		if limit := c.opts.MaxPayload; limit > 0 && msgs[i].Size() > limit {
			done(i, driver.ErrTooLarge)
			continue
		}
		if f.isCut() {
			done(i, driver.Temporary(errCut))
			continue
		}
		fate := f.publishFate()
		if fate.Drop {
			done(i, driver.Temporary(errNoConfirm))
			continue
		}
		c.broker.mu.Lock()
		for range 1 + fate.Repeat {
			put(msgs[i])
		}
		c.broker.mu.Unlock()
		var err error
		if fate.Unconfirmed {
			err = driver.Temporary(errNoConfirm)
		}
		done(i, err)
	}
}

// publish appends to the groups and listeners of the topic; the broker's mutex is
// held.
func (t *topic) publish(m driver.Message) {
	t.seq++
	for _, g := range t.groups {
		g.push(&queued{seq: t.seq, m: m})
	}
	for l := range t.listeners {
		l.push(m)
	}
}

// Close implements driver.Driver.
func (c *conn) Close(context.Context) error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.opts.Faults.detach(c)
	return nil
}

// Inject publishes a message as it is, as a foreign program would that the bus
// knows nothing of.
func (r *Broker) Inject(ctx context.Context, name string, m driver.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.topic(name).publish(copyOf(m))
	return nil
}
