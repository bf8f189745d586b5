package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/outbox/driver"
)

// MaxWatermarkInterval is the longest RelayOptions.WatermarkInterval: readers take
// a topic that is silent for much longer for dead.
const MaxWatermarkInterval = 500 * time.Millisecond

// Watermark says of a topic that every change committed before Time has been
// announced, and that the last notice was number Sequence.
type Watermark struct {
	// Epoch is what the number counts in.
	Epoch string
	// Sequence is the last number published, 0 if there was none.
	Sequence uint64
	// Time is by the clock of the database on PostgreSQL, of the relay on SQLite.
	Time time.Time
}

// RelayOptions are the options of a Relay. The zero value is useful.
type RelayOptions struct {
	// Topics get watermarks before anything was ever appended to them.
	Topics []string
	// Watermark makes the event that carries a watermark, of which the relay
	// publishes one per topic and WatermarkInterval. It is called from the relay's
	// goroutines. Default nil: none are published.
	Watermark func(topic string, w Watermark) bus.Event
	// WatermarkInterval is between two watermarks of a topic. Default 250 ms, at
	// most MaxWatermarkInterval.
	WatermarkInterval time.Duration
	// PollInterval is how often the relay looks although nobody woke it. Default
	// and, with Watermark, upper bound: WatermarkInterval.
	PollInterval time.Duration
	// Listen waits for notifications of the database and calls wake after each; the
	// relay calls it again, with backoff, whenever it returns. For PostgreSQL with
	// pgx it is pgxnotify.Listen. Default nil: what other processes append is found
	// by polling.
	Listen func(ctx context.Context, db *sql.DB, channel string, wake func()) error
	// Batch is how many events of a topic go into one call of Publish. Default 128.
	Batch int
	// Concurrency is how many topics are published to at the same time; within a
	// topic it is always one batch after the other. Default 8.
	Concurrency int
	// LeaderTTL is how long a leader may be silent before another relay may take
	// over: the lease on SQLite, idle_session_timeout on PostgreSQL. Default 3 s, at
	// least 100 ms, at most 30 s.
	LeaderTTL time.Duration
	// PublishTimeout bounds one call of Publish. Default half of LeaderTTL.
	PublishTimeout time.Duration
	// RetryMax is the longest wait after a failure; waits begin at 20 ms, double,
	// and are jittered. Default 5 s.
	RetryMax time.Duration
	// Logger receives changes of leadership and failures. Default: nothing is logged.
	Logger *slog.Logger
}

func (o RelayOptions) withDefaults() RelayOptions {
	if o.WatermarkInterval <= 0 {
		o.WatermarkInterval = 250 * time.Millisecond
	}
	o.WatermarkInterval = min(o.WatermarkInterval, MaxWatermarkInterval)
	if o.PollInterval <= 0 || o.Watermark != nil && o.PollInterval > o.WatermarkInterval {
		o.PollInterval = o.WatermarkInterval
	}
	if o.Batch <= 0 {
		o.Batch = 128
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 8
	}
	if o.LeaderTTL <= 0 {
		o.LeaderTTL = 3 * time.Second
	}
	o.LeaderTTL = max(100*time.Millisecond, min(o.LeaderTTL, maxTTL))
	// A leader has to read several times per TTL to stay one.
	o.PollInterval = min(o.PollInterval, o.LeaderTTL/4)
	o.WatermarkInterval = min(o.WatermarkInterval, o.LeaderTTL/4)
	if o.PublishTimeout <= 0 {
		o.PublishTimeout = o.LeaderTTL / 2
	}
	if o.RetryMax <= 0 {
		o.RetryMax = 5 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Relay publishes what is in an outbox. Run as many as there are processes: one
// leads, the others wait. A Relay is safe for concurrent use.
type Relay struct {
	box   *Outbox
	bus   *bus.Bus
	opts  RelayOptions
	log   *slog.Logger
	waker waker

	// random is what waits are jittered with. It is called by one goroutine, and
	// tests that have to repeat set it.
	random func() float64

	// fault, in tests, is called at every step, and ends the relay there, as the
	// death of its process would, by returning an error.
	fault func(step string) error

	mu      sync.Mutex
	running bool
	stats   RelayStats
	term    *term // while leading
}

// NewRelay returns a relay from o to b. Options may be nil.
func NewRelay(o *Outbox, b *bus.Bus, opts *RelayOptions) *Relay {
	r := &Relay{box: o, bus: b, random: rand.Float64, waker: waker{now: make(chan struct{}, 1), soon: make(chan struct{}, 1)}}
	if opts != nil {
		r.opts = *opts
	}
	r.opts = r.opts.withDefaults()
	r.log = r.opts.Logger
	return r
}

// Run leads or waits to lead until ctx ends, and then returns nil, after batches
// under way are published and leadership is given up: that takes PublishTimeout at
// most, and as much for the database. Failures of the database and the bus are
// retried for ever. It returns an error at once when the outbox was made with wrong
// options or the relay runs already, and when the bus has been shut down.
func (r *Relay) Run(ctx context.Context) error {
	switch {
	case r.box == nil:
		return errors.New("outbox: the relay has no outbox")
	case r.box.err != nil:
		return r.box.err
	case r.bus == nil:
		return errors.New("outbox: the relay has no bus")
	}
	r.mu.Lock()
	if r.running {
		r.mu.Unlock()
		return errors.New("outbox: the relay runs already")
	}
	r.running = true
	r.mu.Unlock()
	defer r.box.attach(&r.waker)()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.running = false
	}()

	retry := r.backoff()
	for failures := 0; ctx.Err() == nil; {
		began := time.Now()
		led, err := r.lead(ctx)
		var end *finalError
		var crash *crashError
		switch {
		case errors.As(err, &crash), errors.As(err, &end) && ctx.Err() == nil:
			return fmt.Errorf("outbox: relay: %w", err)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, driver.ErrHeld):
			failures = 0
			r.wait(ctx, r.opts.LeaderTTL/6+time.Duration(r.random()*float64(r.opts.LeaderTTL/6)))
		default:
			if led && time.Since(began) > r.opts.LeaderTTL {
				failures = 0
			}
			failures++
			delay := retry.Delay(failures)
			r.failed(ctx, err, led, delay)
			r.wait(ctx, delay)
		}
	}
	return nil
}

// lead tries to become the leader and then leads until something fails or ctx ends.
func (r *Relay) lead(ctx context.Context) (led bool, err error) {
	opening, cancel := context.WithTimeout(ctx, r.opts.LeaderTTL)
	defer cancel()
	l, err := r.box.dialect.Lead(opening, r.box.db, driver.LeadOptions{Table: r.box.opts.Table, TTL: r.opts.LeaderTTL, Clock: r.box.opts.Clock})
	if err != nil {
		return false, err
	}
	r.log.InfoContext(ctx, "outbox relay leads", "table", r.box.opts.Table, "epoch", l.Epoch())
	t := newTerm(r, l)
	err = t.run(ctx)
	closing, cancelClose := context.WithTimeout(context.WithoutCancel(ctx), r.opts.LeaderTTL)
	defer cancelClose()
	if cerr := l.Close(closing); cerr != nil {
		r.log.WarnContext(ctx, "outbox relay can't give up leadership; it will expire", "error", cerr)
	}
	return true, err
}

func (r *Relay) failed(ctx context.Context, err error, led bool, delay time.Duration) {
	r.mu.Lock()
	r.stats.Failures++
	r.stats.LastError = err.Error()
	r.mu.Unlock()
	err = r.box.unmade(err)
	if led {
		r.log.WarnContext(ctx, "outbox relay leads no more", "error", err, "again_in", delay)
		return
	}
	r.log.WarnContext(ctx, "outbox relay can't lead", "error", err, "again_in", delay)
}

func (r *Relay) backoff() bus.Backoff {
	return bus.Backoff{Min: 20 * time.Millisecond, Max: r.opts.RetryMax, Rand: r.random}
}

func (r *Relay) wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// step tells tests where the relay is.
func (r *Relay) step(name string) error {
	if r.fault == nil {
		return nil
	}
	if err := r.fault(name); err != nil {
		return &crashError{err}
	}
	return nil
}

// crashError is a death ordered by a test.
type crashError struct{ err error }

func (e *crashError) Error() string { return e.err.Error() }
func (e *crashError) Unwrap() error { return e.err }

// finalError is one after which there is no use in trying again.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }
