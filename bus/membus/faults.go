package membus

import (
	"sync"
	"time"
)

// Faults make bad days for the connections that were given it as Options.Faults.
// The zero Faults make none. Its methods may be called at any time from any
// goroutine.
type Faults struct {
	mu        sync.Mutex
	conns     map[*conn]struct{}
	cut       bool
	silent    bool
	broadcast func(topic string) Fate
	publish   func() PublishFate
}

// Fate is what happens to one message on its way to one broadcast subscription.
type Fate struct {
	// Drop loses the message without anybody noticing.
	Drop bool
	// Repeat gives it that many times more.
	Repeat int
	// Delay holds it, and everything behind it, for that long.
	Delay time.Duration
}

// PublishFate is what happens to one message on its way to the broker.
type PublishFate struct {
	// Drop loses the message; the publisher sees a temporary failure.
	Drop bool
	// Repeat has the broker receive it that many times more.
	Repeat int
	// Unconfirmed loses the confirmation: the broker has the message, the publisher
	// sees a temporary failure.
	Unconfirmed bool
}

// Broadcast sets a function that is asked for each message for each broadcast
// subscription of the connections; nil ends it. It must not use the bus.
func (f *Faults) Broadcast(fate func(topic string) Fate) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broadcast = fate
}

// Publish sets a function that is asked for each message that the connections
// publish; nil ends it. It must not use the bus.
func (f *Faults) Publish(fate func() PublishFate) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.publish = fate
}

// Silence has the connections' broadcast subscriptions receive nothing, lost for
// good and without a state, as if the consumer had died at the broker. Silence(false)
// ends it, without a state either.
func (f *Faults) Silence(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.silent = on
}

// Cut cuts the connections: publishes and requests fail, groups give way to
// others, broadcast subscriptions are Lost, until Heal.
func (f *Faults) Cut() { f.turn(true, false) }

// Heal ends Cut. Broadcast subscriptions then receive what they missed and are
// Resumed, or, when missed is true, are Resumed with a hole.
func (f *Faults) Heal(missed bool) { f.turn(false, missed) }

func (f *Faults) turn(cut, missed bool) {
	f.mu.Lock()
	if f.cut == cut {
		f.mu.Unlock()
		return
	}
	f.cut = cut
	conns := make([]*conn, 0, len(f.conns))
	for c := range f.conns {
		conns = append(conns, c)
	}
	f.mu.Unlock()
	for _, c := range conns {
		c.turn(cut, missed)
	}
}

func (f *Faults) attach(c *conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conns == nil {
		f.conns = make(map[*conn]struct{})
	}
	f.conns[c] = struct{}{}
}

func (f *Faults) detach(c *conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
}

func (f *Faults) isCut() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cut
}

func (f *Faults) publishFate() PublishFate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.publish == nil {
		return PublishFate{}
	}
	return f.publish()
}

func (f *Faults) broadcastFate(topic string) Fate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.silent {
		return Fate{Drop: true}
	}
	if f.broadcast == nil {
		return Fate{}
	}
	return f.broadcast(topic)
}

// turn tells a connection's subscriptions that it was cut or healed.
func (c *conn) turn(cut, missed bool) {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for l := range c.sinks {
		if cut {
			l.cutOff()
		} else {
			l.heal(missed)
		}
	}
	for m := range c.members {
		if cut {
			m.group.leave(m)
		} else {
			m.group.join(m)
		}
	}
}
