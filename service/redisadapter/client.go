package redisadapter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/goswale/swale/configsvc"
)

// ErrNoConfig is returned by commands of a Client that has had no configuration yet.
var ErrNoConfig = errors.New("redisadapter: there is no configuration of the Redis yet")

// Options are the options of New and Open. The zero value and nil are useful.
type Options struct {
	// Recheck is called when a connection can't be opened, which may be because the
	// configuration is not the newest any more: it is to call Use if it is not.
	// Open sets it to configsvc.Watcher.Recheck. Default: nobody is asked.
	Recheck func(context.Context) error
	// Logger hears of changes. Default: nothing is logged.
	Logger *slog.Logger
}

// Client is a redis.UniversalClient that follows its configuration. It is safe for
// concurrent use. End it with Close.
type Client struct {
	redis.Cmdable // front: whatever it is asked comes to run

	front   *redis.Client // has connections for subscriptions only
	opts    Options
	current atomic.Pointer[generation]
	watcher *configsvc.Watcher[Config] // nil where others watch

	mu            sync.Mutex // one change at a time
	old           []*generation
	hooks         []redis.Hook
	subscriptions map[*socket]bool
	closed        bool
}

var _ redis.UniversalClient = (*Client)(nil)

// New returns a client without a configuration, for those who watch one themselves,
// of which the Redis's is a part: Try is to be asked by configsvc.WatchOptions.Try,
// and Use to be called for the first one and each change.
func New(opts *Options) *Client {
	c := &Client{subscriptions: map[*socket]bool{}}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.Logger == nil {
		c.opts.Logger = slog.New(slog.DiscardHandler)
	}
	c.front = redis.NewClient(&redis.Options{
		Addr: "of the configuration", Dialer: c.dial, CredentialsProviderContext: c.credentials,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	c.front.AddHook(route{c})
	c.Cmdable = c.front
	return c
}

// Open returns a client that follows what is compiled from the keys. It returns when
// it has a configuration that works, or the last good copy of one; see
// [configsvc.WatchWith]. ctx bounds only that.
func Open(ctx context.Context, client *configsvc.Client, keys []string, opts *Options) (*Client, error) {
	c := New(opts)
	w, err := configsvc.Follow(ctx, client, keys,
		func(ctx context.Context, next *Config) error { return c.Try(ctx, *next) },
		func(next *Config) error { return c.use(*next) })
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("redisadapter: %w", err)
	}
	c.watcher, c.opts.Recheck = w, w.Recheck
	return c, nil
}

// Try says what is wrong with a configuration: it connects as that says, and sends a
// PING. When the server doesn't answer or refuses, the error wraps
// [configsvc.ErrNotYet]. No error tells the password.
func (c *Client) Try(ctx context.Context, next Config) error {
	if err := next.Validate(); err != nil {
		return err
	}
	if g := c.current.Load(); g != nil && g.config.samePlace(next) && g.config.Password == next.Password {
		return nil
	}
	opts, err := next.options()
	if err != nil {
		return err
	}
	opts.MaxRetries = -1
	candidate := redis.NewClient(opts)
	defer func() { _ = candidate.Close() }()
	ctx, cancel := context.WithTimeout(ctx, opts.DialTimeout+opts.ReadTimeout)
	defer cancel()
	if err := candidate.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("%w: %w", configsvc.ErrNotYet, next.Password.Hide(err))
	}
	return nil
}

// Use puts a configuration into force, without trying it: each command that begins
// from now on is one of it. The error says that nothing can be made of it; then the
// one before stays.
func (c *Client) Use(next Config) error {
	if err := c.use(next); err != nil {
		return fmt.Errorf("redisadapter: %w", err)
	}
	return nil
}

func (c *Client) use(next Config) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return redis.ErrClosed
	}
	if err := next.Validate(); err != nil {
		return err
	}
	before := c.current.Load()
	if before != nil && before.config == next {
		return nil
	}
	opts, err := next.options()
	if err != nil {
		return err
	}
	g := &generation{config: next, opts: opts, client: redis.NewClient(opts), since: time.Now()}
	for _, h := range c.hooks {
		g.client.AddHook(h)
	}
	c.current.Store(g)
	if before == nil {
		return nil
	}
	c.opts.Logger.Info("redis: the connections change over", "to", next.place(), "user", next.User, "same_place", next.samePlace(before.config))
	before.retire()
	c.old = append(slices.DeleteFunc(c.old, func(g *generation) bool { return g.open() == 0 }), before)
	if next.samePlace(before.config) {
		return nil
	}
	for _, old := range c.old {
		switch drain := time.Duration(next.Drain); {
		case drain <= 0:
			old.close()
		case old.end == nil:
			old.end = time.AfterFunc(drain, old.close)
		}
	}
	for s := range c.subscriptions { // they are made again, at the new place
		_ = s.Conn.Close()
	}
	return nil
}

// acquire returns the generation that is in force; the caller leaves it.
func (c *Client) acquire() (*generation, error) {
	for {
		g := c.current.Load()
		if g == nil {
			return nil, ErrNoConfig
		}
		if g.enter() {
			return g, nil
		}
		if c.current.Load() == g {
			return nil, redis.ErrClosed
		}
	}
}

// Refresh asks for the configuration now, which otherwise comes by itself. When it
// returns nil, the newest is in force. Only a client of Open can do it.
func (c *Client) Refresh(ctx context.Context) error {
	if c.watcher == nil {
		return fmt.Errorf("redisadapter: somebody else watches the configuration: %w", errors.ErrUnsupported)
	}
	return c.watcher.Refresh(ctx)
}

// Check says what is wrong with the Redis: for service.Service.Check.
func (c *Client) Check(ctx context.Context) error { return c.Ping(ctx).Err() }

// Close ends the watcher and all connections, as that of a redis.Client does.
func (c *Client) Close() error {
	if c.watcher != nil {
		c.watcher.Close() // first, and without the lock: a callback may wait for it
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		for _, g := range c.old {
			if g.end != nil {
				g.end.Stop()
			}
			g.close()
		}
		if g := c.current.Load(); g != nil {
			g.retire()
			g.close()
		}
	}
	return c.front.Close()
}
