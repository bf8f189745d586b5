package nplusone

import (
	"testing"
	"time"
)

func TestPercentilesAreWithinOnePercent(t *testing.T) {
	var d distribution
	for i := 1; i <= 1000; i++ {
		d.add(time.Duration(i) * time.Millisecond)
	}
	for p, want := range map[float64]time.Duration{
		0.5:  500 * time.Millisecond,
		0.99: 990 * time.Millisecond,
		1:    time.Second,
	} {
		got := d.percentile(p)
		if got < want*99/100 || got > want*101/100 {
			t.Errorf("percentile(%v) = %v; it must be within one percent of %v", p, got, want)
		}
	}
	if d.max != time.Second {
		t.Errorf("max = %v; the greatest value is kept exactly, so it must be 1s", d.max)
	}
}

func TestZerosCountTowardsPercentiles(t *testing.T) {
	var d distribution
	d.addMany(0, 99)
	d.add(time.Second)
	if got := d.percentile(0.99); got != 0 {
		t.Errorf("percentile(0.99) = %v; 99 of 100 values are zero, so it must be 0", got)
	}
	if got := d.percentile(1); got < 990*time.Millisecond {
		t.Errorf("percentile(1) = %v; the greatest value is 1s", got)
	}
	var empty distribution
	if got := empty.percentile(0.5); got != 0 {
		t.Errorf("percentile of nothing = %v; it must be 0", got)
	}
}
