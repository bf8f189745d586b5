package discovery

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/goswale/swale/discovery/driver"
)

// RegisterOptions are the options of Register. The zero value is useful.
type RegisterOptions struct {
	// TTL is how long the registration outlives the last renewal, in other words
	// how soon a dead process is forgotten. Default 15 s; at least what the store
	// can keep.
	TTL time.Duration
	// Renew is the time between renewals. Default a third of TTL.
	Renew time.Duration
	// GiveUp is how long a process bears to be unregistered: when no write has
	// succeeded for that long, OnGiveUp is called. Default 2 min.
	GiveUp time.Duration
	// OnGiveUp tells the owner of the process to stop it. It is called once for
	// each such time, from the goroutine that goes on trying, so it must not
	// block or call Deregister.
	OnGiveUp func(err error)
	// OnChange is told when the state changes. It is called from the same
	// goroutine, and from Update's.
	OnChange func(RegistrationState)
}

// RegistrationState is what an instance knows about its registration.
type RegistrationState struct {
	// Registered says that the last write reached the store.
	Registered bool
	// Since is when the last write did.
	Since time.Time
	// Err is why the last one didn't.
	Err error
	// Again counts how often the instance had to register anew because its
	// lease had ended or somebody had removed it.
	Again int
}

// Registration keeps one instance registered until Deregister. Its methods are
// safe for concurrent use.
type Registration struct {
	registry *Registry
	opts     RegisterOptions
	ttl      time.Duration
	owner    string

	write   chan struct{} // held while the store is written
	changed chan struct{} // Update failed: the loop puts it
	cancel  context.CancelFunc
	ended   chan struct{} // the loop has returned

	mu       sync.Mutex
	instance Instance
	state    RegistrationState
	put      bool      // the record has to be put, not only renewed
	proven   time.Time // when it was put last
	over     bool      // deregistered
}

// Register makes the instance known, and keeps it known by renewing its lease,
// and by registering anew when the lease was lost, until Deregister. It returns
// when the store has the instance, trying with backoff for as long as ctx lets
// it. nil is fine for opts.
//
// The error wraps [ErrInvalidInstance] or [driver.ErrDenied] when trying again is
// no use, and [driver.ErrTaken] when ctx ended while another process had the ID.
func (r *Registry) Register(ctx context.Context, instance Instance, opts *RegisterOptions) (*Registration, error) {
	g := &Registration{
		registry: r, owner: rand.Text(), put: true, instance: instance.clone(),
		write: make(chan struct{}, 1), changed: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	if opts != nil {
		g.opts = *opts
	}
	if err := g.defaults(); err != nil {
		return nil, err
	}
	ctx, leave, err := r.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for failures := 0; ; failures++ {
		if err = g.beat(ctx); err == nil {
			break
		}
		r.log.Warn("discovery registration failed", "instance", g.instance.key().String(), "error", err)
		if errors.Is(err, driver.ErrDenied) || wait(ctx, r.opts.Backoff.delay(failures)) != nil {
			return nil, errors.Join(fmt.Errorf("discovery: register %s: %w", g.instance.key(), err), ctx.Err())
		}
	}
	return g, g.start(r)
}

func (g *Registration) defaults() error {
	o := &g.opts
	if o.TTL <= 0 {
		o.TTL = 15 * time.Second
	}
	g.ttl = max(o.TTL, g.registry.driver.Info().MinTTL)
	if o.Renew <= 0 || o.Renew >= g.ttl {
		o.Renew = g.ttl / 3
	}
	if o.GiveUp <= 0 {
		o.GiveUp = 2 * time.Minute
	}
	i := &g.instance
	if i.ID == "" {
		i.ID = strings.ToLower(rand.Text()[:16])
	}
	if i.Started.IsZero() {
		i.Started = time.Now()
	}
	i.Started = i.Started.UTC().Truncate(time.Millisecond)
	if i.Health == "" {
		i.Health = Serving
	}
	return i.Validate()
}

func (g *Registration) start(r *Registry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		// Shutdown has begun and doesn't know of this one.
		return errors.Join(ErrClosed, r.driver.Delete(r.ctx, g.instance.key(), g.owner))
	}
	r.open[g] = struct{}{}
	var ctx context.Context
	ctx, g.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(g.ended)
		g.run(ctx)
	}()
	return nil
}

// Instance returns the instance as it is registered.
func (g *Registration) Instance() Instance {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.instance.clone()
}

// State returns what is known about the registration.
func (g *Registration) State() RegistrationState {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state
}

// SetHealth changes the instance's health. See Update.
func (g *Registration) SetHealth(ctx context.Context, health Health, reason string) error {
	return g.Update(ctx, func(i *Instance) { i.Health, i.Reason = health, reason })
}

// Update changes what the instance says of itself, except its service and ID,
// and returns when the store has it. If that fails the change stands all the
// same and goes to the store with the next write that succeeds.
func (g *Registration) Update(ctx context.Context, change func(*Instance)) error {
	g.mu.Lock()
	if g.over {
		g.mu.Unlock()
		return fmt.Errorf("discovery: update %s: %w", g.instance.key(), ErrClosed)
	}
	next := g.instance.clone()
	change(&next)
	next.Service, next.ID = g.instance.Service, g.instance.ID
	if err := next.Validate(); err != nil {
		g.mu.Unlock()
		return err
	}
	g.instance, g.put = next, true
	g.mu.Unlock()
	if err := g.beat(ctx); err != nil {
		select {
		case g.changed <- struct{}{}:
		default:
		}
		return fmt.Errorf("discovery: update %s: %w", next.key(), err)
	}
	return nil
}

// Deregister ends the registration: the instance disappears from the registry,
// and callers send nothing new. It tries with backoff until ctx or the lease
// ends; an error means that the record may have stayed until the lease's end. Requests
// under way, and those of callers that haven't heard yet, still arrive: go on
// serving for a moment. Twice is fine.
func (g *Registration) Deregister(ctx context.Context) error {
	g.mu.Lock()
	was := g.over
	g.over = true
	g.mu.Unlock()
	g.cancel()
	<-g.ended
	r := g.registry
	r.mu.Lock()
	delete(r.open, g)
	r.mu.Unlock()
	if was {
		return nil
	}
	key := g.instance.key()
	for failures := 0; ; failures++ {
		err := g.locked(ctx, func(ctx context.Context) error { return r.driver.Delete(ctx, key, g.owner) })
		if err == nil {
			g.note(nil, func(s *RegistrationState) { s.Registered = false })
			return nil
		}
		ended := time.Since(g.State().Since) > g.ttl // by itself, if the store counts at all
		if ended || errors.Is(err, driver.ErrDenied) || wait(ctx, r.opts.Backoff.delay(failures)) != nil {
			return fmt.Errorf("discovery: deregister %s: %w", key, err)
		}
	}
}

// run renews until ctx ends.
func (g *Registration) run(ctx context.Context) {
	next, failures, gaveUp := g.pause(), 0, false
	for {
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-g.changed:
			timer.Stop()
		case <-timer.C:
		}
		err := g.beat(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			next, failures, gaveUp = g.pause(), 0, false
			continue
		case errors.Is(err, driver.ErrGone) && failures == 0:
			next, failures = 0, 1 // the record has to be put again, at once
			continue
		}
		unregistered := time.Since(g.State().Since)
		g.registry.log.Warn("discovery registration failed", "instance", g.instance.key().String(), "for", unregistered, "error", err)
		if unregistered >= g.opts.GiveUp && !gaveUp {
			gaveUp = true
			if g.opts.OnGiveUp != nil {
				g.opts.OnGiveUp(fmt.Errorf("discovery: %s could not register for %v: %w", g.instance.key(), unregistered, err))
			}
		}
		next = min(g.registry.opts.Backoff.delay(failures), g.opts.Renew)
		if left := g.opts.GiveUp - unregistered; !gaveUp && left < next {
			next = max(left, 0)
		}
		failures++
	}
}

// pause is the time to the next renewal, with jitter, so that instances that
// started together don't renew together.
func (g *Registration) pause() time.Duration {
	return g.opts.Renew - mathrand.N(g.opts.Renew/10+1)
}

// beat puts or renews the record.
func (g *Registration) beat(ctx context.Context) error {
	return g.locked(ctx, func(ctx context.Context) error {
		g.mu.Lock()
		window := g.registry.opts.ProofWindow
		put, instance, over := g.put || g.registry.opts.Sign != nil && time.Since(g.proven) >= window/3, g.instance, g.over
		g.put = false
		g.mu.Unlock()
		if over {
			return ErrClosed
		}
		key := instance.key()
		var err error
		if put {
			var value []byte
			if value, err = g.registry.encode(key, instance); err == nil {
				err = g.registry.driver.Put(ctx, driver.Record{Key: key, Owner: g.owner, Value: value, TTL: g.ttl})
			}
		} else {
			err = g.registry.driver.Renew(ctx, key, g.owner)
		}
		gone := errors.Is(err, driver.ErrGone)
		if err != nil && (put || gone) {
			g.mu.Lock()
			g.put = true
			g.mu.Unlock()
		}
		g.note(err, func(s *RegistrationState) {
			if s.Registered = err == nil; s.Registered {
				s.Since = time.Now()
				if put {
					g.proven = s.Since
				}
			}
			if gone {
				s.Again++
			}
		})
		return err
	})
}

// locked calls the store, one call at a time, with a bound on its time.
func (g *Registration) locked(ctx context.Context, call func(context.Context) error) error {
	select {
	case g.write <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-g.write }()
	ctx, cancel := context.WithTimeout(ctx, g.registry.opts.CallTimeout)
	defer cancel()
	return call(ctx)
}

// note changes the state and tells whoever wants to know.
func (g *Registration) note(err error, change func(*RegistrationState)) {
	g.mu.Lock()
	before := g.state
	change(&g.state)
	g.state.Err = err
	now := g.state
	g.mu.Unlock()
	if g.opts.OnChange != nil && (before.Registered != now.Registered || before.Again != now.Again) {
		g.opts.OnChange(now)
	}
}
