package natsbus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/driver"
)

// tail is one broadcast subscription. It follows a subject of a JetStream stream
// through one consumer after the other; everything but the flags below is used by
// its goroutine alone.
type tail struct {
	conn    *conn
	stream  string
	subject string
	sink    driver.Sink

	in      chan *nats.Msg
	sub     *nats.Subscription
	name    string    // the consumer's
	created time.Time // the stream's, to notice one that was made anew
	last    uint64    // number in the stream of the last message that was seen, or passed over
	next    uint64    // number in the consumer that comes next
	heard   time.Time
	lagging bool   // since the last look at the stream, messages waited
	checked uint64 // last at that look

	down  chan struct{}
	up    chan struct{}
	apart chan struct{} // the server is cut off from its cluster

	ctx    context.Context //nolint:containedctx // ends at Stop
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// Broadcast implements driver.Driver.
func (c *conn) Broadcast(ctx context.Context, topic string, sink driver.Sink) (driver.Subscription, error) {
	if c.opts.Core {
		return c.listen(ctx, c.coreSubject(topic), new(numbers), sink)
	}
	return c.follow(ctx, c.streamName(c.shard(topic)), c.subject(topic), sink)
}

func (c *conn) follow(ctx context.Context, stream, subject string, sink driver.Sink) (driver.Subscription, error) {
	t := &tail{
		conn: c, stream: stream, subject: subject, sink: sink,
		down: make(chan struct{}, 1), up: make(chan struct{}, 1), apart: make(chan struct{}, 1),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	if _, err := t.start(ctx, false); err != nil {
		t.cancel()
		return nil, err
	}
	c.mu.Lock()
	c.tails[t] = struct{}{}
	c.mu.Unlock()
	t.wg.Go(t.run)
	return t, nil
}

// start makes a consumer: from now on, or, when resuming, behind the last message
// that was seen; then it reports whether nothing was missed.
func (t *tail) start(ctx context.Context, resume bool) (whole bool, err error) {
	c := t.conn
	t.in = make(chan *nats.Msg, c.opts.Buffer)
	inbox := nats.NewInbox()
	if t.sub, err = c.nc.ChanSubscribe(inbox, t.in); err != nil {
		return false, err
	}
	config := jetstream.ConsumerConfig{
		DeliverSubject: inbox, DeliverPolicy: jetstream.DeliverNewPolicy,
		AckPolicy: jetstream.AckNonePolicy, MaxDeliver: 1,
		FilterSubject: t.subject, FlowControl: true, IdleHeartbeat: c.opts.Heartbeat,
		InactiveThreshold: 30 * time.Second, MemoryStorage: true, Replicas: 1,
	}
	stream, err := c.js.Stream(ctx, t.stream)
	if err != nil {
		t.leave()
		return false, err
	}
	info := stream.CachedInfo()
	if !led(info) {
		t.leave()
		return false, driver.Temporary(errApart)
	}
	whole = true
	if resume {
		whole = info.Created.Equal(t.created) && info.State.LastSeq >= t.last
		if whole {
			config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, t.last+1
		}
	}
	t.created = info.Created
	consumer, err := stream.CreatePushConsumer(ctx, config)
	if err != nil {
		t.leave()
		return false, err
	}
	made := consumer.CachedInfo()
	t.name = made.Name
	if !resume || !whole {
		t.last = made.Delivered.Stream
	} else if info, err = stream.Info(ctx); err != nil {
		t.leave()
		return false, err
	} else if info.State.FirstSeq > t.last+1 {
		whole = false // the stream has dropped what came next
	}
	t.next, t.heard, t.lagging, t.checked = 1, time.Now(), false, t.last
	return whole, nil
}

// leave ends the current consumer at this side; the server forgets it by itself
// when nobody is interested for a while.
func (t *tail) leave() {
	if t.sub != nil {
		_ = t.sub.Unsubscribe()
		t.sub = nil
	}
}

// connection is told of the connection's ups and downs.
func (t *tail) connection(up bool) {
	ch := t.down
	if up {
		ch = t.up
	}
	select {
	case ch <- struct{}{}:
	default:
	}
}

var (
	errSilent = errors.New("no heartbeat from the server")
	errGap    = errors.New("a message is missing")
)

func (t *tail) run() {
	defer t.leave()
	t.sink.State(driver.Live, nil)
	limit := t.conn.opts.Heartbeat * 5 / 2
	ticker := time.NewTicker(t.conn.opts.Heartbeat)
	defer ticker.Stop()
	for {
		var reason error
		select {
		case <-t.ctx.Done():
			return
		case m := <-t.in:
			t.heard = time.Now()
			reason = t.take(m)
		case <-t.down:
			reason = nats.ErrDisconnected
		case <-t.apart:
			reason = errApart
		case <-ticker.C:
			// A handler that took long isn't a server that is silent.
			if len(t.in) == 0 && time.Since(t.heard) > limit {
				reason = errSilent
			} else if t.lagging && t.overtaken() {
				t.sink.State(driver.Lost, errOvertaken)
				t.sink.State(driver.ResumedWithHole, errOvertaken)
			}
		}
		if reason != nil && !t.recover(reason) {
			return
		}
	}
}

// take handles what the consumer sent. An error means that it can't be followed
// any more.
func (t *tail) take(m *nats.Msg) error {
	p, ok := parsePlace(m.Reply)
	if !ok {
		// What has a place is a message, whatever its publisher wrote into its header.
		if status := m.Header.Get("Status"); status != "" && len(m.Data) == 0 {
			return t.control(status, m)
		}
		return nil // not from the consumer
	}
	if p.consumer < t.next {
		return nil
	}
	if p.consumer > t.next {
		return errGap
	}
	t.next++
	t.last = p.stream
	if p.pending > 0 {
		t.lagging = true
	}
	t.sink.Message(message(m))
	return nil
}

// control handles heartbeats and flow control.
func (t *tail) control(status string, m *nats.Msg) error {
	if status != "100" {
		return fmt.Errorf("consumer ended: %s %s", status, m.Header.Get("Description"))
	}
	if m.Reply != "" { // flow control: everything before it has been handled
		return t.conn.nc.Publish(m.Reply, nil)
	}
	if stalled := m.Header.Get("Nats-Consumer-Stalled"); stalled != "" {
		_ = t.conn.nc.Publish(stalled, nil)
	}
	if n, err := strconv.ParseUint(m.Header.Get("Nats-Last-Consumer"), 10, 64); err == nil {
		if n >= t.next {
			return errGap
		}
		if n < t.next-1 {
			return errors.New("the consumer began anew")
		}
		// Nothing for us up to there.
		if seq, err := strconv.ParseUint(m.Header.Get("Nats-Last-Stream"), 10, 64); err == nil && seq > t.last {
			t.last = seq
		}
	}
	return nil
}

var errOvertaken = errors.New("the stream dropped messages before the handler was ready for them")

// overtaken looks, while messages wait at the server, whether the stream may have
// dropped some of them: it hasn't as long as its first message isn't behind the
// one that followed the last look.
func (t *tail) overtaken() bool {
	ctx, cancel := context.WithTimeout(t.ctx, 2*time.Second)
	defer cancel()
	stream, err := t.conn.js.Stream(ctx, t.stream)
	if err != nil {
		return false // looked at again with the next tick
	}
	t.lagging = false
	over := stream.CachedInfo().State.FirstSeq > t.checked+1
	t.checked = t.last
	return over
}

// recover says Lost, makes another consumer as soon as one can be made, and says
// whether something was missed. It reports false when the subscription ends.
func (t *tail) recover(reason error) bool {
	t.leave()
	t.sink.State(driver.Lost, reason)
	wait := bus.Backoff{Min: 50 * time.Millisecond, Max: time.Second}
	for attempt := 1; ; attempt++ {
		select {
		case <-t.ctx.Done():
			return false
		case <-t.down:
		default:
		}
		if t.conn.nc.IsConnected() {
			whole, err := t.restart()
			if err == nil {
				select {
				case <-t.apart: // said of the consumer before
				default:
				}
				state := driver.Resumed
				if !whole {
					state = driver.ResumedWithHole
				}
				t.sink.State(state, nil)
				return true
			}
			t.conn.log.Debug("broadcast consumer", "subject", t.subject, "error", err)
		}
		timer := time.NewTimer(wait.Delay(attempt))
		select {
		case <-t.ctx.Done():
			timer.Stop()
			return false
		case <-t.up:
			timer.Stop()
		case <-timer.C:
		}
	}
}

func (t *tail) restart() (whole bool, err error) {
	ctx, cancel := context.WithTimeout(t.ctx, 2*time.Second)
	defer cancel()
	return t.start(ctx, true)
}

// Stop implements driver.Subscription.
func (t *tail) Stop(ctx context.Context) error {
	t.cancel()
	return wait(ctx, &t.wg)
}

// Detach implements driver.Subscription.
func (t *tail) Detach(ctx context.Context) error {
	t.conn.mu.Lock()
	delete(t.conn.tails, t)
	t.conn.mu.Unlock()
	if t.conn.nc.IsConnected() {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_ = t.conn.js.DeleteConsumer(ctx, t.stream, t.name) // else it expires
	}
	return nil
}

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
