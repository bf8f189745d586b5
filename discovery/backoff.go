package discovery

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is how long to wait between attempts: Min after the first failure,
// then twice as long each time up to Max, each with jitter: between half and the
// whole of it.
type Backoff struct {
	Min time.Duration // default 100 ms
	Max time.Duration // default 10 s
}

func (b Backoff) withDefaults() Backoff {
	if b.Min <= 0 {
		b.Min = 100 * time.Millisecond
	}
	if b.Max < b.Min {
		b.Max = max(b.Min, 10*time.Second)
	}
	return b
}

// delay returns the wait after so many failures in a row.
func (b Backoff) delay(failures int) time.Duration {
	d := b.Max
	if failures < 32 && b.Min<<failures > 0 {
		d = min(d, b.Min<<failures)
	}
	return d/2 + rand.N(d/2+1)
}

// wait waits, but not past ctx.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
