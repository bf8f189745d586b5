package natsbus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/bus/driver"
)

// watcher is a broadcast subscription to a stream of value objects. It listens to
// the subjects themselves and not to what JetStream has kept, because a stream
// that keeps the latest of each key would drop the ones before it unseen. So a
// disconnect always leaves a hole.
type watcher struct {
	conn *conn
	sink driver.Sink
	in   chan *nats.Msg
	sub  *nats.Subscription
	down chan struct{}
	up   chan struct{}

	ctx    context.Context //nolint:containedctx // ends at Stop
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// BroadcastStream implements driver.Streamer.
func (c *conn) BroadcastStream(ctx context.Context, topic string, sink driver.Sink) (driver.Subscription, error) {
	w := &watcher{conn: c, sink: sink, in: make(chan *nats.Msg, c.opts.Buffer), down: make(chan struct{}, 1), up: make(chan struct{}, 1)}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	var err error
	if w.sub, err = c.nc.ChanSubscribe(c.valueSubject(topic)+"*", w.in); err == nil {
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

var errDropped = errors.New("the handler is slower than its buffer is long")

func (w *watcher) run() {
	defer func() { _ = w.sub.Unsubscribe() }()
	w.sink.State(driver.Live, nil)
	ticker := time.NewTicker(w.conn.opts.Heartbeat)
	defer ticker.Stop()
	dropped, lost := 0, false
	for {
		select {
		case <-w.ctx.Done():
			return
		case m := <-w.in:
			if !lost {
				w.sink.Message(message(m))
			}
		case <-w.down:
			if !lost {
				w.sink.State(driver.Lost, nats.ErrDisconnected)
			}
			lost = true
		case <-w.up:
			lost = w.resume(lost)
		case <-ticker.C:
			if n, err := w.sub.Dropped(); err == nil && n > dropped {
				dropped = n
				w.sink.State(driver.Lost, errDropped)
				w.sink.State(driver.ResumedWithHole, errDropped)
			}
			if w.conn.nc.IsConnected() {
				lost = w.resume(lost)
			}
		}
	}
}

// resume ends a loss when the server has the subscription again.
func (w *watcher) resume(lost bool) bool {
	if lost && w.conn.flush(w.ctx, 2*time.Second) == nil {
		w.sink.State(driver.ResumedWithHole, nil)
		return false
	}
	return lost
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
