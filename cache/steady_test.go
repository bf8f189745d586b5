package cache

import (
	"testing"
	"time"
)

func TestTimeNeverRunsBackwardsNorFallsBehind(t *testing.T) {
	const second, hour = int64(time.Second), int64(time.Hour)
	l := newSteadyClock(nil)
	for _, step := range []struct {
		what                  string
		wall, monotonic, want int64 // from the start
	}{
		{"both clocks run", second, second, second},
		{"they are read a little apart", 2*second + 1000, 2 * second, 2 * second},
		{"the wall clock is set back an hour", -hour, 3 * second, 3 * second},
		{"and forth again", 4 * second, 4 * second, 4 * second},
		{"the machine was suspended for an hour", hour, 5 * second, hour},
		{"and goes on", hour + second, 6 * second, hour + second},
		{"then the wall clock is set back to where it was before", 7 * second, 7 * second, hour + 2*second},
	} {
		if got := l.place(step.wall, step.monotonic) - l.base; got != step.want {
			t.Errorf("%s: the time is %v after the start, want %v", step.what, time.Duration(got), time.Duration(step.want))
		}
	}
}

func TestAPromiseOutlivesNoClockThatIsSetBack(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	tr := New(nil, &Options{Clock: func() time.Time { return now }})
	s := tr.Scope("t")
	s.Vouch(now.Add(2 * time.Second))
	// The clock of this test has no monotonic side, so a time that was set is
	// told by the steady clock itself.
	tr.clock.place(int64(time.Hour), 0) // suspended for an hour
	if s.Live() {
		t.Error("what was vouched for two seconds is so an hour later")
	}
}
