package bus

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/goswale/swale/bus/driver"
)

// Publish hands the events to the topic in this order and returns nil when the
// bus has every one of them safe, as Durability says. It waits for room in
// Options.Window, never past ctx (or Options.PublishTimeout without a deadline).
//
// A missing ID, Time or Source is filled in, in what is sent and not in the
// caller's events. When an event is invalid or too large nothing is sent. A
// failure that may pass, such as a broker that changes its leader, is retried
// while that can't change the order. After that the error is a [*PublishError]
// that says which events aren't safe; publishing those again is at least once.
func (b *Bus) Publish(ctx context.Context, topic string, events ...Event) error {
	if len(events) == 0 {
		return nil
	}
	if err := b.enter(); err != nil {
		return fmt.Errorf("bus: publish to %s: %w", topic, err)
	}
	defer b.leave()
	if err := CheckName(topic); err != nil {
		return fmt.Errorf("bus: publish: %w", err)
	}
	l := b.load(len(events))
	msgs, room := l.msgs, l.room
	for i := range events {
		var err error
		if room, err = b.append(ctx, topic, &events[i], &msgs[i], room); err != nil {
			return fmt.Errorf("bus: publish to %s: event %d: %w", topic, i, err)
		}
		if i == 0 && len(events) > 1 { // most are about as long as the first
			room = slices.Grow(room, min(len(room)*(len(events)-1)*5/4+160, 1<<20))
		}
	}
	err := b.publish(ctx, topic, msgs, b.driver.Publish)
	if l.room = room; err == nil {
		b.unload(l)
	}
	return err
}

// load is what one Publish hands to the driver. Like parcels, loads are used again
// where the driver allows, after the last of their events was confirmed.
type load struct {
	msgs []driver.Message
	room []byte
}

func (b *Bus) load(n int) *load {
	l, _ := b.loads.Get().(*load)
	if l == nil {
		l = new(load)
	}
	l.msgs = slices.Grow(l.msgs[:0], n)[:n]
	l.room = l.room[:0]
	return l
}

// maxLoad is how much memory a load may keep.
const maxLoad = 64 << 10

func (b *Bus) unload(l *load) {
	if b.info.Copies && cap(l.room) <= maxLoad {
		clear(l.msgs)
		b.loads.Put(l)
	}
}

type publishFunc = func(ctx context.Context, topic string, msgs []driver.Message, done func(int, error))

// publish sends messages and retries the last of them while that keeps the order.
func (b *Bus) publish(ctx context.Context, topic string, msgs []driver.Message, send publishFunc) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, b.opts.PublishTimeout)
		defer cancel()
	}
	wait := Backoff{Min: 20 * time.Millisecond, Max: time.Second}
	for from, attempt := 0, 1; ; attempt++ {
		failed := b.round(ctx, topic, msgs[from:], send)
		if len(failed) == 0 {
			return nil
		}
		for i := range failed {
			failed[i].Index += from
		}
		err := &PublishError{Topic: topic, Total: len(msgs), Failed: failed}
		if !b.again(ctx, err, wait.Delay(attempt)) {
			return err
		}
		from = failed[0].Index
	}
}

// again reports, after the delay, whether the failed events can be sent again
// without changing the order: they are the last ones and each may succeed.
func (b *Bus) again(ctx context.Context, err *PublishError, delay time.Duration) bool {
	if len(err.Failed) != err.Total-err.Failed[0].Index {
		return false
	}
	for _, f := range err.Failed {
		if !driver.IsTemporary(f.Err) {
			return false
		}
	}
	b.log.DebugContext(ctx, "publish again", "topic", err.Topic, "events", len(err.Failed), "delay", delay, "error", err.Failed[0].Err)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// flight is one round of publishing, on its way to the broker.
type flight struct {
	bus   *Bus
	mu    sync.Mutex
	errs  []error // those that failed; none before the first
	done  []bool
	left  int
	ended bool // nobody waits any more
	all   chan struct{}
}

// round sends the messages once and returns those that failed.
func (b *Bus) round(ctx context.Context, topic string, msgs []driver.Message, send publishFunc) []EventError {
	f := &flight{bus: b, done: make([]bool, len(msgs)), left: len(msgs), all: make(chan struct{})}
	sent := 0
	for sent < len(msgs) {
		n := b.window.take(ctx, len(msgs)-sent)
		if n == 0 {
			break
		}
		base := sent
		send(ctx, topic, msgs[sent:sent+n], func(i int, err error) { f.settle(base+i, err) })
		sent += n
	}
	if sent < len(msgs) {
		f.mu.Lock()
		f.left -= len(msgs) - sent
		if f.left == 0 {
			close(f.all)
		}
		f.mu.Unlock()
	}
	if sent > 0 {
		select {
		case <-f.all:
		case <-ctx.Done():
		}
	}
	return f.failures(ctx, sent)
}

func (f *flight) settle(i int, err error) {
	f.bus.window.give()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended || f.done[i] {
		return
	}
	f.done[i] = true
	if err != nil {
		if f.errs == nil {
			f.errs = make([]error, len(f.done))
		}
		f.errs[i] = err
	}
	f.left--
	if f.left == 0 {
		close(f.all)
	}
}

func (f *flight) failures(ctx context.Context, sent int) []EventError {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	var failed []EventError
	if sent == len(f.done) && f.left == 0 && f.errs == nil {
		return nil
	}
	for i := range f.done {
		var err error
		if f.errs != nil {
			err = f.errs[i]
		}
		switch {
		case f.done[i] && err == nil:
			continue
		case i >= sent:
			err = fmt.Errorf("not sent: %w", context.Cause(ctx))
		case !f.done[i]:
			err = fmt.Errorf("not confirmed: %w", context.Cause(ctx))
		}
		failed = append(failed, EventError{Index: i, Err: err})
	}
	return failed
}

// PublishAsync hands one event to the topic and returns once it is on its way;
// done is called exactly once with nil when the bus has it safe, or with why
// not. It waits for room in Options.Window, never past ctx, and doesn't retry.
// done is called on a goroutine of the driver and must not block. When
// PublishAsync returns an error, done isn't called. Events that one goroutine
// publishes this way keep their order as long as none fails. nil is fine for done,
// where nobody wants to know.
func (b *Bus) PublishAsync(ctx context.Context, topic string, e Event, done func(error)) error {
	if err := b.enter(); err != nil {
		return fmt.Errorf("bus: publish to %s: %w", topic, err)
	}
	if err := CheckName(topic); err != nil {
		b.leave()
		return fmt.Errorf("bus: publish: %w", err)
	}
	if done == nil {
		done = func(error) {}
	}
	p := b.parcel(done)
	var err error
	if p.room, err = b.append(ctx, topic, &e, &p.msgs[0], p.room[:0]); err != nil {
		b.leave()
		return fmt.Errorf("bus: publish to %s: %w", topic, err)
	}
	if b.window.take(ctx, 1) == 0 {
		b.leave()
		return fmt.Errorf("bus: publish to %s: not sent: %w", topic, context.Cause(ctx))
	}
	b.driver.Publish(ctx, topic, p.msgs[:], p.settle)
	return nil
}

// parcel is one event on its way by PublishAsync. Parcels are used again where the
// driver allows, because making one costs more than sending it.
type parcel struct {
	bus    *Bus
	msgs   [1]driver.Message
	room   []byte
	done   func(error)
	settle func(int, error) // is settled
}

func (b *Bus) parcel(done func(error)) *parcel {
	p, _ := b.parcels.Get().(*parcel)
	if p == nil {
		p = &parcel{bus: b}
		p.settle = p.settled
	}
	p.done = done
	return p
}

// maxParcel is how much memory a parcel may keep.
const maxParcel = 4 << 10

func (p *parcel) settled(_ int, err error) {
	b, done := p.bus, p.done
	if p.done, p.msgs[0] = nil, (driver.Message{}); b.info.Copies && cap(p.room) <= maxParcel {
		b.parcels.Put(p)
	}
	b.window.give()
	done(err)
	b.leave()
}

// encode completes, checks and encodes an event.
func (b *Bus) encode(ctx context.Context, topic string, e *Event, m *driver.Message) error {
	_, err := b.append(ctx, topic, e, m, nil)
	return err
}

// append is encode for one of several events that share their memory: room, which
// it returns behind what it added. The event stays as it is.
func (b *Bus) append(ctx context.Context, topic string, e *Event, m *driver.Message, room []byte) ([]byte, error) {
	// What the hook is given lives on the heap, so that it is a copy of its own.
	if b.opts.BeforePublish != nil {
		own := b.complete(e)
		b.opts.BeforePublish(ctx, topic, &own)
		return b.write(&own, m, room)
	}
	if e.ID == "" || e.Source == "" || e.Time.IsZero() {
		own := b.complete(e)
		return b.write(&own, m, room)
	}
	return b.write(e, m, room)
}

// complete fills in what is missing, in a copy.
func (b *Bus) complete(e *Event) Event {
	own := *e
	if own.ID == "" {
		own.ID = rand.Text()
	}
	if own.Source == "" {
		own.Source = b.opts.Source
	}
	if own.Time.IsZero() {
		own.Time = time.Now().UTC()
	}
	return own
}

// write checks and encodes an event behind room.
func (b *Bus) write(e *Event, m *driver.Message, room []byte) ([]byte, error) {
	var err error
	if b.opts.Binary && !carriesEvent(e) {
		err = e.binary(m)
	} else {
		start := len(room)
		m.ContentType = driver.ContentTypeEvent
		if room, err = e.AppendJSON(room); err == nil {
			m.Body = room[start:len(room):len(room)]
		}
	}
	if err != nil {
		return room, err
	}
	m.ID, m.Source, m.Key = e.ID, e.Source, e.Key()
	if size := m.Size(); size > b.opts.MaxEventBytes {
		return room, fmt.Errorf("%w: %d bytes, allowed are %d", ErrTooLarge, size, b.opts.MaxEventBytes)
	}
	return room, nil
}
