package redislimit

import (
	"context"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/goswale/swale/discovery/rules/throttle"
)

// Options configure New. The zero value and nil are useful.
type Options struct {
	// Prefix goes before every key. Default: "swale:throttle:".
	Prefix string
	// Timeout bounds one call. Default: 50 ms.
	Timeout time.Duration
	// Pause is how long Redis isn't asked after a failure. Default: a second.
	Pause time.Duration
	// Fallback counts while Redis is gone. Default: a throttle.Local.
	Fallback throttle.Limiter
	// Logger hears when Redis begins to fail and when it is back. Default:
	// nothing is logged.
	Logger *slog.Logger
}

// Limiter is a throttle.Limiter whose buckets are in Redis. It is safe for
// concurrent use.
type Limiter struct {
	client  redis.Scripter
	opts    Options
	script  *redis.Script
	until   atomic.Int64 // not asked before, in Unix nanoseconds
	failing atomic.Bool
	asked   atomic.Uint64
	fell    atomic.Uint64
}

// Stats is what a Limiter did.
type Stats struct {
	Asked    uint64 // calls that Redis answered
	FellBack uint64 // calls that the fallback counted
}

// source is the bucket: KEYS[1], what one token takes and what a full bucket
// takes, in microseconds. It returns how long to wait, 0 if there is a token.
const source = `
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local full = tonumber(redis.call('GET', KEYS[1]) or '0')
if full < now then full = now end
full = full + tonumber(ARGV[1])
local wait = full - now - tonumber(ARGV[2])
if wait > 0 then return math.ceil(wait) end
redis.call('SET', KEYS[1], string.format('%.3f', full), 'PX', math.ceil((full - now) / 1000) + 1)
return 0`

// New returns a limiter on a client that stays the caller's: one server, a
// cluster or a ring. It panics without one.
func New(client redis.Scripter, opts *Options) *Limiter {
	if client == nil {
		panic("redislimit: New: the client is nil") //nolint:forbidigo // programmer error
	}
	l := &Limiter{client: client, script: redis.NewScript(source)}
	if opts != nil {
		l.opts = *opts
	}
	if l.opts.Prefix == "" {
		l.opts.Prefix = "swale:throttle:"
	}
	if l.opts.Timeout <= 0 {
		l.opts.Timeout = 50 * time.Millisecond
	}
	if l.opts.Pause <= 0 {
		l.opts.Pause = time.Second
	}
	if l.opts.Fallback == nil {
		l.opts.Fallback = throttle.NewLocal(nil)
	}
	if l.opts.Logger == nil {
		l.opts.Logger = slog.New(slog.DiscardHandler)
	}
	return l
}

// Take takes a token from the key's bucket, if there is one. Its error is that
// of ctx, or the fallback's.
func (l *Limiter) Take(ctx context.Context, key string, limit throttle.Limit) (throttle.Verdict, error) {
	if time.Now().UnixNano() < l.until.Load() {
		return l.fallBack(ctx, key, limit)
	}
	one, all := limit.Fill()
	inner, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	wait, err := l.script.Run(inner, l.client, []string{l.opts.Prefix + key}, micros(one), micros(all)).Int64()
	if err == nil {
		l.asked.Add(1)
		if l.failing.CompareAndSwap(true, false) {
			l.opts.Logger.Info("redislimit: Redis is back")
		}
		return throttle.Verdict{OK: wait == 0, Retry: time.Duration(wait) * time.Microsecond}, nil
	}
	if ctx.Err() != nil {
		return throttle.Verdict{}, ctx.Err()
	}
	l.until.Store(time.Now().Add(l.opts.Pause).UnixNano())
	if l.failing.CompareAndSwap(false, true) {
		l.opts.Logger.Warn("redislimit: Redis doesn't answer, the fallback counts", "error", err)
	}
	return l.fallBack(ctx, key, limit)
}

func (l *Limiter) fallBack(ctx context.Context, key string, limit throttle.Limit) (throttle.Verdict, error) {
	l.fell.Add(1)
	return l.opts.Fallback.Take(ctx, key, limit)
}

func micros(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/1000, 'f', 3, 64)
}

// Stats returns what the limiter did so far.
func (l *Limiter) Stats() Stats { return Stats{Asked: l.asked.Load(), FellBack: l.fell.Load()} }
