package rabbitbus

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/goswale/swale/bus/driver"
)

// publisher sends messages on one channel, whose confirmations come in windows: as
// many may be on their way as the core allows. One goroutine writes.
type publisher struct {
	c    *conn
	jobs chan job
	ctx  context.Context //nolint:containedctx // the publisher's life
	end  context.CancelFunc
	wg   sync.WaitGroup
	out  *outlet // of the writing goroutine
}

type job struct {
	ctx   context.Context //nolint:containedctx // a call's, on its way to the writer
	topic string
	msgs  []driver.Message
	done  func(int, error)
}

func newPublisher(c *conn) *publisher {
	p := &publisher{c: c, jobs: make(chan job, 256)}
	p.ctx, p.end = context.WithCancel(context.Background())
	p.wg.Go(p.write)
	return p
}

// Publish implements driver.Driver.
func (c *conn) Publish(ctx context.Context, topic string, msgs []driver.Message, done func(int, error)) {
	j := job{ctx, topic, msgs, done}
	if c.pub.ctx.Err() == nil {
		select {
		case c.pub.jobs <- j:
			return
		case <-ctx.Done():
			j.fail(0, driver.Temporary(context.Cause(ctx)))
			return
		case <-c.pub.ctx.Done():
		}
	}
	j.fail(0, net.ErrClosed)
}

func (j *job) fail(from int, err error) {
	for i := from; i < len(j.msgs); i++ {
		j.done(i, err)
	}
}

// write takes jobs until close. What is at hand leaves in one packet.
func (p *publisher) write() {
	defer func() {
		for {
			select {
			case j := <-p.jobs:
				j.fail(0, net.ErrClosed)
			default:
				if p.out != nil {
					p.out.fail(net.ErrClosed)
				}
				return
			}
		}
	}()
	for {
		var j job
		select {
		case j = <-p.jobs:
		case <-p.ctx.Done():
			return
		}
		o := p.outlet(&j)
		if o == nil {
			continue
		}
		o.conn.Cork()
		for more := true; more; {
			if err := o.publish(&j); err != nil {
				p.out = nil
				break
			}
			select {
			case j = <-p.jobs:
			default:
				more = false
			}
		}
		if err := o.conn.Uncork(); err != nil {
			o.conn.Abort()
			o.fail(driver.Temporary(err))
			p.out = nil
		}
	}
}

// outlet returns the channel to publish on, or fails the job.
func (p *publisher) outlet(j *job) *outlet {
	if p.out != nil && !p.out.gone() {
		return p.out
	}
	p.out = nil
	ctx, cancel := context.WithCancelCause(j.ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.ctx, func() { cancel(net.ErrClosed) })()
	ch, conn, err := p.c.out.channel(ctx)
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		if !errors.Is(err, net.ErrClosed) {
			err = driver.Temporary(err)
		}
		j.fail(0, err)
		return nil
	}
	o := &outlet{ch: ch, conn: conn, exchange: p.c.names.events(), names: p.c.names}
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, 4096))
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	p.wg.Go(func() { o.confirm(confirms, closed, p.c.opts.ConfirmTimeout) })
	p.out = o
	return o
}

// outlet is one channel in confirm mode and what isn't confirmed on it.
type outlet struct {
	ch       channel
	conn     connection
	exchange string
	names    names

	mu      sync.Mutex
	pending []pending
	head    int
	dead    error
}

type pending struct {
	i    int
	done func(int, error)
	at   time.Time
}

func (o *outlet) gone() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.dead != nil
}

// publish writes the messages of a job. An error means that the channel is of no
// more use; then every message of the job was or will be answered.
func (o *outlet) publish(j *job) error {
	if err := j.ctx.Err(); err != nil {
		j.fail(0, driver.Temporary(err))
		return nil
	}
	key := o.names.key(j.topic)
	for i := range j.msgs {
		if !o.push(pending{i, j.done, time.Now()}) {
			j.fail(i, driver.Temporary(o.dead))
			return o.dead
		}
		if err := o.ch.Publish(o.exchange, key, false, false, publishing(&j.msgs[i])); err != nil {
			o.conn.Abort()
			o.fail(driver.Temporary(err))
			j.fail(i+1, driver.Temporary(err))
			return err
		}
	}
	return nil
}

// push notes a message that is about to be sent, unless the channel is gone.
func (o *outlet) push(p pending) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dead != nil {
		return false
	}
	o.pending = append(o.pending, p)
	return true
}

// pop takes the oldest.
func (o *outlet) pop() (pending, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.head == len(o.pending) {
		return pending{}, false
	}
	p := o.pending[o.head]
	o.pending[o.head] = pending{}
	o.head++
	if o.head == len(o.pending) {
		o.pending, o.head = o.pending[:0], 0
	} else if o.head > 4096 && o.head*2 > len(o.pending) {
		o.pending = append(o.pending[:0], o.pending[o.head:]...)
		o.head = 0
	}
	return p, true
}

// fail answers everything that is pending.
func (o *outlet) fail(err error) {
	o.mu.Lock()
	if o.dead == nil {
		o.dead = err
	}
	o.mu.Unlock()
	for {
		p, ok := o.pop()
		if !ok {
			return
		}
		p.done(p.i, err)
	}
}

var (
	errRefused  = errors.New("the broker refused the message")
	errWithheld = errors.New("the broker withholds its confirmation")
)

// confirm answers messages in the order in which they were sent, in which the
// client hands confirmations on too.
func (o *outlet) confirm(confirms <-chan amqp.Confirmation, closed <-chan *amqp.Error, patience time.Duration) {
	ticker := time.NewTicker(max(patience/4, 10*time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case c, ok := <-confirms:
			if !ok {
				o.fail(driver.Temporary(reason(<-closed)))
				return
			}
			p, ok := o.pop()
			if !ok {
				continue
			}
			if c.Ack {
				p.done(p.i, nil)
			} else {
				p.done(p.i, driver.Temporary(errRefused))
			}
		case now := <-ticker.C:
			if o.overdue(now.Add(-patience)) {
				o.conn.Abort()
				o.fail(driver.Temporary(errWithheld))
			}
		}
	}
}

func (o *outlet) overdue(before time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.head < len(o.pending) && o.pending[o.head].at.Before(before)
}
