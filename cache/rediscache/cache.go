package rediscache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Options configures a [Cache]. The zero value, and nil, are useful.
type Options struct {
	// Prefix goes before every key. Default "swale:". Programs that may not
	// read each other's responses need different ones, or better a Redis each.
	Prefix string

	// TTL is how long Redis keeps what was stored and not stored again. Default
	// 24 hours; negative means until Redis evicts it.
	TTL time.Duration

	// Timeout bounds one command, waiting for a connection included. Default
	// 100 ms. For New it binds only if the client was made with
	// ContextTimeoutEnabled.
	Timeout time.Duration

	// MaxValueBytes bounds one value: all variants of a URI together. A longer
	// one isn't stored, and isn't taken when somebody else did. Default 8 MiB.
	MaxValueBytes int

	// Pause is how long Redis isn't asked after three failures in a row.
	// Default one second; negative means that it is always asked.
	Pause time.Duration

	// Logger hears when Redis begins to fail and when it works again. Default:
	// nothing is logged.
	Logger *slog.Logger
}

// failures in a row after which Redis is left alone.
const maxFailures = 3

// Cache keeps responses in Redis. It has the method set of
// github.com/gregjones/httpcache.Cache, which is that of cache.Backing, and is
// safe for concurrent use. Make one with [Open] or [New].
type Cache struct {
	client  commands
	close   func() error // nil if the client is somebody else's
	prefix  string
	ttl     time.Duration
	timeout time.Duration
	max     int
	pause   time.Duration
	logger  *slog.Logger

	failures atomic.Int32 // in a row
	until    atomic.Int64 // not asked before, Unix nanoseconds
	counts   counters
}

// commands is what is used of a client.
type commands interface {
	GetRange(ctx context.Context, key string, start, end int64) *redis.StringCmd
	Set(ctx context.Context, key string, value any, expiration time.Duration) *redis.StatusCmd
	Del(ctx context.Context, keys ...string) *redis.IntCmd
}

// New returns a cache on a client that stays the caller's: one server, a
// cluster or a ring.
func New(client redis.Cmdable, opts *Options) *Cache {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	o.setDefaults()
	return &Cache{
		client: client, prefix: o.Prefix, ttl: max(o.TTL, 0), timeout: o.Timeout,
		max: o.MaxValueBytes, pause: o.Pause, logger: o.Logger,
	}
}

// Open returns a cache on a client of its own, whose timeouts are those of the
// options. url is like "redis://user:password@localhost:6379/0", or rediss with
// TLS. It doesn't connect: a Redis that is away now may be there later. The
// error is about the URL.
func Open(url string, opts *Options) (*Cache, error) {
	ro, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("rediscache: %w", err)
	}
	o := Options{}
	if opts != nil {
		o = *opts
	}
	o.setDefaults()
	ro.ContextTimeoutEnabled = true
	ro.DialTimeout, ro.ReadTimeout, ro.WriteTimeout, ro.PoolTimeout = o.Timeout, o.Timeout, o.Timeout, o.Timeout
	ro.MaxRetries = -1 // a second try is worth less than an answer in time
	client := redis.NewClient(ro)
	c := New(client, &o)
	c.close = client.Close
	return c, nil
}

func (o *Options) setDefaults() {
	if o.Prefix == "" {
		o.Prefix = "swale:"
	}
	if o.TTL == 0 {
		o.TTL = 24 * time.Hour
	}
	if o.Timeout <= 0 {
		o.Timeout = 100 * time.Millisecond
	}
	if o.MaxValueBytes <= 0 {
		o.MaxValueBytes = 8 << 20
	}
	if o.Pause == 0 {
		o.Pause = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Get returns what is stored under key. It reports false for nothing, for too
// much, and for every error.
func (c *Cache) Get(key string) (value []byte, ok bool) {
	c.counts.gets.Add(1)
	var text string
	if !c.do("get", func(ctx context.Context) (err error) {
		// One byte more than is wanted tells too much from enough.
		text, err = c.client.GetRange(ctx, c.prefix+key, 0, int64(c.max)).Result()
		return err
	}) || text == "" {
		return nil, false
	}
	if len(text) > c.max {
		c.counts.tooLarge.Add(1)
		return nil, false
	}
	c.counts.hits.Add(1)
	return []byte(text), true
}

// Set stores value under key. A value over the limit takes away what was
// stored before.
func (c *Cache) Set(key string, value []byte) {
	if len(value) > c.max {
		c.counts.tooLarge.Add(1)
		c.Delete(key)
		return
	}
	c.counts.sets.Add(1)
	c.do("set", func(ctx context.Context) error {
		return c.client.Set(ctx, c.prefix+key, value, c.ttl).Err()
	})
}

// Delete removes key.
func (c *Cache) Delete(key string) {
	c.counts.deletes.Add(1)
	c.do("delete", func(ctx context.Context) error {
		return c.client.Del(ctx, c.prefix+key).Err()
	})
}

// Close closes the client that [Open] made. After [New] it does nothing.
func (c *Cache) Close() error {
	if c.close == nil {
		return nil
	}
	return c.close()
}

// do runs one command, unless Redis is being left alone. It reports whether it
// succeeded.
func (c *Cache) do(name string, command func(ctx context.Context) error) bool {
	if until := c.until.Load(); until != 0 && time.Now().UnixNano() < until {
		c.counts.skipped.Add(1)
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	err := command(ctx)
	if err == nil || errors.Is(err, redis.Nil) {
		if c.failures.Swap(0) >= maxFailures {
			c.until.Store(0)
			c.logger.Info("rediscache: Redis works again")
		}
		return err == nil
	}
	c.counts.errors.Add(1)
	n := c.failures.Add(1)
	if n == maxFailures {
		c.logger.Warn("rediscache: Redis fails; responses come from their origins", "command", name, "error", err)
	}
	if n >= maxFailures && c.pause > 0 {
		c.until.Store(time.Now().Add(c.pause).UnixNano())
	}
	return false
}
