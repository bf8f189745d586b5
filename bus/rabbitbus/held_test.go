package rabbitbus

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestBacklogWaitsForWhatWasGivenBack has a broker that has much else to do: it
// counts what was given back a while later than it takes to look twice. Whoever
// redrives dead letters right after it has looked at them found none.
func TestBacklogWaitsForWhatWasGivenBack(t *testing.T) {
	for name, c := range map[string]struct {
		back      int           // given back by this process
		counted   time.Duration // after how long the broker counts it
		consumers int
		want      int
		within    time.Duration
	}{
		"a busy broker":              {back: 2, counted: 2 * time.Second, want: 2, within: 3 * time.Second},
		"a quick one":                {back: 2, want: 2, within: 100 * time.Millisecond},
		"somebody else has taken it": {back: 2, counted: time.Hour, consumers: 1, within: time.Second},
		"it is gone":                 {back: 2, counted: time.Hour, within: landing + time.Second},
		"nothing was given back":     {within: 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var h held
				h.leave(&member{queue: "q"}, c.back)
				began := time.Now()
				for range 2 { // what was counted once isn't waited for again
					n, err := h.settled(t.Context(), "q", func() (int, int, error) {
						if time.Since(began) < c.counted {
							return 0, c.consumers, nil
						}
						return c.back, c.consumers, nil
					})
					if err != nil || n != c.want {
						t.Errorf("the backlog is %d, %v; want %d", n, err, c.want)
					}
				}
				if took := time.Since(began); took > 2*c.within {
					t.Errorf("looking twice took %v", took)
				}
			})
		})
	}
}
