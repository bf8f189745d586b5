package system

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/driver"
)

// broker is the bus. Each topic has one order; each subscription has a queue of
// its own, from which the world delivers when it likes, so that topics overtake
// each other. What may happen to a message is decided when it is published, by
// the seed, the topic and its place there.
type broker struct {
	w      *world
	mu     sync.Mutex
	topics map[string]*channel
	calm   bool // nothing goes wrong any more
}

// channel is a topic at the broker.
type channel struct {
	count int
	subs  []*subscription
}

// letter is a message or a state on its way.
type letter struct {
	state driver.State
	m     driver.Message
	said  said
}

// said is what a message says, for the timeline and the judge.
type said struct {
	kind   string // of a notice; "watermark"; empty for anything else
	topic  string
	change *change // of a notice
	tag    string
	epoch  string
	era    int // the epoch's place among those of the topic, for people
	seq    uint64
	at     time.Time // the owner's
	claim  string    // of a topic, for people
}

func (s *said) text() string {
	number := fmt.Sprintf(" %s/%d.%d", s.topic, s.era, s.seq)
	switch {
	case s.kind == "claim":
		return "claim of " + s.claim
	case s.kind == "watermark":
		return "watermark" + number
	case s.change != nil:
		return s.kind + " " + s.change.String() + number
	}
	return s.kind + number
}

// conn is one process's connection.
type conn struct {
	broker  *broker
	process *process
	cut     bool // with broker.mu
	unaware bool // and publishing goes on, to nobody
}

var errCut = errors.New("the connection is cut")

func (c *conn) Info() driver.Info { return driver.Info{Name: "simulated"} }

// Publish gives messages to the broker, which is where a process may be suspended,
// cut off, or not be told what became of them.
func (c *conn) Publish(_ context.Context, topic string, msgs []driver.Message, done func(int, error)) {
	for i := range msgs {
		if err := c.process.pass(turnOf(topic)); err != nil {
			done(i, err)
			continue
		}
		done(i, c.broker.take(c, topic, msgs[i]))
	}
}

// take takes one message, or doesn't, and says whether it did, or doesn't know.
func (b *broker) take(c *conn, topic string, m driver.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.cut {
		if c.unaware {
			b.w.understand(c.process, topic, &m) // numbers will tell
			return nil
		}
		return errCut
	}
	ch := b.channel(topic)
	ch.count++
	rng := rand.New(rand.NewPCG(b.w.seed, uint64(ch.count)<<8|uint64(len(topic))))
	unknown := !b.calm && rng.Float64() < b.w.plan.chaos*0.2
	if unknown && rng.IntN(2) == 0 {
		b.w.say(c.process.name, []string{topic}, "publishes in vain")
		return errCut
	}
	l := letter{m: m, said: b.w.understand(c.process, topic, &m)}
	if l.said.kind != "watermark" {
		b.w.say(c.process.name, []string{topic}, "publishes %s", l.said.text())
	}
	for _, s := range ch.subs {
		s.push(l, rng)
	}
	if unknown {
		return errCut
	}
	return nil
}

func (b *broker) channel(topic string) *channel {
	if b.topics[topic] == nil {
		b.topics[topic] = &channel{}
	}
	return b.topics[topic]
}

// understand reads a message and notes how a change was announced.
func (w *world) understand(p *process, topic string, m *driver.Message) said {
	s := said{topic: topic}
	var e bus.Event
	if err := e.UnmarshalJSON(m.Body); err != nil {
		return s
	}
	s.kind, s.tag, s.epoch, s.at = e.Type[len("resn."):], e.Extension("etag"), e.Extension("epoch"), e.Time
	if s.kind == "claim" {
		s.claim = fmt.Sprintf("%s by %s, term %s, TTL %s ms", e.Subject, e.Extension("owner"), e.Extension("term"), e.Extension("ttl"))
		return s
	}
	s.seq, _ = strconv.ParseUint(e.Extension("sequence"), 10, 64)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.epochs[topic] == nil {
		w.epochs[topic] = map[string]int{}
	}
	if _, ok := w.epochs[topic][s.epoch]; !ok {
		w.epochs[topic][s.epoch] = len(w.epochs[topic]) + 1
		w.epochsAt[topic+s.epoch] = time.Now()
	}
	s.era = w.epochs[topic][s.epoch]
	if s.kind == "watermark" || e.Subject == "" || s.kind == "noop" {
		return s
	}
	r := w.resource(e.Subject[len(origin):])
	if n, err := strconv.Atoi(e.Extension(extVersion)); err == nil {
		if n >= len(r.past) { // a mutation announces what isn't committed
			s.change = &change{res: r, n: n}
			return s
		}
		s.change = r.past[n]
	} else {
		s.change = p.made[r] // a publisher announces one change of a resource after the other
	}
	if s.change.epoch == "" {
		s.change.epoch, s.change.seq = s.epoch, s.seq
	}
	return s
}

// subscription is one process's queue of a topic.
type subscription struct {
	broker  *broker
	process *process
	topic   string
	sink    driver.Sink
	queue   []letter
	missed  []letter // while cut
	stray   []letter // lost, but may come late
	silent  bool     // the broker has forgotten it, and says nothing
	losing  bool     // the next notice
	closed  bool
}

// Broadcast subscribes.
func (c *conn) Broadcast(_ context.Context, topic string, sink driver.Sink) (driver.Subscription, error) {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	if c.cut {
		return nil, driver.Temporary(errCut)
	}
	s := &subscription{broker: c.broker, process: c.process, topic: topic, sink: sink}
	s.queue = []letter{{state: driver.Live}}
	ch := c.broker.channel(topic)
	ch.subs = append(ch.subs, s)
	c.process.subs = append(c.process.subs, s)
	slices.SortFunc(ch.subs, func(a, b *subscription) int { return a.process.id - b.process.id })
	slices.SortFunc(c.process.subs, func(a, b *subscription) int {
		return len(a.topic)*256 + int(a.topic[0]) - len(b.topic)*256 - int(b.topic[0])
	})
	return s, nil
}

// push queues a message, or not; the broker's mutex is held.
func (s *subscription) push(l letter, rng *rand.Rand) {
	plan := &s.broker.w.plan
	if s.closed {
		return
	}
	chaos := plan.chaos
	if s.broker.calm {
		chaos = 0
	}
	switch f := rng.Float64(); {
	case s.process.conn.cut:
		s.missed = append(s.missed, l)
	case s.silent || f < chaos*0.4 || s.losing && l.said.change != nil:
		found := s.losing || rng.IntN(2) == 0
		s.losing = false
		s.broker.w.tally.count(countLost)
		s.broker.w.say("bus", []string{s.topic, s.process.name}, "loses %s for %s", l.said.text(), s.process.name)
		if l.said.kind != "watermark" && found {
			s.stray = append(s.stray, l)
		}
	case f < chaos*0.7:
		s.broker.w.tally.count(countRepeated)
		s.queue = append(s.queue, l, l)
	default:
		s.queue = append(s.queue, l)
	}
}

// deliver hands over the next message. The world calls it, and nobody else.
func (s *subscription) deliver() {
	s.broker.mu.Lock()
	if len(s.queue) == 0 || s.closed {
		s.broker.mu.Unlock()
		return
	}
	l := s.queue[0]
	s.queue = s.queue[1:]
	s.broker.mu.Unlock()
	s.hand(l)
}

func (s *subscription) hand(l letter) {
	s.process.happened = s.broker.w.step
	if l.state != 0 {
		if l.state != driver.Live {
			s.broker.w.say("bus", []string{s.topic, s.process.name}, "tells %s: %s %s", s.process.name, s.topic, stateName(l.state))
		}
		s.sink.State(l.state, nil)
		return
	}
	if l.said.kind != "watermark" {
		s.broker.w.say("bus", []string{s.topic, s.process.name}, "brings %s %s", s.process.name, l.said.text())
	}
	s.sink.Message(l.m)
	if l.said.kind != "claim" {
		s.process.heard(&l.said)
	}
}

func stateName(s driver.State) string {
	return [...]string{driver.Live: "live", driver.Lost: "lost", driver.Resumed: "resumed", driver.ResumedWithHole: "resumed with a hole"}[s]
}

// Stop and Detach end the subscription.
func (s *subscription) Stop(context.Context) error {
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	s.closed = true
	return nil
}

func (s *subscription) Detach(context.Context) error { return nil }

// subscriptions returns those of a process.
func (b *broker) subscriptions(p *process) []*subscription {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(p.subs)
}

// waiting reports whether there is something to deliver.
func (s *subscription) waiting() bool {
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	return len(s.queue) > 0
}

// forget has the broker forget the subscription, or remember it and lose nothing more.
func (s *subscription) forget(on bool) {
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	s.silent = on
	s.losing = s.losing && on
}

// mislay loses the next notice, which may be found again.
func (s *subscription) mislay() {
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	s.losing = true
}

// find delivers something that was lost, and reports whether there was something.
func (s *subscription) find() bool {
	s.broker.mu.Lock()
	if len(s.stray) == 0 {
		s.broker.mu.Unlock()
		return false
	}
	i := s.broker.w.rng.IntN(len(s.stray))
	l := s.stray[i]
	s.stray = slices.Delete(s.stray, i, i+1)
	s.broker.mu.Unlock()
	s.broker.w.say("bus", []string{s.process.name, s.topic}, "finds what it had lost")
	s.hand(l)
	return true
}

// turn cuts a process off, telling its subscriptions or not, or heals it.
func (b *broker) turn(p *process, cut, tell, hole bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.conn.cut == cut {
		return
	}
	p.conn.cut = cut
	for _, s := range p.subs {
		switch {
		case cut && tell:
			s.queue = append(s.queue, letter{state: driver.Lost})
		case cut:
		case hole && tell:
			s.missed = nil
			s.queue = append(s.queue, letter{state: driver.ResumedWithHole})
		case hole:
			s.missed = nil // and nobody says so: numbers have to tell
		default:
			if tell {
				s.queue = append(s.queue, letter{state: driver.Resumed})
			}
			s.queue = append(s.queue, s.missed...)
			s.missed = nil
		}
	}
}

// deceive has a process that is cut off believe that it publishes, or not.
func (b *broker) deceive(p *process, on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.conn.unaware = on
}

func (c *conn) CreateGroup(context.Context, string, string) error { return errors.ErrUnsupported }

func (c *conn) Group(context.Context, string, string, driver.GroupOptions, func(driver.Delivery)) (driver.Subscription, error) {
	return nil, errors.ErrUnsupported
}

func (c *conn) Backlog(context.Context, string, string) (int, error) { return 0, errors.ErrUnsupported }

func (c *conn) Close(context.Context) error { return nil }

var _ driver.Driver = (*conn)(nil)
