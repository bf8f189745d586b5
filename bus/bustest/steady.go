package bustest

import (
	"sync"
	"testing"
	"time"
)

// Steadily runs a check of what a group's member keeps by giving signs of life in
// time. A process that stands still, as on a machine that has much else to do,
// gives none and loses it rightly: when it stood still for longest or more, a
// failure says nothing of the driver, and the check begins anew. So it takes topics
// and groups that nobody has used.
func Steadily(t *testing.T, longest time.Duration, check func() error) {
	t.Helper()
	const attempts = 20
	for range attempts {
		stood := pulse(t)
		err := check()
		if still := stood(); err == nil {
			return
		} else if still < longest {
			t.Fatal(err)
		}
	}
	t.Fatalf("in each of %d attempts this process stood still for %v", attempts, longest)
}

// pulse watches how long the process stands still at most, until it is asked or
// the test ends.
func pulse(t *testing.T) (stood func() time.Duration) {
	t.Helper()
	var group sync.WaitGroup
	var longest time.Duration
	over := make(chan struct{})
	group.Go(func() {
		beat := time.NewTicker(10 * time.Millisecond)
		defer beat.Stop()
		for last := time.Now(); ; last = time.Now() {
			select {
			case <-beat.C:
				longest = max(longest, time.Since(last))
			case <-t.Context().Done():
				return
			case <-over:
				longest = max(longest, time.Since(last))
				return
			}
		}
	})
	return func() time.Duration {
		close(over)
		group.Wait()
		return longest
	}
}
