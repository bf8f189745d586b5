package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goswale/swale/bus"
)

// Limits of what clients may ask for.
const (
	maxURL      = 2048
	maxBatch    = 10_000
	maxDeadline = time.Hour
)

// Options configure a Gateway. RootToken or a store that has tokens is needed
// for anybody to get in; the rest of the zero value is useful.
type Options struct {
	// RootToken is the user name that may manage tokens. Empty: nobody may.
	RootToken string
	// Key, of 16 bytes or more, peppers the hashes of tokens and seals the
	// credentials of callbacks at rest. Every gateway at the same store needs the
	// same. Without it tokens are hashed plainly and credentials are kept as they
	// are.
	Key []byte
	// Source names the gateway in CloudEvents that it makes. Default "/gateway".
	Source string
	// Origin names the gateway in handshakes with CloudEvents callbacks
	// (WebHook-Request-Origin): its DNS name. Default "gateway".
	Origin string

	// Data says what becomes of "data" in pushed events on topics that aren't
	// Streams. Default DataRefused.
	Data DataPolicy
	// Streams are the topics whose events may carry data: value objects, not
	// resources.
	Streams map[string]StreamTopic

	// Authorize, if set, has the last word on whether a client may publish or
	// subscribe to a topic; an error is answered 403, its text not. That a topic has
	// another owner is checked besides. Default: every client may.
	Authorize func(ctx context.Context, client Token, action Action, topic string) error

	// Callbacks say where deliveries may go.
	Callbacks CallbackOptions
	// Delivery says how.
	Delivery DeliveryOptions

	// AllowHTTP lets events name http URLs beside https.
	AllowHTTP bool
	// MaxBody bounds the body of a request, in bytes. Default 1 MiB.
	MaxBody int64
	// ReadTimeout bounds how long a client may take to send its body. Default 10 s.
	ReadTimeout time.Duration
	// AllowedRate is how many requests a minute each client may make to deliver
	// CloudEvents here, which WebHook-Allowed-Rate tells them; more are answered 429.
	// Default 0: as many as they like.
	AllowedRate int
	// Poll is how often the store is looked at for what other gateways changed, and
	// counts are written to it. Default 5 s.
	Poll time.Duration
	// ScalingBacklog is from how many queued events on /pulse/scaling takes a
	// second, which autoscalers read as "more". Default 10,000.
	ScalingBacklog int
	// Logger hears of deliveries that fail and of what is given up. It is never
	// given tokens or credentials. Default: nothing is logged.
	Logger *slog.Logger
}

// Action is what a client wants with a topic.
type Action string

// The actions.
const (
	Publish   Action = "publish"
	Subscribe Action = "subscribe"
)

// DataPolicy says what becomes of data where none belongs.
type DataPolicy int

// The policies.
const (
	// DataRefused answers 400 and says why.
	DataRefused DataPolicy = iota
	// DataDropped publishes the event without it, and counts it in Stats.
	DataDropped
)

// StreamTopic bounds a topic whose events carry data.
type StreamTopic struct {
	// MaxBytes bounds the data of an event as JSON. Default 1024.
	MaxBytes int
	// MaxAge is how old an event may be when its turn comes; what is older is
	// skipped. Default 1 h.
	MaxAge time.Duration
}

// DeliveryOptions say how events are delivered. The zero value is useful.
type DeliveryOptions struct {
	// Backoff is how long a subscriber is left alone after a failure, from the
	// first on; it doubles with each further one in a row. Default 500 ms to
	// 5 min.
	Backoff bus.Backoff
	// MaxAttempts is how often an event may be refused on its own before it becomes
	// a dead letter. A callback that can't be reached refuses nothing. Default 10;
	// negative is never.
	MaxAttempts int
	// MaxBatchBytes bounds the body of a request. Default 1 MiB.
	MaxBatchBytes int
	// Failures in a row after which a callback's host is left alone by everybody,
	// and for how long. Defaults 10 and 10 s.
	Failures uint32
	OpenFor  time.Duration
}

func (o *Options) fill() {
	or(&o.Source, "/gateway")
	or(&o.Origin, "gateway")
	or(&o.Callbacks.Timeout, 10*time.Second)
	or(&o.Delivery.Backoff.Min, 500*time.Millisecond)
	or(&o.Delivery.Backoff.Max, 5*time.Minute)
	or(&o.Delivery.MaxAttempts, 10)
	or(&o.Delivery.MaxBatchBytes, 1<<20)
	or(&o.Delivery.Failures, 10)
	or(&o.Delivery.OpenFor, 10*time.Second)
	or(&o.MaxBody, 1<<20)
	or(&o.ReadTimeout, 10*time.Second)
	or(&o.Poll, 5*time.Second)
	or(&o.ScalingBacklog, 10_000)
	or(&o.Logger, slog.New(slog.DiscardHandler))
}

// or gives an option that is zero its default.
func or[T comparable](option *T, value T) {
	var zero T
	if *option == zero {
		*option = value
	}
}

// Gateway is an event bus over HTTP: an http.Handler that services push events
// to and subscribe at, and what delivers to them. It is safe for concurrent
// use; several gateways may share a store and a bus.
type Gateway struct {
	bus      *bus.Bus
	store    Store
	opts     Options
	log      *slog.Logger
	secrets  secrets
	root     string // hash of the root token, or ""
	client   *http.Client
	circuits circuits
	rates    rates
	mux      *http.ServeMux
	stats    counters
	events   tally // by topic, not yet in the store
	sent     tally // by subscriber, not yet in the store

	mu      sync.Mutex // one change of the workers at a time
	workers map[string]*worker
	closed  bool
	seen    atomic.Pointer[map[string]*worker] // workers, for those who only look

	stop context.CancelFunc
	done chan struct{}
}

// Open returns a gateway that delivers to everybody who is subscribed in the
// store. ctx bounds only the opening. End it with Shutdown, before the bus.
func Open(ctx context.Context, b *bus.Bus, store Store, opts *Options) (*Gateway, error) {
	g := &Gateway{bus: b, store: store, workers: map[string]*worker{}, done: make(chan struct{})}
	if opts != nil {
		g.opts = *opts
	}
	g.opts.fill()
	g.log = g.opts.Logger
	var err error
	if g.secrets, err = newSecrets(g.opts.Key); err != nil {
		return nil, err
	}
	if g.opts.RootToken != "" {
		g.root = g.secrets.hash(g.opts.RootToken)
	}
	g.client = g.opts.Callbacks.client()
	g.circuits = circuits{failures: g.opts.Delivery.Failures, openFor: g.opts.Delivery.OpenFor}
	g.rates = rates{perMinute: g.opts.AllowedRate}
	g.seen.Store(&map[string]*worker{})
	g.routes()
	if err := g.sync(ctx); err != nil {
		_ = g.end(ctx)
		return nil, fmt.Errorf("gateway: open: %w", err)
	}
	run, stop := context.WithCancel(context.Background())
	g.stop = stop
	go g.poll(run)
	return g, nil
}

// poll follows the store, and writes counts to it.
func (g *Gateway) poll(ctx context.Context) {
	defer close(g.done)
	tick := time.NewTicker(g.opts.Poll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := g.sync(ctx); err != nil && ctx.Err() == nil {
			g.log.Warn("the store can't be followed", "error", err)
		}
		g.flush(ctx)
	}
}

// sync has a worker for each subscription in the store.
func (g *Gateway) sync(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	// The list is read inside of the lock, or an older one could undo a newer.
	subs, err := g.store.Subscriptions(ctx)
	if err != nil {
		return err
	}
	var errs []error
	wanted := make(map[string]bool, len(subs))
	for _, s := range subs {
		wanted[s.Subscriber] = true
		errs = append(errs, g.apply(ctx, s))
	}
	for id := range g.workers {
		if !wanted[id] {
			errs = append(errs, g.dismiss(ctx, id))
		}
	}
	return errors.Join(errs...)
}

// refresh brings one subscriber's worker to what the store says, after the
// subscriber changed it.
func (g *Gateway) refresh(ctx context.Context, subscriber string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	s, err := g.store.Subscription(ctx, subscriber)
	if errors.Is(err, fs.ErrNotExist) {
		return g.dismiss(ctx, subscriber)
	}
	if err != nil {
		return err
	}
	// What was changed may be the cure, for all who wait for that host.
	if u, err := url.Parse(s.Callback); err == nil {
		g.circuits.forget(u.Host)
	}
	return g.apply(ctx, s)
}

// apply makes or changes a worker; g.mu is held.
func (g *Gateway) apply(ctx context.Context, s Subscription) error {
	if g.closed {
		return bus.ErrClosed
	}
	w := g.workers[s.Subscriber]
	if w == nil {
		w = newWorker(g, s)
		g.workers[s.Subscriber] = w
		g.show()
	}
	return w.change(ctx, s)
}

// dismiss ends a worker and takes its queues away; g.mu is held.
func (g *Gateway) dismiss(ctx context.Context, subscriber string) error {
	w := g.workers[subscriber]
	if w == nil {
		return nil
	}
	delete(g.workers, subscriber)
	g.show()
	return w.end(ctx, true)
}

// show publishes the workers to those who only look; g.mu is held.
func (g *Gateway) show() {
	copied := maps.Clone(g.workers)
	g.seen.Store(&copied)
}

// Shutdown ends deliveries: requests under way may finish until ctx ends, what
// isn't acknowledged stays queued at the bus. Requests to the gateway are the
// http.Server's to end, first. Shutdown may be called twice.
func (g *Gateway) Shutdown(ctx context.Context) error {
	g.stop()
	select {
	case <-g.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	return g.end(ctx)
}

func (g *Gateway) end(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	errs := make([]error, 0, len(g.workers))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for id, w := range g.workers {
		delete(g.workers, id)
		wg.Go(func() {
			err := w.end(ctx, false)
			mu.Lock()
			errs = append(errs, err)
			mu.Unlock()
		})
	}
	wg.Wait()
	g.show()
	g.flush(ctx)
	g.client.CloseIdleConnections()
	return errors.Join(errs...)
}

// flush writes what was counted since to the store. What can't be written is
// kept for the next time.
func (g *Gateway) flush(ctx context.Context) {
	g.events.flush(func(name string, n int64) error { return g.store.CountEvents(ctx, name, n) })
	g.sent.flush(func(name string, n int64) error { return g.store.CountSent(ctx, name, n) })
}
