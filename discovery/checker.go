package discovery

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/goswale/swale/discovery/driver"
)

// Checker asks every registered instance whether it is there. A lease only says
// that a process renews it; an instance that does so and doesn't answer is shown
// as failing, and after a while removed. One checker is enough for a registry;
// several do no harm, and what one of them says ends with it.
type Checker struct {
	registry *Registry
	opts     CheckerOptions
	log      *slog.Logger
	owner    string
	feed     *feed
	checks   map[driver.Key]*check
}

// CheckerOptions are the options of NewChecker. The zero value is useful.
type CheckerOptions struct {
	// Name is how marks name this checker. Default "checker".
	Name string
	// Probe asks an instance. Default: ProbeHTTP(nil).
	Probe func(context.Context, *Instance) error
	// Interval is the time between two rounds. Default 10 s.
	Interval time.Duration
	// Timeout bounds one probe. Default 2 s.
	Timeout time.Duration
	// Failures in a row make an instance failing. Default 2.
	Failures int
	// RemoveAfter is how long it fails until it is removed. Default 30 s.
	RemoveAfter time.Duration
	// Hidden is how long a removed instance that hasn't registered again may
	// still come back hidden. Default 2 min.
	Hidden time.Duration
	// Concurrency bounds the probes under way. Default 32.
	Concurrency int
	// Doubt is the share of all instances that have to fail at once for the
	// checker to believe that it is the one who is cut off: then it marks nobody.
	// It takes three instances at least. Default 0.5.
	Doubt float64
	// OnChange is told when the checker marks, removes or clears an instance. It
	// must not block.
	OnChange func(instance Instance, health Health, removed bool)
}

// check is what the checker knows of one instance.
type check struct {
	instance Instance
	failures int       // in a row
	since    time.Time // the first of them
	err      error     // the last of them
	marked   bool
	removed  time.Time // zero if it isn't
}

// NewChecker returns a checker of all the registry's instances. nil is fine for
// opts; without a registry it panics.
func NewChecker(r *Registry, opts *CheckerOptions) *Checker {
	if r == nil {
		panic("discovery: NewChecker: the *Registry is nil") //nolint:forbidigo // programmer error
	}
	c := &Checker{registry: r, log: r.log, owner: rand.Text(), checks: make(map[driver.Key]*check)}
	if opts != nil {
		c.opts = *opts
	}
	o := &c.opts
	if o.Name == "" {
		o.Name = "checker"
	}
	if o.Probe == nil {
		o.Probe = ProbeHTTP(nil)
	}
	if o.Interval <= 0 {
		o.Interval = 10 * time.Second
	}
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Second
	}
	if o.Failures <= 0 {
		o.Failures = 2
	}
	if o.RemoveAfter <= 0 {
		o.RemoveAfter = 30 * time.Second
	}
	if o.Hidden <= 0 {
		o.Hidden = 2 * time.Minute
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 32
	}
	if o.Doubt <= 0 {
		o.Doubt = 0.5
	}
	c.feed = newFeed(r, "", nil)
	return c
}

// Run checks until ctx ends, and then returns its error. It is called once.
func (c *Checker) Run(ctx context.Context) error {
	watch, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var err error
	wg.Go(func() {
		defer cancel()
		err = c.registry.watch(watch, "", c.feed)
	})
	ticker := time.NewTicker(c.opts.Interval)
	defer ticker.Stop()
	for watch.Err() == nil {
		select {
		case <-watch.Done():
		case <-ticker.C:
			c.round(watch)
		}
	}
	wg.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// round asks everybody and says what it found.
func (c *Checker) round(ctx context.Context) {
	if !c.collect() {
		return // it doesn't know who is registered
	}
	c.probe(ctx)
	if ctx.Err() != nil {
		return
	}
	doubt := c.doubtful()
	if doubt {
		c.log.Warn("discovery checker doubts itself: most instances don't answer")
	}
	for key, k := range c.checks {
		if err := c.judge(ctx, key, k, doubt); err != nil && ctx.Err() == nil {
			c.log.Warn("discovery mark not written", "service", key.Service, "instance", key.ID, "error", err)
		}
	}
}

// collect takes up those who are registered now.
func (c *Checker) collect() bool {
	c.feed.mu.Lock()
	defer c.feed.mu.Unlock()
	if !c.feed.view.Live {
		return false
	}
	for key, e := range c.feed.instances {
		if e.instance == nil {
			continue
		}
		k := c.checks[key]
		if k == nil {
			k = &check{}
			c.checks[key] = k
		}
		k.instance = *e.instance
	}
	now := time.Now()
	for key, k := range c.checks {
		if c.feed.instances[key] == nil && (k.removed.IsZero() || now.Sub(k.removed) > c.opts.Hidden) {
			delete(c.checks, key) // its mark, if any, ends by itself
		}
	}
	return true
}

// probe asks each instance.
func (c *Checker) probe(ctx context.Context) {
	now := time.Now()
	var wg sync.WaitGroup
	slots := make(chan struct{}, c.opts.Concurrency)
	for _, k := range c.checks {
		if k.instance.Health == Draining {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			bound, cancel := context.WithTimeout(ctx, c.opts.Timeout)
			defer cancel()
			if k.err = c.opts.Probe(bound, &k.instance); k.err == nil {
				k.failures = 0
				return
			}
			if k.failures == 0 {
				k.since = now
			}
			k.failures++
		})
	}
	wg.Wait()
}

// doubtful reports whether so many fail that it may be the checker's own fault.
func (c *Checker) doubtful() bool {
	failing := 0
	for _, k := range c.checks {
		if k.failures > 0 {
			failing++
		}
	}
	return len(c.checks) >= 3 && float64(failing) > c.opts.Doubt*float64(len(c.checks))
}

// judge writes, renews or lifts an instance's mark.
func (c *Checker) judge(ctx context.Context, key driver.Key, k *check, doubt bool) error {
	failing := k.failures >= c.opts.Failures
	switch {
	case k.failures == 0 && k.marked:
		return c.lift(ctx, key, k)
	case !failing || doubt && !k.marked:
		return nil
	}
	remove := !doubt && k.removed.IsZero() && time.Since(k.since) >= c.opts.RemoveAfter
	if err := c.mark(ctx, key, k, remove || !k.removed.IsZero()); err != nil {
		return err
	}
	if remove {
		// The mark is there first: when the process registers again it is hidden
		// until it answers.
		if err := c.call(ctx, func(ctx context.Context) error { return c.registry.driver.Delete(ctx, key, "") }); err != nil {
			return err
		}
		k.removed = time.Now()
		c.tell(k, Failing)
	}
	return nil
}

// mark says that an instance fails, for as long as the checker goes on saying so.
func (c *Checker) mark(ctx context.Context, key driver.Key, k *check, removed bool) error {
	key.Kind = driver.Marks
	value, err := c.registry.encode(key, mark{Removed: removed, Reason: "no answer: " + k.err.Error(), Since: k.since, By: c.opts.Name})
	if err != nil {
		return err
	}
	ttl := max(3*c.opts.Interval, c.registry.driver.Info().MinTTL)
	err = c.call(ctx, func(ctx context.Context) error {
		return c.registry.driver.Put(ctx, driver.Record{Key: key, Owner: c.owner, Value: value, TTL: ttl})
	})
	if errors.Is(err, driver.ErrTaken) {
		return nil // another checker says it already
	}
	if err == nil && !k.marked {
		k.marked = true
		c.tell(k, Failing)
	}
	return err
}

// lift takes a mark back.
func (c *Checker) lift(ctx context.Context, key driver.Key, k *check) error {
	key.Kind = driver.Marks
	if err := c.call(ctx, func(ctx context.Context) error { return c.registry.driver.Delete(ctx, key, c.owner) }); err != nil {
		return err
	}
	k.marked, k.removed = false, time.Time{}
	c.tell(k, Serving)
	return nil
}

func (c *Checker) call(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.registry.opts.CallTimeout)
	defer cancel()
	return call(ctx)
}

func (c *Checker) tell(k *check, health Health) {
	c.log.Info("discovery instance checked", "service", k.instance.Service, "instance", k.instance.ID, "health", string(health), "removed", !k.removed.IsZero())
	if c.opts.OnChange != nil {
		c.opts.OnChange(k.instance, health, !k.removed.IsZero())
	}
}

// HealthPath is the attribute that names the path ProbeHTTP asks for, instead of
// /healthz.
const HealthPath = "health-path"

// ProbeHTTP returns a Probe that sends a GET to the instance's health path, over
// the transport for the scheme of the first endpoint that has one. nil is "http"
// and "https" over http.DefaultTransport. Any answer below 500 counts.
func ProbeHTTP(transports map[string]http.RoundTripper) func(context.Context, *Instance) error {
	if transports == nil {
		transports = map[string]http.RoundTripper{"http": http.DefaultTransport, "https": http.DefaultTransport}
	}
	return func(ctx context.Context, i *Instance) error {
		for _, e := range i.Endpoints {
			if t := transports[e.Scheme]; t != nil {
				return probe(ctx, t, e, cmpOr(i.Attributes[HealthPath], "/healthz"))
			}
		}
		return nil // nothing that this probe can ask
	}
}

func probe(ctx context.Context, t http.RoundTripper, e Endpoint, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.Scheme+"://"+e.Address+path, nil)
	if err != nil {
		return err
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection can be kept
	_ = resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}
