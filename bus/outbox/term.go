package outbox

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/outbox/driver"
)

const (
	readLimit  = 1024 // rows that one Read returns
	maxQueued  = 8192 // rows in memory from which on nothing more is read
	removeFrom = 512  // published rows that are removed without waiting for the next tick
	firstProbe = time.Millisecond
)

// term is one leadership of a relay. One goroutine, in run, owns it, reads and
// writes the database, and decides. It hands batches to goroutines that publish
// them, one at a time for each topic, and hears from them over results. What Stats
// looks at is changed under the relay's mutex.
//
// In memory is a part of what is in the table: a topic's queue may be thrown away
// at any time and is then loaded again.
type term struct {
	r       *Relay
	leads   driver.Leadership
	topics  map[string]*topic
	active  map[*topic]struct{} // those with something to publish
	results chan result

	inFlight  int
	queued    int // rows in the queues of all topics
	removable int // rows published and not removed
	more      bool
	reads     uint64
	complete  instant   // T of the newest Read that left nothing unread
	confirmed time.Time // when the newest successful Read began, by the monotonic clock
}

func newTerm(r *Relay, l driver.Leadership) *term {
	return &term{r: r, leads: l, topics: make(map[string]*topic), active: make(map[*topic]struct{}), results: make(chan result)}
}

// run leads until ctx ends, which is no error, or leadership is lost.
func (t *term) run(ctx context.Context) error {
	// What was begun is brought to its end when ctx ends: an interrupted query costs
	// some databases the connection, and with it the leadership.
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var listening sync.WaitGroup
	listenCtx, stopListening := context.WithCancel(ctx)
	defer func() {
		// Who leads no more must not go on publishing.
		cancel()
		stopListening()
		for t.inFlight > 0 {
			_ = t.settle(ctx, <-t.results) // the reason to end is known already
		}
		listening.Wait()
		t.r.mu.Lock()
		t.r.term = nil
		t.r.mu.Unlock()
	}()
	if err := t.open(working); err != nil {
		return err
	}
	if t.r.opts.Listen != nil {
		listening.Go(func() { t.r.listen(listenCtx) })
	}
	if err := t.loop(ctx, working); err != nil {
		return err
	}
	return t.finish(working)
}

func (t *term) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, t.r.opts.LeaderTTL)
	defer cancel()
	known, err := t.leads.Topics(ctx)
	if err != nil {
		return err
	}
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	for _, k := range known {
		p := t.topic(k.Name)
		p.last, p.published, p.removed, p.loaded = k.Last, k.Removed, k.Removed, k.Removed
		if p.published < p.last {
			t.active[p] = struct{}{}
		}
	}
	for _, name := range t.r.opts.Topics {
		t.topic(name)
	}
	t.r.term = t
	return nil
}

func (t *term) loop(ctx, working context.Context) error {
	opts := &t.r.opts
	poll := time.NewTicker(opts.PollInterval)
	defer poll.Stop()
	mark := time.NewTicker(opts.WatermarkInterval)
	defer mark.Stop()
	if opts.Watermark == nil {
		mark.Stop()
	} else if opts.PollInterval == opts.WatermarkInterval {
		poll.Stop() // the other ticks as often
	}
	probe, retry := time.NewTimer(0), time.NewTimer(0)
	defer probe.Stop()
	defer retry.Stop()
	probing := opts.PollInterval

	read, remove := true, false
	for {
		if read || t.more && t.queued < maxQueued {
			if err := t.read(working, remove || t.removable >= removeFrom); err != nil {
				return err
			}
			read, remove = false, false
		}
		if err := t.dispatch(working, retry); err != nil {
			return err
		}
		if t.more && t.queued < maxQueued {
			continue
		}
		var soon, probed, marks bool
		select {
		case <-ctx.Done():
		case res := <-t.results:
			if err := t.settle(ctx, res); err != nil {
				return err
			}
		case <-t.r.waker.now:
			read = true
		case <-t.r.waker.soon:
			soon = true
		case <-probe.C:
			probed = true
		case <-retry.C:
		case <-poll.C:
			read, remove = true, true
		case <-mark.C:
			marks = true
		}
		// After a slow query there may be several at once. They are taken together,
		// so that one query does for all, and in one order.
		if ctx.Err() != nil {
			return nil
		}
		if err := t.settleAll(ctx); err != nil {
			return err
		}
		if ready(mark.C) || marks {
			read, remove = true, true
			for _, p := range t.topics {
				p.due = true
				t.active[p] = struct{}{}
			}
		}
		if ready(poll.C) {
			read, remove = true, true
		}
		if ready(probe.C) || probed {
			if probing < opts.PollInterval {
				read = true
				probing *= 2
				probe.Reset(probing)
			}
		}
		// With notifications there is no need to guess when the commit comes.
		if (ready(t.r.waker.soon) || soon) && opts.Listen == nil {
			probing = firstProbe
			probe.Reset(probing)
		}
		read = ready(t.r.waker.now) || read
	}
}

// ready takes what is there already.
func ready[T any](c <-chan T) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// settleAll takes note of the batches that have ended.
func (t *term) settleAll(ctx context.Context) error {
	for {
		select {
		case res := <-t.results:
			if err := t.settle(ctx, res); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// read asks the database for rows that are new.
func (t *term) read(ctx context.Context, remove bool) error {
	var marks []driver.Mark
	if remove && t.removable > 0 {
		if err := t.r.step("remove"); err != nil {
			return err
		}
		for _, p := range t.topics {
			if p.removed < p.published {
				marks = append(marks, driver.Mark{Topic: p.name, Sequence: p.published})
			}
		}
	}
	if err := t.r.step("number"); err != nil {
		return err
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, t.r.opts.LeaderTTL)
	defer cancel()
	batch, err := t.leads.Read(ctx, readLimit, marks)
	if err != nil {
		return err
	}
	if err := t.r.step("numbered"); err != nil {
		return err
	}
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	t.confirmed = began
	for _, m := range marks {
		p := t.topics[m.Topic]
		t.removable -= int(m.Sequence - p.removed)
		p.removed = m.Sequence
	}
	for _, row := range batch.Rows {
		p := t.topic(row.Topic)
		t.active[p] = struct{}{}
		t.queued += p.add(row, t.queued < maxQueued)
	}
	t.reads++
	t.more = batch.More
	if !batch.More {
		t.complete = instant{batch.Time, t.reads}
		for p := range t.active {
			p.aim(t.complete)
		}
	}
	return nil
}

// dispatch starts what can be started.
func (t *term) dispatch(ctx context.Context, retry *time.Timer) error {
	now := time.Now()
	var next time.Time
	for p := range t.active {
		if p.busy {
			continue
		}
		if t.inFlight >= t.r.opts.Concurrency {
			break
		}
		if p.published < p.last && now.Before(p.retryAt) {
			if next.IsZero() || p.retryAt.Before(next) {
				next = p.retryAt
			}
			continue
		}
		if p.published < p.last && len(p.queue) == 0 {
			if err := t.load(ctx, p); err != nil {
				return err
			}
		}
		t.r.mu.Lock()
		j, ok := p.next(t.complete)
		if !ok {
			if !p.due && p.published == p.last {
				delete(t.active, p)
			}
			t.r.mu.Unlock()
			continue
		}
		p.busy = true
		t.r.mu.Unlock()
		j.confirmed, j.epoch = t.confirmed, t.leads.Epoch()
		t.inFlight++
		go func() { t.results <- t.r.publish(ctx, j) }()
	}
	if !next.IsZero() {
		retry.Reset(max(0, next.Sub(now)))
	}
	return nil
}

// load fills a queue from the table.
func (t *term) load(ctx context.Context, p *topic) error {
	ctx, cancel := context.WithTimeout(ctx, t.r.opts.LeaderTTL)
	defer cancel()
	rows, err := t.leads.Load(ctx, p.name, p.published, readLimit)
	if err != nil {
		return err
	}
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	if len(rows) == 0 {
		// Somebody removed them by hand. Readers will see the hole in the numbers.
		t.r.log.ErrorContext(ctx, "outbox rows are gone that were not published", "topic", p.name, "after", p.published, "to", p.last)
		p.published, p.loaded, p.removed = p.last, p.last, p.last
		return nil
	}
	p.queue, p.loaded = rows, rows[len(rows)-1].Sequence
	t.queued += len(rows)
	return nil
}

// settle takes note of what became of a batch.
func (t *term) settle(ctx context.Context, res result) error {
	r := t.r
	r.mu.Lock()
	defer r.mu.Unlock()
	t.inFlight--
	p := res.topic
	before := len(p.queue)
	done := p.settle(res, r.opts.Batch, r.backoff())
	t.queued += len(p.queue) - before
	t.removable += done
	r.stats.Published += uint64(done)
	if res.marked {
		r.stats.Watermarks++
	}
	if res.err != nil {
		r.stats.Failures++
		r.stats.LastError = res.err.Error()
		if final(res.err) {
			return &finalError{res.err}
		}
		if ctx.Err() == nil && (res.rows > 0 || p.failures == 1) {
			r.log.WarnContext(ctx, "outbox relay can't publish", "topic", p.name, "after", p.published, "waiting", p.last-p.published, "failures", p.failures, "error", res.err)
		}
	}
	return nil
}

// final reports whether an error of a job ends the relay: the bus was shut down, or
// a test says so. A connection that is closed, which is the same sentinel, comes
// with the events that it has failed.
func final(err error) bool {
	var crash *crashError
	var failed *bus.PublishError
	return errors.As(err, &crash) || errors.Is(err, bus.ErrClosed) && !errors.As(err, &failed)
}

// finish waits for what is under way and removes what is published.
func (t *term) finish(ctx context.Context) error {
	for t.inFlight > 0 {
		if err := t.settle(ctx, <-t.results); err != nil {
			return err
		}
	}
	if t.removable == 0 {
		return nil
	}
	return t.read(ctx, true)
}

// topic returns the topic of that name, new if need be.
func (t *term) topic(name string) *topic {
	p := t.topics[name]
	if p == nil {
		p = &topic{name: name, batch: t.r.opts.Batch}
		t.topics[name] = p
	}
	return p
}

// listen calls RelayOptions.Listen again and again.
func (r *Relay) listen(ctx context.Context) {
	retry := bus.Backoff{Min: 20 * time.Millisecond, Max: r.opts.RetryMax}
	for failures := 1; ; failures++ {
		began := time.Now()
		err := r.opts.Listen(ctx, r.box.db, r.box.Channel(), func() {
			select {
			case r.waker.now <- struct{}{}:
			default:
			}
		})
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > r.opts.RetryMax {
			failures = 1
		}
		r.log.WarnContext(ctx, "outbox relay isn't notified; it polls", "error", err)
		r.wait(ctx, retry.Delay(failures))
	}
}
