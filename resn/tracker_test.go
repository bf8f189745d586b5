package resn

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// told is what a test looks at in a verdict: vouch as time from now.
type told struct {
	Reset, Suspend, Apply, ETag bool
	Vouch                       time.Duration
}

func TestTracker(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	notice := func(epoch string, seq uint64, at time.Time) func(*tracker) verdict {
		return func(k *tracker) verdict { return k.notice(epoch, seq, at) }
	}
	mark := func(epoch string, seq uint64, at time.Time) func(*tracker) verdict {
		return func(k *tracker) verdict {
			return k.watermark(Watermark{Topic: "t", Epoch: epoch, Seq: seq, Time: at}, now)
		}
	}
	garbage := func(epoch string, seq uint64) func(*tracker) verdict {
		return func(k *tracker) verdict { return k.unreadable(epoch, seq) }
	}
	const lease = 2 * time.Second
	reset := told{Reset: true, Suspend: true}
	applied := told{Apply: true, ETag: true}

	tests := []struct {
		rule  string
		steps []func(*tracker) verdict
		want  told // of the last step
	}{
		{"the first watermark vouches from its own time on",
			[]func(*tracker) verdict{mark("e", 7, ago(time.Second))},
			told{Vouch: lease - time.Second}},
		{"the next number is applied",
			[]func(*tracker) verdict{mark("e", 7, now), notice("e", 8, now)}, applied},
		{"a watermark with the last number goes on vouching",
			[]func(*tracker) verdict{mark("e", 7, ago(time.Second)), notice("e", 8, now), mark("e", 8, now)},
			told{Vouch: lease}},
		{"a hole before a notice resets, and the notice is applied",
			[]func(*tracker) verdict{mark("e", 7, now), notice("e", 9, now)},
			told{Reset: true, Suspend: true, Apply: true, ETag: true}},
		{"a hole before a watermark resets, and it vouches for what comes after",
			[]func(*tracker) verdict{mark("e", 7, ago(time.Second)), mark("e", 9, now)},
			told{Reset: true, Suspend: true, Vouch: lease}},
		{"a repeat of what was seen does nothing",
			[]func(*tracker) verdict{mark("e", 7, now), notice("e", 8, now), notice("e", 9, now), notice("e", 8, now)},
			told{}},
		{"a late notice out of a hole is applied, its ETag isn't believed",
			[]func(*tracker) verdict{mark("e", 7, now), notice("e", 9, now), notice("e", 8, now)},
			told{Apply: true}},
		{"a number from before the subscription is applied, its ETag isn't believed",
			[]func(*tracker) verdict{mark("e", 7, now), notice("e", 7, now)},
			told{Apply: true}},
		{"a new epoch in a notice resets",
			[]func(*tracker) verdict{mark("e", 7, ago(time.Second)), notice("f", 1, now)},
			told{Reset: true, Suspend: true, Apply: true, ETag: true}},
		{"a new epoch in a watermark resets and vouches",
			[]func(*tracker) verdict{mark("e", 7, ago(time.Second)), mark("f", 7, now)},
			told{Reset: true, Suspend: true, Vouch: lease}},
		{"a notice repeated from an ended epoch doesn't bring it back",
			[]func(*tracker) verdict{mark("f", 1, now), notice("e", 9, ago(time.Second))},
			told{Apply: true}},
		{"a watermark repeated from an ended epoch does nothing",
			[]func(*tracker) verdict{mark("f", 1, now), mark("e", 9, ago(time.Second))},
			told{}},
		{"numbers that go backwards in newer watermarks reset",
			[]func(*tracker) verdict{mark("e", 7, ago(time.Second)), mark("e", 3, now)},
			told{Reset: true, Suspend: true, Vouch: lease}},
		{"an older watermark delivered again does nothing",
			[]func(*tracker) verdict{mark("e", 7, ago(time.Second)), notice("e", 8, now), mark("e", 7, ago(time.Second))},
			told{}},
		{"a watermark from the future isn't believed",
			[]func(*tracker) verdict{mark("e", 7, now), mark("e", 7, now.Add(501*time.Millisecond))},
			told{Suspend: true}},
		{"a clock that is ahead within tolerance is believed",
			[]func(*tracker) verdict{mark("e", 7, now.Add(500*time.Millisecond))},
			told{Vouch: lease + 500*time.Millisecond}},
		{"a watermark that was under way for longer than the lease vouches for nothing",
			[]func(*tracker) verdict{mark("e", 7, ago(lease))},
			told{}},
		{"a notice without number is applied and counts for nothing",
			[]func(*tracker) verdict{mark("e", 7, now), notice("", 0, now), notice("e", 8, now)}, applied},
		{"a next notice that can't be read is a loss",
			[]func(*tracker) verdict{mark("e", 7, now), garbage("e", 8)}, reset},
		{"noise without number is no loss",
			[]func(*tracker) verdict{mark("e", 7, now), garbage("", 0)}, told{}},
		{"after a lost one the numbers go on",
			[]func(*tracker) verdict{mark("e", 7, now), garbage("e", 8), notice("e", 9, now)}, applied},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			k := &tracker{lease: lease, tolerance: 500 * time.Millisecond}
			var v verdict
			for _, step := range tt.steps {
				v = step(k)
			}
			got := told{Reset: v.reset, Suspend: v.suspend, Apply: v.apply, ETag: v.etag}
			if !v.vouch.IsZero() {
				got.Vouch = v.vouch.Sub(now)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("rule broken: %s (-want +got):\n%s", tt.rule, diff)
			}
		})
	}
}

// A notice that came by another subscription of the process.
func TestTrackerElsewhere(t *testing.T) {
	var k tracker
	if apply, etag := k.elsewhere("e", 5); !apply || etag {
		t.Error("before the first message nobody knows whether it is the latest: it is applied without its ETag")
	}
	k.notice("e", 4, time.Time{})
	k.notice("e", 5, time.Time{})
	for _, test := range []struct {
		rule        string
		epoch       string
		seq         uint64
		apply, etag bool
	}{
		{"one that was seen is not applied again", "e", 5, false, false},
		{"one from before the first is applied without its ETag", "e", 3, true, false},
		{"one that is still to come is applied", "e", 6, true, true},
		{"one of another epoch is applied without its ETag", "f", 6, true, false},
		{"one without a number is applied without its ETag", "", 0, true, false},
	} {
		apply, etag := k.elsewhere(test.epoch, test.seq)
		if apply != test.apply || etag != test.etag {
			t.Errorf("%s: apply %v, ETag %v", test.rule, apply, etag)
		}
	}
	if k.last != 5 || k.epoch != "e" {
		t.Error("what is still to come here isn't taken as seen")
	}
}

// Up to when everything was heard of, by the reader's clock: the owner's may be
// ahead by the tolerance.
func TestTrackerHeard(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	const tolerance = 500 * time.Millisecond
	for rule, tt := range map[string]struct {
		at    time.Time
		epoch string
		heard time.Time
	}{
		"a watermark's time less the tolerance":      {now.Add(-time.Second), "e", now.Add(-time.Second - tolerance)},
		"also by a clock that is ahead":              {now.Add(tolerance), "e", now},
		"a watermark from the future isn't believed": {now.Add(2 * tolerance), "e", time.Time{}},
		"a late one is as true as any":               {now.Add(-time.Hour), "e", now.Add(-time.Hour - tolerance)},
		"one of an epoch that has ended says nothing": {
			now.Add(-2 * time.Hour), "old", time.Time{},
		},
	} {
		k := tracker{lease: 2 * time.Second, tolerance: tolerance}
		k.watermark(Watermark{Topic: "t", Epoch: "e", Seq: 1, Time: now.Add(-time.Hour)}, now)
		if got := k.watermark(Watermark{Topic: "t", Epoch: tt.epoch, Seq: 1, Time: tt.at}, now).heard; !got.Equal(tt.heard) {
			t.Errorf("%s: heard up to %v, want %v", rule, got, tt.heard)
		}
	}
}
