package discovery

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// Resolver knows the instances of the services that are asked for, and picks one
// for each request. It is safe for concurrent use and wants Shutdown at the end,
// before its registry's.
type Resolver struct {
	registry *Registry
	opts     ResolverOptions
	subset   uint64 // the hash of opts.ID

	// services is copied when a service is added, so that a pick only reads.
	services atomic.Pointer[map[string]*service]

	mu     sync.Mutex
	closed bool
	ctx    context.Context
	cancel context.CancelFunc
	active sync.WaitGroup
	upkeep sync.Once
}

// ResolverOptions are the options of NewResolver. The zero value is useful.
type ResolverOptions struct {
	// Zone and Region are where the caller runs. Its own zone comes first, then
	// its region, then the rest. Default: all instances alike.
	Zone, Region string
	// Schemes are the endpoints that the caller can use, the preferred first.
	// Default http, https.
	Schemes []string
	// ID names the caller when it is given its subset of a large fleet. The
	// same ID gets the same subset. Default: random.
	ID string
	// SubsetSize is how many instances of a version one caller uses in its zone,
	// and how many elsewhere. Default 0, all of them. Fleets of hundreds called
	// by hundreds want 20 or so, or every caller holds connections to everybody.
	SubsetSize int
	// SlowStart is how long an instance that has just come gets less than its
	// share, from a tenth of it upwards. Default 10 s, negative is none.
	SlowStart time.Duration
	// SpillOver is how far an instance of another zone must be better than the
	// best found in the caller's own zone, in terms of load and latency, to be
	// used instead. Default 2. It only matters once requests queue.
	SpillOver float64
	// Breaker opens an instance's breaker.
	Breaker BreakerOptions
	// Outlier ejects instances that do worse than the others.
	Outlier OutlierOptions
	// Idle is how long a service that nobody asks for is watched. Default 10 min.
	Idle time.Duration
	// MaxServices bounds the services that are watched. Default 1024.
	MaxServices int
	// OnView is told of each new view of a service after it has taken effect. It
	// must not block.
	OnView func(View)
}

// BreakerOptions say when an instance is left alone because calls to it fail
// in a row. Nothing reaches an instance that can't be connected to until the
// breaker lets one request try.
type BreakerOptions struct {
	// Failures in a row open the breaker; a failure to connect does at once.
	// Default 5.
	Failures uint32
	// Pause is how long it is open until one request may try. Default 2 s.
	Pause time.Duration
}

// OutlierOptions say when an instance is left alone because it fails more than
// the others do.
type OutlierOptions struct {
	// Interval is the time over which requests are counted. Default 5 s.
	Interval time.Duration
	// MinRequests within Interval make an instance comparable. Default 10.
	MinRequests uint32
	// ErrorRate is the least that counts as bad, 0 to 1. Default 0.2.
	ErrorRate float64
	// Factor is how many times the error rate of the rest it must be. Default 3.
	Factor float64
	// MaxShare of the service's instances is ejected at a time, but at least one
	// may be if there are two. Default 0.3.
	MaxShare float64
	// Pause is how long the first ejection lasts; the n-th in a row lasts n times
	// as long, at most ten times. Default 10 s.
	Pause time.Duration
}

// ErrNoInstances is wrapped by the errors of picks that found nobody.
var ErrNoInstances = errors.New("no instance")

// NewResolver returns a resolver of the registry's instances. It watches a
// service from the first time that it is asked for. nil is fine for opts; without
// a registry it panics.
func NewResolver(r *Registry, opts *ResolverOptions) *Resolver {
	if r == nil {
		panic("discovery: NewResolver: the *Registry is nil; memdiscovery.New and the other drivers make one") //nolint:forbidigo // programmer error
	}
	res := &Resolver{registry: r}
	if opts != nil {
		res.opts = *opts
	}
	res.opts.defaults()
	res.subset = hash(0, res.opts.ID)
	res.services.Store(&map[string]*service{})
	res.ctx, res.cancel = context.WithCancel(context.Background())
	return res
}

func (o *ResolverOptions) defaults() {
	if len(o.Schemes) == 0 {
		o.Schemes = []string{"http", "https"}
	}
	if o.ID == "" {
		o.ID = rand.Text()
	}
	if o.SlowStart == 0 {
		o.SlowStart = 10 * time.Second
	}
	if o.SpillOver < 1 {
		o.SpillOver = 2
	}
	if o.Breaker.Failures == 0 {
		o.Breaker.Failures = 5
	}
	if o.Breaker.Pause <= 0 {
		o.Breaker.Pause = 2 * time.Second
	}
	if o.Idle <= 0 {
		o.Idle = 10 * time.Minute
	}
	if o.MaxServices <= 0 {
		o.MaxServices = 1024
	}
	o.Outlier.defaults()
}

func (o *OutlierOptions) defaults() {
	if o.Interval <= 0 {
		o.Interval = 5 * time.Second
	}
	if o.MinRequests == 0 {
		o.MinRequests = 10
	}
	if o.ErrorRate <= 0 {
		o.ErrorRate = 0.2
	}
	if o.Factor < 1 {
		o.Factor = 3
	}
	if o.MaxShare <= 0 {
		o.MaxShare = 0.3
	}
	if o.Pause <= 0 {
		o.Pause = 10 * time.Second
	}
}

// View returns the service's instances as they are known now, waiting for the
// first view until ctx ends. It says by View.Live and View.Staleness how current
// it is.
func (r *Resolver) View(ctx context.Context, name string) (View, error) {
	s, err := r.await(ctx, name)
	if err != nil {
		return View{}, err
	}
	return s.current(), nil
}

// Pick chooses an instance of the service; split and key are as a [Splitter]
// returns them, nil and "" are fine. It waits for nothing except, when the
// service is asked for the first time, the registry's answer. The caller calls
// Picked.Done exactly once, when it has finished with the instance. The error
// wraps [ErrNoInstances] when there is nobody to send to.
func (r *Resolver) Pick(ctx context.Context, name string, split *Split, key string) (Picked, error) {
	s := (*r.services.Load())[name]
	if s == nil || s.fleet.Load() == nil {
		var err error
		if s, err = r.await(ctx, name); err != nil {
			return Picked{}, err
		}
	}
	return s.pick(split, key, nil)
}

// await returns the service once it has a fleet.
func (r *Resolver) await(ctx context.Context, name string) (*service, error) {
	s, err := r.service(name)
	if err != nil {
		return nil, err
	}
	select {
	case <-s.ready:
		return s, nil
	default:
	}
	select {
	case <-s.ready:
		return s, nil
	case <-s.ended:
		return nil, fmt.Errorf("discovery: %s: %w", name, ErrClosed)
	case <-ctx.Done():
		err := s.current().Err
		if err == nil {
			err = errors.New("the registry hasn't answered")
		}
		return nil, fmt.Errorf("discovery: %s: %w is known: %w: %w", name, ErrNoInstances, err, ctx.Err())
	}
}

// service returns the service, and begins to watch it.
func (r *Resolver) service(name string) (*service, error) {
	if s := (*r.services.Load())[name]; s != nil {
		return s, nil
	}
	if !ValidService(name) {
		return nil, fmt.Errorf("discovery: %w: %q is no service's name", ErrInvalidInstance, name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := *r.services.Load()
	if s := old[name]; s != nil {
		return s, nil
	}
	switch {
	case r.closed:
		return nil, ErrClosed
	case len(old) >= r.opts.MaxServices:
		return nil, fmt.Errorf("discovery: %s: %d services are watched already (ResolverOptions.MaxServices)", name, len(old))
	}
	s := newService(r, name)
	next := maps.Clone(old)
	next[name] = s
	r.services.Store(&next)
	r.active.Go(s.run)
	r.upkeep.Do(func() { r.active.Go(r.keepUp) })
	return s, nil
}

// forget ends the watch of a service that nobody asks for.
func (r *Resolver) forget(s *service) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := maps.Clone(*r.services.Load())
	delete(next, s.name)
	r.services.Store(&next)
	s.cancel()
}

// Shutdown ends all watches and returns after the last goroutine. Requests under
// way are left alone; new ones fail. Twice is fine.
func (r *Resolver) Shutdown(context.Context) error {
	r.mu.Lock()
	r.closed = true
	all := *r.services.Load()
	r.services.Store(&map[string]*service{})
	r.mu.Unlock()
	r.cancel()
	r.active.Wait()
	for _, s := range all {
		s.close()
	}
	return nil
}
