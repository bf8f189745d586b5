package console

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/binding"
)

// AdminAttribute is the attribute of an instance that holds the URL of its admin
// port.
const AdminAttribute = "admin"

// Options configure a Console. The zero value and nil are useful.
type Options struct {
	// Title is the page's head. Default: "Console".
	Title string
	// Links lead to other pages of the system.
	Links []Link
	// Bindings are those in use, and why others are refused. Default: none are
	// shown.
	Bindings func() (inUse []binding.Revision, refused map[string]error)
	// Every is how often instances are asked. Default: a second.
	Every time.Duration
	// Transport reaches admin ports. Default: one of its own.
	Transport http.RoundTripper
	// Logger. Default: nothing is logged.
	Logger *slog.Logger
}

// Link is a page of the system.
type Link struct{ Title, URL string }

// Console is the page as an http.Handler. It is safe for concurrent use.
type Console struct {
	opts     Options
	registry *discovery.Registry
	probe    *probe
	feed     *feed
	view     *view
	known    atomic.Pointer[discovery.View]

	mu      sync.Mutex
	history map[string]*history // by instance
}

// New returns the console of the services in a registry. It hears notices over b;
// both stay the caller's to close. The page is empty until [Console.Run].
func New(registry *discovery.Registry, b *bus.Bus, opts *Options) *Console {
	c := &Console{registry: registry, view: newView(), history: make(map[string]*history)}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.Title == "" {
		c.opts.Title = "Console"
	}
	if c.opts.Every <= 0 {
		c.opts.Every = time.Second
	}
	if c.opts.Logger == nil {
		c.opts.Logger = slog.New(slog.DiscardHandler)
	}
	c.probe = newProbe(c.opts.Transport)
	c.feed = newFeed(b)
	return c
}

// Run keeps the page current until ctx ends.
func (c *Console) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	watched := make(chan error, 1)
	go func() {
		defer stop() // what ends ends all of it
		watched <- c.registry.Watch(ctx, "", func(v discovery.View) { c.known.Store(&v) })
	}()
	for tick := time.NewTicker(c.opts.Every); ctx.Err() == nil; {
		c.look(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
		}
	}
	stop()
	c.probe.close()
	err := errors.Join(<-watched, c.feed.close(context.WithoutCancel(ctx)))
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// look asks all instances, and forgets those that are gone.
func (c *Console) look(ctx context.Context) {
	known := c.known.Load()
	if known == nil {
		return
	}
	said := c.probe.all(ctx, known.Instances)
	c.mu.Lock()
	for id := range c.history {
		if _, ok := said[id]; !ok {
			delete(c.history, id)
		}
	}
	for id, s := range said {
		if c.history[id] == nil {
			c.history[id] = new(history)
		}
		c.history[id].add(s)
	}
	c.mu.Unlock()
	for _, s := range said {
		for _, topic := range s.topics() {
			if err := c.feed.follow(ctx, topic); err != nil {
				c.opts.Logger.WarnContext(ctx, "notices can't be heard; the console tries again", "topic", topic, "error", err)
			}
		}
	}
}

// ServeHTTP serves the page and what belongs to it.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.view.serve(w, r, c.scene)
}
