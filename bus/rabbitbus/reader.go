package rabbitbus

import (
	"context"
	"errors"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

// reader keeps a feed attached until stop, again after every loss.
type reader struct {
	c    *conn
	what string // is read, for people
	feed feed

	ctx context.Context //nolint:containedctx // until stop
	end context.CancelFunc
	wg  sync.WaitGroup
}

// feed is what a reader reads. Its methods are called from one goroutine.
type feed interface {
	// attach opens a channel and consumes on it.
	attach(ctx context.Context) (channel, <-chan amqp.Delivery, error)
	// take handles one delivery. An error has the reader attach anew.
	take(ch channel, d *amqp.Delivery) error
	// lost says why nothing comes any more for now.
	lost(reason error)
}

// read returns when the feed is attached for the first time.
func (c *conn) read(ctx context.Context, what string, f feed) (*reader, error) {
	r := &reader{c: c, what: what, feed: f}
	r.ctx, r.end = context.WithCancel(context.Background())
	joined := make(chan error, 1)
	r.wg.Go(func() { r.run(ctx, joined) })
	select {
	case err := <-joined:
		if err != nil {
			r.end()
			r.wg.Wait()
			return nil, err
		}
		return r, nil
	case <-ctx.Done():
		r.end()
		return nil, context.Cause(ctx)
	}
}

func (r *reader) run(ctx context.Context, joined chan<- error) {
	joining := true
	for attempt := 0; r.ctx.Err() == nil; attempt++ {
		actx := r.ctx
		if joining {
			actx = ctx
		}
		ch, in, err := r.feed.attach(actx)
		if err != nil {
			if joining && !errors.Is(err, amqp.ErrClosed) {
				joined <- err
				return
			}
			r.c.log.Debug("rabbitbus: attach", "to", r.what, "error", err)
			pause(r.ctx, attempt)
			continue
		}
		attempt = 0
		if joining {
			joining = false
			joined <- nil
		}
		closed := ch.NotifyClose(make(chan *amqp.Error, 1))
		err = r.listen(ch, in)
		if r.ctx.Err() == nil {
			if err == nil {
				err = why(closed)
			}
			r.feed.lost(err)
		}
		_ = ch.Close() // it is closed already unless the queue was deleted
	}
	if joining {
		joined <- r.ctx.Err()
	}
}

// listen hands deliveries over until there are no more.
func (r *reader) listen(ch channel, in <-chan amqp.Delivery) error {
	for {
		select {
		case d, ok := <-in:
			if !ok {
				return nil
			}
			if err := r.feed.take(ch, &d); err != nil {
				return err
			}
		case <-r.ctx.Done():
			return nil
		}
	}
}

var errDeleted = errors.New("the subscription's queue was deleted")

// why says why a consumer ended.
func why(closed <-chan *amqp.Error) error {
	select {
	case err := <-closed:
		return reason(err)
	default:
		return errDeleted
	}
}
