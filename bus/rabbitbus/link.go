package rabbitbus

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/goswale/swale/bus/driver"
)

// link is one connection to the broker that comes back by itself.
type link struct {
	dial func(ctx context.Context) (connection, error)
	log  *slog.Logger

	ctx    context.Context //nolint:containedctx // the link's life
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	conn    connection // nil while there is none
	changed chan struct{}
}

// newLink connects and keeps the link connected.
func newLink(ctx context.Context, log *slog.Logger, dial func(context.Context) (connection, error)) (*link, error) {
	conn, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	l := &link{dial: dial, log: log, changed: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.conn = conn
	l.wg.Go(func() { l.keep(conn) })
	return l, nil
}

// keep reconnects whenever the connection is gone.
func (l *link) keep(conn connection) {
	for {
		closed := conn.NotifyClose(make(chan *amqp.Error, 1))
		select {
		case err := <-closed:
			l.log.Warn("rabbitbus: connection lost", "error", reason(err))
		case <-l.ctx.Done():
			return
		}
		conn.Abort()
		l.set(nil)
		for attempt := 0; ; attempt++ {
			var err error
			if conn, err = l.dial(l.ctx); err == nil {
				break
			}
			l.log.Debug("rabbitbus: reconnect", "attempt", attempt, "error", err)
			if !pause(l.ctx, attempt) {
				return
			}
		}
		l.set(conn)
		if l.ctx.Err() != nil {
			return // close ends this one
		}
		l.log.Info("rabbitbus: connected again")
	}
}

// pause waits before another attempt: 50 ms, twice as long each time up to 3 s,
// less a random part. It reports whether ctx is still there.
func pause(ctx context.Context, attempt int) bool {
	d := min(50*time.Millisecond<<min(attempt, 10), 3*time.Second)
	timer := time.NewTimer(d/2 + rand.N(d/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// await returns when wait does, or with an error when ctx ends before.
func await(ctx context.Context, wait func()) error {
	done := make(chan struct{})
	go func() {
		wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *link) set(conn connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = conn
	close(l.changed)
	l.changed = make(chan struct{})
}

// get returns the connection, waiting for one if need be.
func (l *link) get(ctx context.Context) (connection, error) {
	for {
		l.mu.Lock()
		conn, changed := l.conn, l.changed
		l.mu.Unlock()
		if conn != nil {
			return conn, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-l.ctx.Done():
			return nil, net.ErrClosed
		}
	}
}

// channel opens a channel, waiting for a connection if need be.
func (l *link) channel(ctx context.Context) (channel, connection, error) {
	for attempt := 0; ; attempt++ {
		conn, err := l.get(ctx)
		if err != nil {
			return nil, nil, err
		}
		ch, err := conn.Channel()
		if err == nil {
			return ch, conn, nil
		}
		if !errors.Is(err, amqp.ErrClosed) && !socket(err) {
			return nil, nil, err
		}
		if !pause(ctx, attempt) { // the link hasn't noticed yet
			return nil, nil, context.Cause(ctx)
		}
	}
}

// close ends the link, without a word to the broker when ctx ends first.
func (l *link) close(ctx context.Context) error {
	l.cancel()
	l.mu.Lock()
	conn := l.conn
	l.mu.Unlock()
	err := hangUp(ctx, conn)
	l.wg.Wait()
	l.mu.Lock()
	late := l.conn
	l.mu.Unlock()
	if late != conn {
		err = errors.Join(err, hangUp(ctx, late)) // it came back meanwhile
	}
	return err
}

func hangUp(ctx context.Context, conn connection) error {
	if conn == nil {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- conn.Close() }()
	select {
	case err := <-done:
		if errors.Is(err, amqp.ErrClosed) {
			return nil
		}
		return err
	case <-ctx.Done():
		conn.Abort()
		return errors.Join(ctx.Err(), <-done)
	}
}

// temporary marks what may pass: everything but a driver that was closed.
func temporary(err error) error {
	if err == nil || errors.Is(err, net.ErrClosed) && !socket(err) {
		return err
	}
	return driver.Temporary(err)
}

// socket reports whether a connection's socket failed, after which the link makes
// another. One that this side closed, because the broker said nothing any more, fails
// with the same sentinel that says that a driver was closed.
func socket(err error) bool {
	_, ok := errors.AsType[*net.OpError](err)
	return ok
}

var errLost = errors.New("connection lost")

// reason is the error of a closed connection or channel; nil is a close by ourselves.
func reason(err *amqp.Error) error {
	if err == nil {
		return errLost
	}
	return err
}

// code reports whether the broker answered with the reply code.
func code(err error, code int) bool {
	e, ok := errors.AsType[*amqp.Error](err)
	return ok && e.Code == code
}
