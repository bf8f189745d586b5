package membus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/goswale/swale/bus/driver"
)

// errOverrun is the reason of a hole that a slow handler made.
var errOverrun = errors.New("the handler is slower than its buffer is long")

// listener is one broadcast subscription. The broker's mutex guards its queue.
type listener struct {
	conn   *conn
	name   string
	sink   driver.Sink
	remove func()

	queue  []letter
	notify chan struct{} // holds one token when there is something to do
	cut    bool
	missed []driver.Message // while cut
	full   bool             // overrun since the last token of state

	stop chan struct{}
	once sync.Once
	wg   sync.WaitGroup
}

// letter is a message or a state on its way to a sink.
type letter struct {
	m      driver.Message
	state  driver.State
	reason error
	due    time.Time
}

// Broadcast implements driver.Driver.
func (c *conn) Broadcast(_ context.Context, name string, sink driver.Sink) (driver.Subscription, error) {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	t := c.broker.topic(name)
	l, err := c.listen(name, sink, func(l *listener) { delete(t.listeners, l) })
	if err != nil {
		return nil, err
	}
	t.listeners[l] = struct{}{}
	return l, nil
}

// listen starts a listener; the broker's mutex is held.
func (c *conn) listen(name string, sink driver.Sink, remove func(*listener)) (*listener, error) {
	if c.opts.Faults.isCut() {
		return nil, driver.Temporary(errCut)
	}
	l := &listener{conn: c, name: name, sink: sink, notify: make(chan struct{}, 1), stop: make(chan struct{})}
	l.remove = func() { remove(l) }
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sinks == nil {
		c.sinks = make(map[*listener]struct{})
	}
	c.sinks[l] = struct{}{}
	l.append(letter{state: driver.Live})
	l.wg.Go(l.run)
	return l, nil
}

// push hands a message to the listener; the broker's mutex is held.
func (l *listener) push(m driver.Message) {
	if l.cut {
		if len(l.missed) <= l.conn.opts.Buffer {
			l.missed = append(l.missed, m)
		}
		return
	}
	fate := l.conn.opts.Faults.broadcastFate(l.name)
	if fate.Drop || l.full {
		return
	}
	var due time.Time
	if fate.Delay > 0 {
		due = time.Now().Add(fate.Delay)
	}
	for range 1 + fate.Repeat {
		if len(l.queue) >= l.conn.opts.Buffer {
			l.full = true
			return
		}
		l.append(letter{m: copyOf(m), due: due})
	}
}

func (l *listener) append(t letter) {
	l.queue = append(l.queue, t)
	select {
	case l.notify <- struct{}{}:
	default:
	}
}

// cutOff and heal are told when the connection is cut and healed; the broker's
// mutex is held.
func (l *listener) cutOff() {
	l.cut = true
	l.append(letter{state: driver.Lost, reason: errCut})
}

func (l *listener) heal(missed bool) {
	if !l.cut {
		return
	}
	l.cut = false
	state := driver.Resumed
	if missed || len(l.missed) > l.conn.opts.Buffer {
		state = driver.ResumedWithHole
		l.missed = nil
	}
	l.append(letter{state: state})
	for _, m := range l.missed {
		l.push(m)
	}
	l.missed = nil
}

// run calls the sink.
func (l *listener) run() {
	var batch []letter
	for {
		select {
		case <-l.stop:
			return
		case <-l.notify:
		}
		for {
			l.conn.broker.mu.Lock()
			batch, l.queue = l.queue, batch[:0]
			full := l.full && len(batch) == 0
			if full {
				l.full = false // what comes from here on is queued again
			}
			l.conn.broker.mu.Unlock()
			if full {
				l.sink.State(driver.Lost, errOverrun)
				l.sink.State(driver.ResumedWithHole, errOverrun)
			}
			if len(batch) == 0 {
				break
			}
			if !l.give(batch) {
				return
			}
			clear(batch)
		}
	}
}

func (l *listener) give(batch []letter) bool {
	for i := range batch {
		t := &batch[i]
		if wait := time.Until(t.due); !t.due.IsZero() && wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-l.stop:
				timer.Stop()
				return false
			case <-timer.C:
			}
		}
		select {
		case <-l.stop:
			return false
		default:
		}
		if t.state != 0 {
			l.sink.State(t.state, t.reason)
		} else {
			l.sink.Message(t.m)
		}
	}
	return true
}

// Stop implements driver.Subscription.
func (l *listener) Stop(ctx context.Context) error {
	l.once.Do(func() {
		l.conn.broker.mu.Lock()
		l.remove()
		l.conn.mu.Lock()
		delete(l.conn.sinks, l)
		l.conn.mu.Unlock()
		l.conn.broker.mu.Unlock()
		close(l.stop)
	})
	return wait(ctx, &l.wg)
}

// Detach implements driver.Subscription.
func (l *listener) Detach(context.Context) error { return nil }

// wait waits for the group or ctx.
func wait(ctx context.Context, wg *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
