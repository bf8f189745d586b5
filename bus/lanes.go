package bus

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goswale/swale/bus/driver"
)

// member is one process's part of a group. Each key that has events here has a
// lane; a lane's events are handled one after the other, and the lane keeps its
// place while its first event waits for another attempt.
type member struct {
	bus   *Bus
	topic string
	group string
	opts  GroupOptions
	h     Handler
	ctx   context.Context //nolint:containedctx // the handlers' lifetime, not a call's

	mu       sync.Mutex
	lanes    map[string]*lane // those with a key
	ready    []*lane          // lanes whose first event may be handled now
	head     int              // first of ready
	workers  int
	idle     int // workers that wait on wake and weren't signalled
	wake     sync.Cond
	waiting  map[*lane]*time.Timer // lanes between two attempts
	held     item                  // ring of everything held, oldest first
	stopping bool
	drained  chan struct{} // closed when stopping and no worker is left
	rousing  bool          // a worker was roused and hasn't looked yet
	spare    *lane         // unused lanes
	tick     uint64        // counts the toucher's rounds
	touching chan struct{} // closed to end the toucher
	touched  sync.WaitGroup
	keeper   atomic.Bool // the dead letters' group is there
}

// lane is a queue of items with one key.
type lane struct {
	key         string
	first, last *item
	spare       *lane // next unused lane
}

// item is one delivery held here.
type item struct {
	next, prev *item // in the ring of everything held
	behind     *item // in its lane
	acker      driver.Acker
	m          driver.Message // as received
	d          Delivery
	attempt    int
	batch      bool // m holds several events
	index      int  // of d.Event in a batch
	bad        error
	tick       uint64
}

// deliver takes a delivery from the driver. It doesn't block.
func (g *member) deliver(in driver.Delivery) {
	it := &item{acker: in.Acker, m: in.Message, attempt: max(in.Attempt, 1)}
	err := g.decode(it)
	if err != nil {
		g.bus.bad(g.topic, in.Body, err)
		it.bad = err
	} else if to := it.d.Event.Extensions[redriveGroup]; to != "" {
		if to != g.group {
			g.settled(in.Acker.Ack())
			return
		}
		g.redriven(&it.d)
	}
	key := it.d.Event.Key()
	if it.bad == nil && g.opts.Observe != nil {
		g.observe(it)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopping {
		g.settled(in.Acker.Nack(0))
		return
	}
	it.tick = g.tick
	it.prev, it.next = g.held.prev, &g.held
	it.prev.next, g.held.prev = it, it
	if key != "" {
		if l := g.lanes[key]; l != nil {
			l.last.behind = it
			l.last = it
			return
		}
	}
	l := g.spare
	if l != nil {
		g.spare = l.spare
	} else {
		l = new(lane)
	}
	l.key, l.first, l.last = key, it, it
	if key != "" {
		g.lanes[key] = l
	}
	g.run(l)
}

// observe tells of the item's event, or of each in a batch.
func (g *member) observe(it *item) {
	defer func() {
		if v := recover(); v != nil {
			g.bus.log.Error("observer panicked", "topic", g.topic, "group", g.group, "panic", v)
		}
	}()
	if !it.batch {
		e := it.d.Event.Clone()
		g.opts.Observe(&e)
		return
	}
	events, err := UnmarshalBatch(it.m.Body)
	for i := range events {
		if err == nil {
			g.opts.Observe(&events[i])
		}
	}
}

// decode reads the item's event again from what was received, so that what a
// handler did to its copy is forgotten.
func (g *member) decode(it *item) error {
	if err := g.bus.check(&it.m); err != nil {
		return err
	}
	err := it.d.Event.fromMessage(&it.m)
	if errors.Is(err, errBatch) {
		err = g.decodeBatch(it)
	}
	if err != nil && g.opts.Foreign != nil {
		it.d.Event, err = g.opts.Foreign(it.m.Body)
	}
	return err
}

func (g *member) decodeBatch(it *item) error {
	events, err := decodeBatch(bytes.Clone(it.m.Body), g.bus.opts.MaxEventBytes, nil)
	if err != nil {
		return err
	}
	it.d.Event, it.batch = events[it.index], true
	return nil
}

// redriven takes off the mark of an event that was a dead letter.
func (*member) redriven(d *Delivery) {
	delete(d.Event.Extensions, redriveGroup)
	if len(d.Event.Extensions) == 0 {
		d.Event.Extensions = nil
	}
	d.Redriven = true
}

// run makes a lane ready; g.mu is held.
func (g *member) run(l *lane) {
	g.ready = append(g.ready, l)
	g.rouse()
}

// rouse has a further worker look for work, unless one is on its way; that one
// rouses the next. So a burst of quick events doesn't wake everybody. g.mu is held.
func (g *member) rouse() {
	switch {
	case g.rousing:
	case g.idle > 0:
		g.rousing = true
		g.idle--
		g.wake.Signal()
	case g.workers < g.opts.Parallel:
		g.rousing = true
		g.workers++
		go g.work()
	}
}

// work handles what is ready until the member stops.
func (g *member) work() {
	g.mu.Lock()
	defer g.mu.Unlock()
	fresh := true
	for {
		// A worker that has nothing to do waits instead of ending: a new goroutine
		// would have to grow its stack again for every event.
		for !g.stopping && g.head == len(g.ready) {
			g.ready, g.head = g.ready[:0], 0
			if fresh {
				g.rousing = false
			}
			g.idle++
			g.wake.Wait()
			fresh = true
		}
		if g.stopping {
			g.workers--
			if g.workers == 0 && g.drained != nil {
				close(g.drained)
				g.drained = nil
			}
			return
		}
		if fresh {
			fresh, g.rousing = false, false
		}
		l := g.ready[g.head]
		g.ready[g.head] = nil
		g.head++
		if g.head < len(g.ready) {
			g.rouse()
		}
		if g.head > 1024 && g.head*2 > len(g.ready) {
			g.ready = append(g.ready[:0], g.ready[g.head:]...)
			g.head = 0
		}
		it := l.first
		g.mu.Unlock()
		delay, again := g.handle(it)
		g.mu.Lock()
		if again {
			g.park(l, delay)
			continue
		}
		g.release(it)
		g.advance(l)
	}
}

// advance takes the first item out of its lane; g.mu is held.
func (g *member) advance(l *lane) {
	l.first = l.first.behind
	if l.first != nil {
		g.ready = append(g.ready, l)
		return
	}
	if l.key != "" {
		delete(g.lanes, l.key)
	}
	*l = lane{spare: g.spare}
	g.spare = l
}

// park has the lane wait before its first event is tried again; g.mu is held.
func (g *member) park(l *lane, delay time.Duration) {
	if g.stopping {
		return // finish gives it back
	}
	if g.waiting == nil {
		g.waiting = make(map[*lane]*time.Timer)
	}
	g.waiting[l] = time.AfterFunc(delay, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if _, ok := g.waiting[l]; ok {
			delete(g.waiting, l)
			g.run(l)
		}
	})
}

// release takes an item out of the ring; g.mu is held.
func (g *member) release(it *item) {
	if it.next != nil {
		it.prev.next, it.next.prev = it.next, it.prev
		it.next, it.prev = nil, nil
	}
}

// finish waits for the handlers that run, and gives back the rest in order.
func (g *member) finish(ctx context.Context) error {
	g.mu.Lock()
	g.stopping = true
	g.wake.Broadcast()
	for l, t := range g.waiting {
		t.Stop()
		delete(g.waiting, l)
	}
	var drained chan struct{}
	if g.workers > 0 {
		drained = make(chan struct{})
		g.drained = drained
	}
	g.mu.Unlock()
	var err error
	if drained != nil {
		select {
		case <-drained:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if g.touching != nil {
		close(g.touching)
		g.touched.Wait()
	}
	if err != nil {
		return err // the broker delivers what is held after AckWait
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for it := g.held.next; it != &g.held; it = g.held.next {
		g.release(it)
		g.settled(it.acker.Nack(0))
	}
	clear(g.lanes)
	return nil
}

// startTouching gives the broker a sign of life for everything held.
func (g *member) startTouching() {
	every := g.opts.AckWait / 3
	g.touching = make(chan struct{})
	g.touched.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-g.touching:
				return
			case <-ticker.C:
				g.touch()
			}
		}
	})
}

// touch restarts the broker's wait for each item that was held at the last round
// already.
func (g *member) touch() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for it := g.held.next; it != &g.held && it.tick < g.tick; it = it.next {
		g.settled(it.acker.Touch())
	}
	g.tick++
}

// settled logs a failed ack, nack or touch: the broker will deliver again.
func (g *member) settled(err error) {
	if err != nil {
		g.bus.log.Debug("settle", "topic", g.topic, "group", g.group, "error", err)
	}
}
