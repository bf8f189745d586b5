package cache

import (
	"sync/atomic"
	"time"
)

// steadyClock tells the time in nanoseconds that never run backwards and never
// fall behind.
//
// The wall clock alone won't do: somebody may set it back, and what was vouched
// for until noon would be so for another hour. The monotonic clock alone won't
// either: it may stand still while a machine is suspended, and what was vouched
// for two more seconds would still be after a night. So time passes by the
// monotonic clock, and whenever the wall clock has got further, by as much more;
// that is never taken back. Both errors then end in asking once too often.
type steadyClock struct {
	read   func() time.Time
	system bool // read is time.Now
	start  time.Time
	base   int64        // the start, Unix nanoseconds
	ahead  atomic.Int64 // by how much the wall clock was further at the most
	looked atomic.Int64 // when both clocks were last read, from the start
}

// ripple is how far two readings of the clocks may be apart by chance.
const ripple = int64(time.Millisecond)

// newSteadyClock returns a clock that reads time.Now, or read if that isn't
// nil.
func newSteadyClock(read func() time.Time) *steadyClock {
	l := &steadyClock{read: read}
	if read == nil {
		l.read, l.system = time.Now, true
	}
	l.start = l.read()
	l.base = l.start.UnixNano()
	return l
}

// nano returns now. The wall clock, which is half of the cost, is read once a
// ripple: so much later is it heard of that a machine was suspended.
func (l *steadyClock) nano() int64 {
	if l.system {
		monotonic := int64(time.Since(l.start))
		if monotonic-l.looked.Load() < ripple {
			return l.base + monotonic + l.ahead.Load()
		}
		l.looked.Store(monotonic)
	}
	return l.at(l.read())
}

// at returns when a reading of the clock was taken.
func (l *steadyClock) at(reading time.Time) int64 {
	return l.place(reading.UnixNano()-l.base, int64(reading.Sub(l.start)))
}

// place is at for a reading as far from the start as the two clocks say.
func (l *steadyClock) place(wall, monotonic int64) int64 {
	ahead := l.ahead.Load()
	for lead := wall - monotonic; lead > ahead+ripple; ahead = l.ahead.Load() {
		l.ahead.CompareAndSwap(ahead, lead)
	}
	return l.base + monotonic + ahead
}

// until returns when a time will come that somebody reckoned from the clock.
func (l *steadyClock) until(t time.Time) int64 {
	now := l.read()
	return l.at(now) + int64(min(t.Sub(now), farthest))
}

// farthest is as far ahead as anybody looks: nanoseconds end some 230 years later.
const farthest = 50 * 365 * 24 * time.Hour
