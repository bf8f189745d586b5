// Package throttle counts requests against token buckets, in this process or,
// by another [Limiter], together with others.
//
//	local := throttle.NewLocal(nil)
//	v, err := local.Take(ctx, "orders 192.0.2.1", throttle.Limit{Rate: 5, Burst: 10})
//	if !v.OK {
//		w.Header().Set("Retry-After", v.Seconds())
//	}
package throttle

import (
	"context"
	"hash/maphash"
	"math"
	"strconv"
	"sync"
	"time"
)

// Limit is a token bucket: it fills by Rate tokens a second up to Burst.
type Limit struct {
	Rate  float64 // tokens a second, above 0
	Burst int     // most tokens; 0 means Rate, at least 1
}

// Fill returns how long one token takes, and how long a full bucket does.
func (l Limit) Fill() (one, all time.Duration) {
	burst := float64(l.Burst)
	if l.Burst <= 0 {
		burst = math.Max(1, math.Floor(l.Rate))
	}
	token := float64(time.Second) / l.Rate
	return time.Duration(min(token, math.MaxInt64/4)), time.Duration(min(token*burst, math.MaxInt64/4))
}

// Verdict says whether a request passes.
type Verdict struct {
	OK bool
	// Retry is after how long the next token is there; 0 if OK.
	Retry time.Duration
}

// Seconds writes Retry as Retry-After wants it (RFC 9110 section 10.2.3), at
// least 1.
func (v Verdict) Seconds() string {
	return strconv.FormatInt(max(1, int64(math.Ceil(v.Retry.Seconds()))), 10)
}

// Limiter takes tokens from buckets. Implementations are safe for concurrent
// use. An error means that the limiter couldn't tell.
type Limiter interface {
	Take(ctx context.Context, key string, limit Limit) (Verdict, error)
}

// Options configure a Local. The zero value and nil are useful.
type Options struct {
	// MaxKeys bounds the buckets that are kept; with more, those that are
	// fullest go first, which forgives somebody a little. Default: 100,000.
	MaxKeys int
	// Clock is for tests. Default: time.Now.
	Clock func() time.Time
}

const shards = 16

// Local is a Limiter for one process. A bucket is one time: when it will be
// full. One that is full is the same as one that was never used, and is
// forgotten. It is safe for concurrent use.
type Local struct {
	seed   maphash.Seed
	clock  func() time.Time
	most   int // keys of a shard
	shards [shards]shard
}

type shard struct {
	mu   sync.Mutex
	full map[string]time.Time
}

// NewLocal returns a limiter without buckets.
func NewLocal(opts *Options) *Local {
	l := &Local{seed: maphash.MakeSeed(), clock: time.Now, most: 100_000 / shards}
	if opts != nil && opts.Clock != nil {
		l.clock = opts.Clock
	}
	if opts != nil && opts.MaxKeys > 0 {
		l.most = max(1, opts.MaxKeys/shards)
	}
	for i := range l.shards {
		l.shards[i].full = map[string]time.Time{}
	}
	return l
}

// Take takes a token from the key's bucket, if there is one. It never fails.
func (l *Local) Take(_ context.Context, key string, limit Limit) (Verdict, error) {
	one, all := limit.Fill()
	s := &l.shards[maphash.String(l.seed, key)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	now := l.clock() // under the lock, or who waits for it comes with a time that is over
	full, known := s.full[key]
	if full.Before(now) {
		full = now
	}
	full = full.Add(one)
	if wait := full.Sub(now) - all; wait > 0 {
		return Verdict{Retry: wait}, nil
	}
	if !known && len(s.full) >= l.most {
		s.forget(now, l.most)
	}
	s.full[key] = full
	return Verdict{OK: true}, nil
}

// forget drops full buckets, and if that isn't enough the fullest of a few.
func (s *shard) forget(now time.Time, most int) {
	looked := 0
	var fullest string
	var at time.Time
	for key, full := range s.full {
		if !full.After(now) {
			delete(s.full, key)
			continue
		}
		if fullest == "" || full.Before(at) {
			fullest, at = key, full
		}
		if looked++; looked >= 64 {
			break
		}
	}
	if len(s.full) >= most {
		delete(s.full, fullest)
	}
}

// Keys returns how many buckets are kept.
func (l *Local) Keys() int {
	n := 0
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.full)
		s.mu.Unlock()
	}
	return n
}
