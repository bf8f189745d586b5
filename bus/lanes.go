package bus

import (
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
	waiting  map[*lane]*time.Timer // lanes between two attempts
	held     item                  // ring of everything held, oldest first
	stopping bool
	drained  chan struct{} // closed when stopping and no worker is left
	touching chan struct{} // closed to end the toucher
	touched  sync.WaitGroup
	keeper   atomic.Bool // the dead letters' group is there
}

type lane struct {
	key   string
	items []*item
}

// item is one delivery held here.
type item struct {
	next, prev *item
	acker      driver.Acker
	d          Delivery
	more       []Event // the rest of a batch
	body       []byte  // as received, when it is no valid event
	bad        error
	since      time.Time
}

// deliver takes a delivery from the driver. It doesn't block.
func (g *member) deliver(in driver.Delivery) {
	it := &item{acker: in.Acker, since: time.Now()}
	it.d.Topic, it.d.Group, it.d.Attempt = g.topic, g.group, max(in.Attempt, 1)
	if err := g.decode(&in.Message, it); err != nil {
		g.bus.bad(g.topic, in.Body, err)
		it.bad, it.body = err, in.Body
	} else if to := it.d.Event.Extensions[redriveGroup]; to != "" {
		if to != g.group {
			g.settled(in.Acker.Ack())
			return
		}
		delete(it.d.Event.Extensions, redriveGroup)
		it.d.Redriven = true
	}
	key := it.d.Event.Key()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopping {
		g.settled(in.Acker.Nack(0))
		return
	}
	it.prev, it.next = g.held.prev, &g.held
	it.prev.next, g.held.prev = it, it
	if key != "" {
		if l := g.lanes[key]; l != nil {
			l.items = append(l.items, it)
			return
		}
	}
	l := &lane{key: key, items: []*item{it}}
	if key != "" {
		g.lanes[key] = l
	}
	g.run(l)
}

func (g *member) decode(m *driver.Message, it *item) error {
	if err := g.bus.check(m); err != nil {
		return err
	}
	err := it.d.Event.fromMessage(m)
	if !errors.Is(err, errBatch) {
		return err
	}
	events, err := UnmarshalBatch(m.Body)
	if err != nil {
		return err
	}
	if len(events) == 0 {
		return errors.New("empty batch")
	}
	it.d.Event, it.more = events[0], events[1:]
	return nil
}

// run makes a lane ready; g.mu is held.
func (g *member) run(l *lane) {
	g.ready = append(g.ready, l)
	if g.workers < g.opts.Parallel {
		g.workers++
		go g.work()
	}
}

// work handles what is ready until nothing is.
func (g *member) work() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		if g.stopping || g.head == len(g.ready) {
			g.ready, g.head = g.ready[:0], 0
			g.workers--
			if g.workers == 0 && g.drained != nil {
				close(g.drained)
				g.drained = nil
			}
			return
		}
		l := g.ready[g.head]
		g.ready[g.head] = nil
		g.head++
		if g.head > 1024 && g.head*2 > len(g.ready) {
			g.ready = append(g.ready[:0], g.ready[g.head:]...)
			g.head = 0
		}
		it := l.items[0]
		g.mu.Unlock()
		delay, again := g.handle(it)
		g.mu.Lock()
		if again {
			g.park(l, delay)
			continue
		}
		g.release(it)
		l.items[0] = nil
		l.items = l.items[1:]
		if len(l.items) > 0 {
			g.ready = append(g.ready, l)
		} else if l.key != "" {
			delete(g.lanes, l.key)
		}
	}
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
			case now := <-ticker.C:
				g.touch(now.Add(-every / 2))
			}
		}
	})
}

// touch restarts the broker's wait for each item held since before that time.
func (g *member) touch(before time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for it := g.held.next; it != &g.held && it.since.Before(before); it = it.next {
		if it.acker != nil {
			g.settled(it.acker.Touch())
		}
	}
}

// settled logs a failed ack, nack or touch: the broker will deliver again.
func (g *member) settled(err error) {
	if err != nil {
		g.bus.log.Debug("settle", "topic", g.topic, "group", g.group, "error", err)
	}
}
