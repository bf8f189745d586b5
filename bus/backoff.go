package bus

import (
	"math/rand/v2"
	"time"
)

// Backoff says how long to wait before another attempt: Min after the first,
// twice as long each time, up to Max, and of that a random part between half and
// all, so that those who failed together don't come back together.
type Backoff struct {
	// Min is the longest wait after the first attempt. Default 100 ms.
	Min time.Duration
	// Max is the longest wait at all. Default 30 s.
	Max time.Duration
	// Rand returns numbers from 0 up to and without 1, of which the random part is
	// made: for tests whose waits have to repeat. Default math/rand/v2.Float64.
	Rand func() float64
}

// Delay returns how long to wait after that many attempts, counted from 1.
func (o Backoff) Delay(attempts int) time.Duration {
	d := o.full(attempts)
	random := o.Rand
	if random == nil {
		random = rand.Float64
	}
	return d/2 + time.Duration(random()*float64(d/2+1))
}

// full returns the wait before jitter.
func (o Backoff) full(attempts int) time.Duration {
	if o.Min <= 0 {
		o.Min = 100 * time.Millisecond
	}
	if o.Max <= 0 {
		o.Max = 30 * time.Second
	}
	d := o.Min
	for i := 1; i < attempts && d < o.Max; i++ {
		d *= 2
	}
	return min(d, o.Max)
}
