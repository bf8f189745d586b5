package membus

import (
	"context"
	"sync"
	"time"

	"github.com/goswale/swale/bus/driver"
)

// group is a durable group of a topic. The broker's mutex guards it.
type group struct {
	broker  *Broker
	ready   []*queued // by seq
	held    map[*queued]*member
	delayed map[*queued]*time.Timer
	members []*member // in the order of joining; the first is the active one
}

// queued is one message in a group.
type queued struct {
	seq     uint64
	m       driver.Message
	attempt int
}

func (r *Broker) group(name, groupName string) *group {
	t := r.topic(name)
	g := t.groups[groupName]
	if g == nil {
		g = &group{broker: r, held: make(map[*queued]*member), delayed: make(map[*queued]*time.Timer)}
		t.groups[groupName] = g
	}
	return g
}

// push adds a message at its place; the broker's mutex is held.
func (g *group) push(q *queued) {
	i := len(g.ready)
	for i > 0 && g.ready[i-1].seq > q.seq {
		// Redelivered messages are older than almost all; search from the front then.
		if g.ready[0].seq > q.seq {
			i = 0
			break
		}
		i--
	}
	g.ready = append(g.ready, nil)
	copy(g.ready[i+1:], g.ready[i:])
	g.ready[i] = q
	g.wake()
}

// wake tells members that something may be ready; the broker's mutex is held.
func (g *group) wake() {
	for _, m := range g.members {
		select {
		case m.notify <- struct{}{}:
		default:
		}
	}
}

// take returns the next message for the member; the broker's mutex is held.
func (g *group) take(m *member) *queued {
	if m.stopped || m.inflight >= m.opts.MaxInFlight || len(g.ready) == 0 || len(g.members) == 0 {
		return nil
	}
	if !m.opts.Shared && g.members[0] != m {
		return nil
	}
	q := g.ready[0]
	g.ready[0] = nil
	g.ready = g.ready[1:]
	q.attempt++
	g.held[q] = m
	m.inflight++
	return q
}

// leave takes a member out and its messages back; the broker's mutex is held.
func (g *group) leave(m *member) {
	for i, other := range g.members {
		if other == m {
			g.members = append(g.members[:i], g.members[i+1:]...)
			break
		}
	}
	for q, holder := range g.held {
		if holder == m {
			delete(g.held, q)
			g.push(q)
		}
	}
	m.inflight = 0
	g.wake()
}

// join adds a member; the broker's mutex is held.
func (g *group) join(m *member) {
	g.members = append(g.members, m)
	g.wake()
}

// member is one subscription in a group.
type member struct {
	conn     *conn
	group    *group
	opts     driver.GroupOptions
	deliver  func(driver.Delivery)
	notify   chan struct{}
	inflight int  // guarded by the broker's mutex
	stopped  bool // guarded by the broker's mutex
	stop     chan struct{}
	once     sync.Once
	wg       sync.WaitGroup
}

// CreateGroup implements driver.Driver.
func (c *conn) CreateGroup(_ context.Context, name, groupName string) error {
	if c.opts.Faults.isCut() {
		return driver.Temporary(errCut)
	}
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	c.broker.group(name, groupName)
	return nil
}

// Backlog implements driver.Driver.
func (c *conn) Backlog(_ context.Context, name, groupName string) (int, error) {
	if c.opts.Faults.isCut() {
		return 0, driver.Temporary(errCut)
	}
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	g := c.broker.group(name, groupName)
	return len(g.ready) + len(g.held) + len(g.delayed), nil
}

// Group implements driver.Driver.
func (c *conn) Group(_ context.Context, name, groupName string, opts driver.GroupOptions, deliver func(driver.Delivery)) (driver.Subscription, error) {
	if c.opts.Faults.isCut() {
		return nil, driver.Temporary(errCut)
	}
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	m := &member{
		conn: c, group: c.broker.group(name, groupName), opts: opts, deliver: deliver,
		notify: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	c.mu.Lock()
	if c.members == nil {
		c.members = make(map[*member]struct{})
	}
	c.members[m] = struct{}{}
	c.mu.Unlock()
	m.group.join(m)
	m.wg.Go(m.run)
	return m, nil
}

func (m *member) run() {
	for {
		select {
		case <-m.stop:
			return
		case <-m.notify:
		}
		for {
			m.conn.broker.mu.Lock()
			q := m.group.take(m)
			m.conn.broker.mu.Unlock()
			if q == nil {
				break
			}
			m.deliver(driver.Delivery{Message: copyOf(q.m), Attempt: q.attempt, Acker: &acker{member: m, q: q, attempt: q.attempt}})
		}
	}
}

// Stop implements driver.Subscription.
func (m *member) Stop(ctx context.Context) error {
	m.once.Do(func() {
		m.conn.broker.mu.Lock()
		m.stopped = true
		m.conn.broker.mu.Unlock()
		close(m.stop)
	})
	return wait(ctx, &m.wg)
}

// Detach implements driver.Subscription.
func (m *member) Detach(context.Context) error {
	m.conn.broker.mu.Lock()
	defer m.conn.broker.mu.Unlock()
	m.conn.mu.Lock()
	delete(m.conn.members, m)
	m.conn.mu.Unlock()
	m.group.leave(m)
	return nil
}

// acker settles one delivery, unless the message has been taken away meanwhile.
type acker struct {
	member  *member
	q       *queued
	attempt int
}

// settle ends the delivery and reports whether it was still held.
func (a *acker) settle() bool {
	g := a.member.group
	if g.held[a.q] != a.member || a.q.attempt != a.attempt {
		return false
	}
	delete(g.held, a.q)
	a.member.inflight--
	g.wake()
	return true
}

// Ack implements driver.Acker.
func (a *acker) Ack() error {
	a.member.conn.broker.mu.Lock()
	defer a.member.conn.broker.mu.Unlock()
	a.settle()
	return nil
}

// Nack implements driver.Acker.
func (a *acker) Nack(delay time.Duration) error {
	b := a.member.conn.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	if !a.settle() {
		return nil
	}
	g, q := a.member.group, a.q
	if delay <= 0 {
		g.push(q)
		return nil
	}
	g.delayed[q] = time.AfterFunc(delay, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(g.delayed, q)
		g.push(q)
	})
	return nil
}

// Touch implements driver.Acker. A connection inside the process can't die
// unseen, so that nothing is taken back for lack of it.
func (*acker) Touch() error { return nil }
