package rabbitbus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
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
	ctx           context.Context //nolint:containedctx // a call's, on its way to the writer
	exchange, key string
	msgs          []driver.Message
	done          func(int, error)
	write         func(*driver.Message) amqp.Publishing
	mandatory     bool // it isn't safe unless there is a queue for it
}

func newPublisher(c *conn) *publisher {
	p := &publisher{c: c, jobs: make(chan job, 256)}
	p.ctx, p.end = context.WithCancel(context.Background())
	p.wg.Go(p.write)
	return p
}

// Publish implements driver.Driver.
func (c *conn) Publish(ctx context.Context, topic string, msgs []driver.Message, done func(int, error)) {
	c.send(job{ctx, c.names.events(), c.names.key(topic), msgs, done, publishing, false})
}

// send gives a job to the writer, and waits while it has too many.
func (c *conn) send(j job) {
	if c.pub.ctx.Err() == nil {
		select {
		case c.pub.jobs <- j:
			return
		case <-j.ctx.Done():
			j.fail(0, driver.Temporary(context.Cause(j.ctx)))
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
		j.fail(0, temporary(err))
		return nil
	}
	o := &outlet{ch: ch, conn: conn}
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, 4096))
	returns := ch.NotifyReturn(make(chan amqp.Return)) // taken before the confirmation behind it is handed over
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	p.wg.Go(func() { o.confirm(confirms, returns, closed, p.c.opts.ConfirmTimeout) })
	p.out = o
	return o
}

// outlet is one channel in confirm mode and what isn't confirmed on it.
type outlet struct {
	ch   channel
	conn connection

	mu      sync.Mutex
	pending []pending
	head    int
	pushed  uint64
	dead    error
}

type pending struct {
	i    int
	done func(int, error)
	at   time.Time
	size int

	returned bool
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
	for i := range j.msgs {
		number, ok := o.push(pending{i: i, done: j.done, at: time.Now(), size: len(j.msgs[i].Body)})
		if !ok {
			j.fail(i, driver.Temporary(o.dead))
			return o.dead
		}
		msg := j.write(&j.msgs[i])
		if j.mandatory {
			msg.CorrelationId = strconv.FormatUint(number, 10)
		}
		if err := o.ch.Publish(j.exchange, j.key, j.mandatory, false, msg); err != nil {
			if errors.Is(err, amqp.ErrClosed) {
				o.end(driver.Temporary(err)) // confirm hears why, and answers what is pending
			} else {
				o.conn.Abort()
				o.fail(driver.Temporary(err))
			}
			j.fail(i+1, driver.Temporary(err))
			return err
		}
	}
	return nil
}

// push notes a message that is about to be sent, and gives it its number, unless the
// channel is gone.
func (o *outlet) push(p pending) (number uint64, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dead != nil {
		return 0, false
	}
	o.pending = append(o.pending, p)
	o.pushed++
	return o.pushed, true
}

// returned notes that the broker has no queue for the message of that number, which
// it says before it confirms.
func (o *outlet) returned(number string) {
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	left := uint64(len(o.pending) - o.head)
	if first := o.pushed - left; n > first && n <= o.pushed {
		o.pending[o.head+int(n-first)-1].returned = true
	}
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

// end has nothing more sent on the channel.
func (o *outlet) end(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dead == nil {
		o.dead = err
	}
}

// fail answers everything that is pending.
func (o *outlet) fail(err error) {
	o.end(err)
	limit, limited := sizeLimit(err)
	for {
		p, ok := o.pop()
		if !ok {
			return
		}
		if limited && p.size > limit {
			p.done(p.i, fmt.Errorf("%w: %d bytes: %w", driver.ErrTooLarge, p.size, errors.Unwrap(err)))
			continue
		}
		p.done(p.i, err)
	}
}

// refusal is how a broker says that a message is over its max_message_size, in the
// words of RabbitMQ 3 and 4. It closes the channel, and the messages around the one
// that is too large have to be sent again, but not this one.
var refusal = regexp.MustCompile(`^PRECONDITION_FAILED - message size \d+ is larger than (?:configured )?max size (\d+)`)

// sizeLimit reads the limit from a refusal.
func sizeLimit(err error) (limit int, ok bool) {
	e, ok := errors.AsType[*amqp.Error](err)
	if !ok || e.Code != amqp.PreconditionFailed {
		return 0, false
	}
	match := refusal.FindStringSubmatch(e.Reason)
	if match == nil {
		return 0, false
	}
	limit, err = strconv.Atoi(match[1])
	return limit, err == nil
}

var (
	errRefused  = errors.New("the broker refused the message")
	errNowhere  = errors.New("the broker has no queue for the message")
	errWithheld = errors.New("the broker withholds its confirmation")
)

// confirm answers messages in the order in which they were sent, in which the
// client hands confirmations on too.
func (o *outlet) confirm(confirms <-chan amqp.Confirmation, returns <-chan amqp.Return, closed <-chan *amqp.Error, patience time.Duration) {
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
			switch {
			case p.returned:
				p.done(p.i, driver.Temporary(errNowhere))
			case !c.Ack:
				p.done(p.i, driver.Temporary(errRefused))
			default:
				p.done(p.i, nil)
			}
		case back, ok := <-returns:
			if !ok {
				returns = nil
				continue
			}
			o.returned(back.CorrelationId)
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
