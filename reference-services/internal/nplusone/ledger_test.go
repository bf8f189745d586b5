package nplusone

import (
	"testing"
	"time"
)

func TestLedgerJudgesByWhatWasKnownWhenTheReadBegan(t *testing.T) {
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	l := newLedger()
	l.begin("/r/1", `"v1"`)
	l.commit("/r/1", `"v2"`, at(10))
	l.notice("/r/1", `"v2"`, at(12))
	l.commit("/r/1", `"v3"`, at(20))
	l.notice("/r/1", `"v3"`, at(25))

	for _, c := range []struct {
		name    string
		version string
		began   int
		want    verdict
	}{
		{"the only version there was", `"v1"`, 5, verdict{}},
		{"superseded while being read", `"v1"`, 10, verdict{}},
		{"superseded, notice under way", `"v1"`, 11, verdict{staleness: time.Millisecond}},
		{"superseded, notice taken in", `"v1"`, 15, verdict{staleness: 5 * time.Millisecond, afterNotice: true}},
		{"two versions behind", `"v1"`, 30, verdict{staleness: 20 * time.Millisecond, afterNotice: true}},
		{"one version behind, notice under way", `"v2"`, 22, verdict{staleness: 2 * time.Millisecond}},
		{"current", `"v3"`, 100, verdict{}},
		{"newer than the owner's answer to us", `"v4"`, 100, verdict{}},
	} {
		if got := l.judge("/r/1", c.version, at(c.began)); got != c.want {
			t.Errorf("%s: judge(%s, read at %d ms) = %+v, want %+v", c.name, c.version, c.began, got, c.want)
		}
	}
	if got := l.judge("/r/2", `"x"`, at(100)); got != (verdict{}) {
		t.Errorf("judge of an item that the demo doesn't change = %+v; nothing is known against it", got)
	}
}

func TestLedgerBlamesForNoticesBeforeTheOwnersAnswer(t *testing.T) {
	start := time.Now()
	l := newLedger()
	l.begin("/r/1", `"v1"`)
	l.notice("/r/1", `"v2"`, start)
	got := l.judge("/r/1", `"v1"`, start.Add(time.Millisecond))
	if !got.afterNotice {
		t.Error("an old version read after its notice must count as stale after notice, even if the owner's answer to the PATCH is still under way")
	}
}
