package throttle_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/goswale/swale/discovery/rules/throttle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// No more pass than burst and rate allow, from any number of goroutines, and
// as many do.
func TestRateHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := throttle.NewLocal(nil)
		limit := throttle.Limit{Rate: 10, Burst: 5}
		var passed atomic.Int64
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for range 1000 {
					if v, err := l.Take(t.Context(), "k", limit); err == nil && v.OK {
						passed.Add(1)
					}
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		group.Wait() // ten seconds
		if n := passed.Load(); n < 104 || n > 105 {
			t.Errorf("5 at once and 10 a second for 10 s are 105 requests; %d passed", n)
		}
	})
}

func TestRetryAfterIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := throttle.NewLocal(nil)
		limit := throttle.Limit{Rate: 0.25}
		if v, _ := l.Take(t.Context(), "k", limit); !v.OK {
			t.Fatal("the first request must pass")
		}
		v, _ := l.Take(t.Context(), "k", limit)
		if v.OK || v.Retry != 4*time.Second || v.Seconds() != "4" {
			t.Errorf("the next token is 4 s away, not %v (%s)", v.Retry, v.Seconds())
		}
		if other, _ := l.Take(t.Context(), "other", limit); !other.OK {
			t.Error("each key has a bucket of its own")
		}
		time.Sleep(v.Retry)
		if v, _ := l.Take(t.Context(), "k", limit); !v.OK {
			t.Error("after Retry a request must pass")
		}
	})
}

// The clock is read in the order in which tokens are taken: somebody who was
// held up between the two would find the bucket filled up in his future, and be
// refused for nothing.
func TestTimeAndTokenAreOneStep(t *testing.T) {
	var reading atomic.Int64
	var together atomic.Bool
	l := throttle.NewLocal(&throttle.Options{Clock: func() time.Time {
		if reading.Add(1) > 1 {
			together.Store(true)
		}
		for range 10 {
			runtime.Gosched()
		}
		defer reading.Add(-1)
		return time.Now()
	}})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 200 {
				if _, err := l.Take(t.Context(), "k", throttle.Limit{Rate: 1e9, Burst: 1000}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if together.Load() {
		t.Error("two requests of one bucket read the clock at once")
	}
}

// Keys that somebody makes up don't fill the memory, and a bucket that is in
// use isn't forgotten for them.
func TestKeysAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := throttle.NewLocal(&throttle.Options{MaxKeys: 1600})
		limit := throttle.Limit{Rate: 1, Burst: 100}
		for range 100 {
			if v, _ := l.Take(t.Context(), "busy", limit); !v.OK {
				t.Fatal("the burst must pass")
			}
		}
		for i := range 50_000 {
			if _, err := l.Take(t.Context(), fmt.Sprint("made up ", i), limit); err != nil {
				t.Fatal(err)
			}
		}
		if n := l.Keys(); n > 1600 {
			t.Errorf("%d buckets are kept; at most 1600 were allowed", n)
		}
		if v, _ := l.Take(t.Context(), "busy", limit); v.OK {
			t.Error("an empty bucket was forgotten for fuller ones")
		}
	})
}

func ExampleLocal() {
	local := throttle.NewLocal(nil)
	for range 3 {
		v, err := local.Take(context.Background(), "orders 192.0.2.1", throttle.Limit{Rate: 0.5, Burst: 2})
		fmt.Println(v.OK, err)
	}
	// Output:
	// true <nil>
	// true <nil>
	// false <nil>
}
