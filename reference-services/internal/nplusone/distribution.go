package nplusone

import (
	"math"
	"time"
)

// Buckets of a distribution grow by one percent each, so a percentile is off
// by half a percent at the most, and a run of any length needs the same few
// kilobytes.
const (
	bucketGrowth = 1.01
	bucketFloor  = time.Microsecond
	bucketCount  = 2000 // up to 1 µs × 1.01^2000, more than five minutes
)

// distribution keeps durations for percentiles. Its zero value is empty.
type distribution struct {
	buckets [bucketCount]uint64
	zeros   uint64 // durations of zero or less
	count   uint64
	max     time.Duration
}

func (d *distribution) add(v time.Duration) { d.addMany(v, 1) }

// addMany adds the same duration n times.
func (d *distribution) addMany(v time.Duration, n uint64) {
	d.count += n
	d.max = max(d.max, v)
	if v <= 0 {
		d.zeros += n
		return
	}
	d.buckets[bucketOf(v)] += n
}

func bucketOf(v time.Duration) int {
	if v <= bucketFloor {
		return 0
	}
	i := int(math.Log(float64(v)/float64(bucketFloor)) / math.Log(bucketGrowth))
	return min(i, bucketCount-1)
}

// percentile returns the duration that the share p of all durations don't
// exceed, by the nearest rank; 0 of an empty distribution.
func (d *distribution) percentile(p float64) time.Duration {
	if d.count == 0 {
		return 0
	}
	rank := max(1, uint64(math.Ceil(p*float64(d.count))))
	seen := d.zeros
	if rank <= seen {
		return 0
	}
	for i, n := range d.buckets {
		seen += n
		if rank <= seen {
			middle := math.Pow(bucketGrowth, float64(i)+0.5) * float64(bucketFloor)
			return min(time.Duration(middle), d.max)
		}
	}
	return d.max
}
