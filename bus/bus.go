package bus

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goswale/swale/bus/driver"
)

// Bus is a connection to a broker. It is made by a driver's package (membus.New,
// natsbus.Open), is safe for concurrent use, and wants Shutdown at the end.
type Bus struct {
	driver  driver.Driver
	info    driver.Info
	opts    Options
	log     *slog.Logger
	window  *window
	invalid atomic.Uint64
	parcels sync.Pool // of *parcel
	loads   sync.Pool // of *load

	mu      sync.Mutex
	subs    map[*Subscription]struct{}
	closing bool // no new subscriptions
	closed  bool // no new publishes and requests
	active  int  // publishes and requests under way
	idle    chan struct{}

	shutdown sync.Mutex // one Shutdown at a time
	done     bool
}

// Options are the options of every bus. The zero value is useful.
type Options struct {
	// Source is given to published events that have none. Default "/".
	Source string
	// Logger receives what nobody else hears: retries, dead letters, invalid
	// messages, panics. Default: nothing is logged.
	Logger *slog.Logger
	// Window bounds the events of this bus that were handed to the broker and
	// aren't confirmed. Default 4096.
	Window int
	// PublishTimeout bounds a Publish whose context has no deadline. Default 30 s.
	PublishTimeout time.Duration
	// RequestTimeout bounds a Request whose context has no deadline. Default 10 s.
	RequestTimeout time.Duration
	// MaxEventBytes bounds an encoded event, in both directions. Default and upper
	// bound: what the broker takes less 8 KiB for the envelope of a dead letter, or
	// 1 MiB when it doesn't say.
	MaxEventBytes int
	// Binary sends events in binary mode, context attributes as the broker's
	// headers and Data as payload, instead of the structured JSON mode. Both are
	// always received. Structured is faster.
	Binary bool
	// Middleware wraps the handler of every Group, the first outermost. Panics are
	// turned into errors inside of all of them.
	Middleware []Middleware
	// BeforePublish may change an event before it is checked, for example to set
	// the extension "traceparent". It is called from Publish's goroutine.
	BeforePublish func(ctx context.Context, topic string, e *Event)
	// OnInvalid is told of each received message that is no valid event. It is
	// called from the subscription's goroutine and must not block.
	OnInvalid func(topic string, body []byte, err error)
}

// envelope is the room that a dead letter needs around its original.
const envelope = 8 << 10

// Middleware wraps a Handler.
type Middleware func(next Handler) Handler

// New returns a bus on a driver. Programs call the driver's own constructor; New
// is for those. It panics without a driver.
func New(d driver.Driver, opts *Options) *Bus {
	if d == nil {
		panic("bus: New: the driver is nil") //nolint:forbidigo // programmer error
	}
	b := &Bus{driver: d, info: d.Info(), subs: make(map[*Subscription]struct{})}
	if opts != nil {
		b.opts = *opts
	}
	o := &b.opts
	if o.Source == "" {
		o.Source = "/"
	}
	b.log = o.Logger
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if o.Window <= 0 {
		o.Window = 4096
	}
	if o.PublishTimeout <= 0 {
		o.PublishTimeout = 30 * time.Second
	}
	if o.RequestTimeout <= 0 {
		o.RequestTimeout = 10 * time.Second
	}
	limit := b.info.MaxPayload
	switch {
	case limit <= 0:
		limit = 1 << 20
	case limit > 2*envelope:
		limit -= envelope
	}
	if o.MaxEventBytes <= 0 || o.MaxEventBytes > limit && b.info.MaxPayload > 0 {
		o.MaxEventBytes = limit
	}
	b.window = newWindow(o.Window)
	return b
}

// Durability says what "safe" means for Publish on this bus.
func (b *Bus) Durability() driver.Durability { return b.info.Durability }

// Driver returns what the driver says about itself.
func (b *Bus) Driver() driver.Info { return b.info }

// Invalid returns how many received messages were no valid events.
func (b *Bus) Invalid() uint64 { return b.invalid.Load() }

// enter counts a publish or request in, so that Shutdown waits for it.
func (b *Bus) enter() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errShutDown
	}
	b.active++
	return nil
}

func (b *Bus) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.active--
	if b.active == 0 && b.idle != nil {
		close(b.idle)
		b.idle = nil
	}
}

// Shutdown closes every subscription as Subscription.Close does, waits for
// publishes and requests under way, and closes the connection. Handlers that are
// still running may publish. When ctx ends first, what runs is abandoned: its
// handlers' contexts are cancelled, the connection is closed all the same, and
// the context's error is returned; unacked events are delivered again later.
// Calling Shutdown again is fine.
func (b *Bus) Shutdown(ctx context.Context) error {
	b.shutdown.Lock()
	defer b.shutdown.Unlock()
	if b.done {
		return nil
	}
	b.mu.Lock()
	b.closing = true
	subs := make([]*Subscription, 0, len(b.subs))
	for s := range b.subs {
		subs = append(subs, s)
	}
	b.mu.Unlock()

	errs := make([]error, len(subs), len(subs)+2)
	var wg sync.WaitGroup
	for i, s := range subs {
		wg.Go(func() { errs[i] = s.Close(ctx) })
	}
	wg.Wait()

	b.mu.Lock()
	b.closed = true
	var idle chan struct{}
	if b.active > 0 {
		idle = make(chan struct{})
		b.idle = idle
	}
	b.mu.Unlock()
	if idle != nil {
		select {
		case <-idle:
		case <-ctx.Done():
			errs = append(errs, ctx.Err())
		}
	}
	errs = append(errs, b.driver.Close(ctx))
	b.done = true
	return errors.Join(errs...)
}
