package natsbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/driver"
)

// conn is the driver.
type conn struct {
	nc    *nats.Conn
	js    jetstream.JetStream
	opts  Options
	log   *slog.Logger
	owned bool // nc is ours to close
	pins  bool // the server knows pinned clients

	acks    acks
	batches batches
	replies replies
	outlets outlets
	wires   *wires // nil on a connection of the caller's

	mu     sync.Mutex
	tails  map[follower]struct{} // all that want to know of the connection's ups and downs
	inbox  *nats.Subscription
	status chan nats.Status
	stop   chan struct{}
	wg     sync.WaitGroup
}

// follower is a subscription that is told when the connection goes up or down. It
// doesn't block.
type follower interface{ connection(up bool) }

// Open connects to a server or cluster, makes the streams where they don't exist,
// and returns a bus. url may hold several addresses, separated by commas. The
// connection is kept for good: it reconnects without end. ctx bounds only the
// opening. nil is fine for opts.
func Open(ctx context.Context, url string, opts *Options) (*bus.Bus, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if err := checkURL(url, len(o.Conn) > 0); err != nil {
		return nil, err
	}
	w := new(wires)
	list := []nats.Option{
		nats.Name("swale"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 200*time.Millisecond),
		// What was published while disconnected fails and is sent again in order,
		// instead of overtaking what was lost.
		nats.ReconnectBufSize(-1),
		nats.PingInterval(10 * time.Second),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}
	nc, err := nats.Connect(url, append(append(list, o.Conn...), w.within(ctx))...)
	w.opened.Store(true)
	if err != nil {
		return nil, fmt.Errorf("natsbus: connect to %s: %w", redacted(url), err)
	}
	b, err := open(ctx, nc, o, w)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return b, nil
}

// FromConn returns a bus on a connection of the caller's, who closes it after the
// bus's Shutdown. It should reconnect without end (nats.MaxReconnects(-1)) and
// not buffer meanwhile (nats.ReconnectBufSize(-1)). On such a connection a server
// that reads nothing any more holds publishers up past their contexts, for as long
// as the client's own patience lasts (nats.FlusherTimeout).
func FromConn(ctx context.Context, nc *nats.Conn, opts *Options) (*bus.Bus, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	return open(ctx, nc, o, nil)
}

// open makes the driver. The connection is ours to close if it has our wires.
func open(ctx context.Context, nc *nats.Conn, o Options, w *wires) (*bus.Bus, error) {
	if nc == nil {
		return nil, errors.New("natsbus: the *nats.Conn is nil")
	}
	o.fill()
	if err := bus.CheckName(o.Prefix); err != nil {
		return nil, fmt.Errorf("natsbus: prefix: %w", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("natsbus: %w", err)
	}
	c := &conn{
		nc: nc, js: js, opts: o, owned: w != nil, wires: w, log: o.Bus.Logger,
		tails: make(map[follower]struct{}), stop: make(chan struct{}),
	}
	c.pins = atLeast(nc.ConnectedServerVersion(), 2, 11)
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if err := c.makeStreams(ctx); err != nil {
		return nil, fmt.Errorf("natsbus: %w", err)
	}
	c.outlets.init()
	c.acks.prefix = nats.NewInbox() + "."
	if c.inbox, err = nc.Subscribe(c.acks.prefix+"*", c.answered); err != nil {
		return nil, fmt.Errorf("natsbus: %w", err)
	}
	_ = c.inbox.SetPendingLimits(-1, -1)
	if err = c.replies.open(ctx, nc); err != nil {
		return nil, fmt.Errorf("natsbus: %w", err)
	}
	if err = c.batches.init(c); err != nil {
		return nil, fmt.Errorf("natsbus: %w", err)
	}
	c.status = nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	c.wg.Go(c.watch)
	if !o.Core {
		c.wg.Go(c.leaders)
	}
	return bus.New(c, &o.Bus), nil
}

// atLeast compares a server's version.
func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	a, err := strconv.Atoi(parts[0])
	if err != nil {
		return false
	}
	b, err := strconv.Atoi(parts[1])
	return err == nil && (a > major || a == major && b >= minor)
}

// flush returns when the server has read what was sent so far.
func flush(ctx context.Context, nc *nats.Conn) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
	}
	return nc.FlushWithContext(ctx)
}

// answered takes the confirmations of publishes.
func (c *conn) answered(m *nats.Msg) { c.acks.settle(m.Subject[len(c.acks.prefix):], m) }

// Info implements driver.Driver.
func (c *conn) Info() driver.Info {
	d := driver.Durability{Level: driver.Disk, Replicas: c.opts.Replicas}
	switch {
	case c.opts.Core:
		d = driver.Durability{Level: driver.Fleeting}
	case c.opts.InMemory:
		d.Level = driver.Memory
	case c.opts.Synced:
		d.Level = driver.Synced
	}
	return driver.Info{Name: "nats", Durability: d, MaxPayload: int(c.nc.MaxPayload()), Copies: true, ExclusiveGroups: c.pins && !c.opts.Core}
}

// watch passes on the connection's ups and downs, and times out publishes.
func (c *conn) watch() {
	ticker := time.NewTicker(c.opts.AckTimeout / 4)
	defer ticker.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-ticker.C:
			c.acks.expire(5)
			c.replies.sweep()
			c.batches.expire(5)
		case s := <-c.status:
			if s != nats.CONNECTED {
				c.acks.fail(driver.Temporary(nats.ErrDisconnected))
				c.batches.fail(driver.Temporary(nats.ErrDisconnected))
			}
			c.mu.Lock()
			for t := range c.tails {
				t.connection(s == nats.CONNECTED)
			}
			c.mu.Unlock()
			if s == nats.CONNECTED {
				c.restore()
			}
		}
	}
}

// restore makes the streams again if the server came back without them.
func (c *conn) restore() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := c.makeStreams(ctx); err != nil {
		c.log.Warn("streams after reconnecting", "error", err)
	}
}

// drain ends a subscription after what is under way has been handled; closed is
// closed then. Without a connection nothing is under way.
func (c *conn) drain(ctx context.Context, sub *nats.Subscription, closed <-chan struct{}) error {
	if !c.nc.IsConnected() || sub.Drain() != nil {
		_ = sub.Unsubscribe()
	}
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-closed:
			return nil
		case <-ctx.Done():
			_ = sub.Unsubscribe()
			return ctx.Err()
		case <-ticker.C:
			if !c.nc.IsConnected() {
				_ = sub.Unsubscribe()
			}
		}
	}
}

// Close implements driver.Driver.
func (c *conn) Close(ctx context.Context) error {
	var err error
	if c.nc.IsConnected() {
		if _, ok := ctx.Deadline(); !ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
		}
		if err = c.nc.FlushWithContext(ctx); errors.Is(err, nats.ErrConnectionClosed) {
			err = nil
		}
	}
	close(c.stop)
	c.wg.Wait()
	c.nc.RemoveStatusListener(c.status)
	_ = c.inbox.Unsubscribe()
	_ = c.replies.sub.Unsubscribe()
	_ = c.batches.sub.Unsubscribe()
	c.acks.fail(bus.ErrClosed)
	c.batches.fail(bus.ErrClosed)
	if c.owned {
		closed := make(chan struct{})
		c.nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
		if !c.nc.IsClosed() {
			c.nc.Close()
			select {
			case <-closed:
			case <-ctx.Done():
			}
		}
	}
	return err
}
