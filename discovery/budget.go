package discovery

import (
	"sync"
	"sync/atomic"
	"time"
)

// budget bounds retries: a part of the requests and a few a second, so that an
// outage isn't multiplied. It holds what is left in thousandths of a retry.
type budget struct {
	requests atomic.Int64 // since the last withdrawal

	mu   sync.Mutex
	left int64
	last time.Time
}

// RetryOptions bound the retries of a transport.
type RetryOptions struct {
	// Attempts is how often one request is sent at most, the first time
	// included. An instance that can't be connected to hasn't been sent
	// anything and doesn't count. Default 3, 1 is no retries.
	Attempts int
	// Ratio is how many retries each request earns. Default 0.2.
	Ratio float64
	// PerSecond is how many retries each second earns. Default 10.
	PerSecond int
	// Burst is how many are saved at most. Default 100.
	Burst int
}

func (o *RetryOptions) defaults() {
	if o.Attempts <= 0 {
		o.Attempts = 3
	}
	if o.Ratio <= 0 {
		o.Ratio = 0.2
	}
	if o.PerSecond <= 0 {
		o.PerSecond = 10
	}
	if o.Burst <= 0 {
		o.Burst = 100
	}
}

// withdraw takes one retry if there is one.
func (b *budget) withdraw(o *RetryOptions) bool {
	const whole = 1000
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	most := int64(o.Burst) * whole
	if b.last.IsZero() {
		b.left = most
	}
	earned := float64(b.requests.Swap(0)) * o.Ratio * whole
	earned += min(now.Sub(b.last), time.Minute).Seconds() * float64(o.PerSecond) * whole
	b.last = now
	b.left = min(most, b.left+int64(earned))
	if b.left < whole {
		return false
	}
	b.left -= whole
	return true
}
