package natsbus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/bus/driver"
)

// watcher is a broadcast subscription that listens to subjects themselves and not
// to what JetStream has kept: to a stream of value objects, because one that
// keeps the latest of each key would drop the ones before it unseen, and to
// topics of Options.Core. So a disconnect always leaves a hole.
type watcher struct {
	conn    *conn
	sink    driver.Sink
	numbers *numbers // nil: messages have none
	in      chan *nats.Msg
	sub     *nats.Subscription
	down    chan struct{}
	up      chan struct{}

	lost    bool // used by run's goroutine alone, like dropped
	dropped int  // by the connection, because in was full

	ctx    context.Context //nolint:containedctx // ends at Stop
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// BroadcastStream implements driver.Streamer.
func (c *conn) BroadcastStream(ctx context.Context, topic string, sink driver.Sink) (driver.Subscription, error) {
	return c.listen(ctx, c.valueSubject(topic)+"*", nil, sink)
}

func (c *conn) listen(ctx context.Context, subject string, n *numbers, sink driver.Sink) (driver.Subscription, error) {
	w := &watcher{conn: c, sink: sink, numbers: n, in: make(chan *nats.Msg, c.opts.Buffer), down: make(chan struct{}, 1), up: make(chan struct{}, 1)}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	var err error
	if w.sub, err = c.nc.ChanSubscribe(subject, w.in); err == nil {
		if err = c.flush(ctx, 10*time.Second); err != nil {
			_ = w.sub.Unsubscribe()
		}
	}
	if err != nil {
		w.cancel()
		return nil, temporary(err)
	}
	c.mu.Lock()
	c.tails[w] = struct{}{}
	c.mu.Unlock()
	w.wg.Go(w.run)
	return w, nil
}

// flush returns when the server has taken everything sent before.
func (c *conn) flush(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return c.nc.FlushWithContext(ctx)
}

var errStale = errors.New("a message came too late, or its number was used by somebody else")

var errDropped = errors.New("the handler is slower than its buffer is long")

func (w *watcher) run() {
	defer func() { _ = w.sub.Unsubscribe() }()
	w.sink.State(driver.Live, nil)
	ticker := time.NewTicker(w.conn.opts.Heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case m := <-w.in:
			w.take(m)
			for range len(w.in) { // cheaper than to choose anew for each
				w.take(<-w.in)
			}
		case <-w.down:
			if !w.lost {
				w.sink.State(driver.Lost, nats.ErrDisconnected)
			}
			w.lost = true
		case <-w.up:
			w.resume()
		case <-ticker.C:
			w.look()
		}
	}
}

func (w *watcher) take(m *nats.Msg) {
	if w.lost || w.ctx.Err() != nil {
		return
	}
	if w.numbers != nil {
		switch w.numbers.next(m.Reply) {
		case late:
			return
		case stale: // the next one begins anew
			w.hole(errStale)
			return
		case gap:
			if n, err := w.sub.Dropped(); err == nil {
				w.dropped = n
			}
			w.hole(errGap)
		case following:
		}
	}
	w.sink.Message(message(m))
}

// look is done every now and then: nobody tells of what the connection dropped,
// nor whether it came up between two looks.
func (w *watcher) look() {
	if n, err := w.sub.Dropped(); err == nil && n > w.dropped {
		w.dropped = n
		if !w.lost {
			w.hole(errDropped)
		}
	}
	if w.conn.nc.IsConnected() {
		w.resume()
	}
}

func (w *watcher) hole(reason error) {
	w.sink.State(driver.Lost, reason)
	w.sink.State(driver.ResumedWithHole, reason)
}

// resume ends a loss when the server has the subscription again.
func (w *watcher) resume() {
	if !w.lost || w.conn.flush(w.ctx, 2*time.Second) != nil {
		return
	}
	w.lost = false
	if w.numbers != nil {
		w.numbers.forget()
	}
	w.sink.State(driver.ResumedWithHole, nil)
}

func (w *watcher) connection(up bool) {
	ch := w.down
	if up {
		ch = w.up
	}
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Stop implements driver.Subscription.
func (w *watcher) Stop(ctx context.Context) error {
	w.cancel()
	return wait(ctx, &w.wg)
}

// Detach implements driver.Subscription.
func (w *watcher) Detach(context.Context) error {
	w.conn.mu.Lock()
	defer w.conn.mu.Unlock()
	delete(w.conn.tails, w)
	return nil
}
