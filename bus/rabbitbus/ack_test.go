package rabbitbus

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// ackLog is a channel that notes acks.
type ackLog struct {
	channel
	sent []string
}

func (c *ackLog) Ack(tag uint64, multiple bool) error {
	c.sent = append(c.sent, fmt.Sprint("ack ", tag, " ", multiple))
	return nil
}

func (c *ackLog) Nack(tag uint64, multiple, requeue bool) error {
	c.sent = append(c.sent, fmt.Sprint("nack ", tag, " ", multiple, " ", requeue))
	return nil
}

func TestAcksAreGatheredAndNeverCoverWhatIsHeld(t *testing.T) {
	ch := new(ackLog)
	s := &session{ch: ch, settled: make(map[uint64]struct{})}
	for _, tags := range [][]uint64{{1, 2, 3}, {6, 5}, {7}, {4}, {9}} {
		var batch []verdict
		for _, tag := range tags {
			batch = append(batch, verdict{tag: tag})
		}
		if err := s.batch(batch); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.batch([]verdict{{tag: 8, back: true}, {tag: 10}}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ack 3 true",                 // 1 to 3
		"ack 5 false", "ack 6 false", // 4 is held
		"ack 7 false",
		"ack 4 true", // 5 to 7 are acked, and only a tag that isn't may be named
		"ack 9 false",
		"nack 8 false true", "ack 10 true",
	}
	if !slices.Equal(ch.sent, want) {
		t.Errorf("acks:\n got %q\nwant %q", ch.sent, want)
	}
}

func TestStaleAcksAreErrors(t *testing.T) {
	m := &member{room: make(chan struct{}, 1)}
	m.room <- struct{}{}
	a := &acker{m: m, s: &session{dead: true}, tag: 1}
	if err := a.Ack(); err == nil {
		t.Error("an ack whose connection is gone must say so: the broker will deliver again")
	}
	m.room <- struct{}{}
	if err := a.Nack(time.Nanosecond); err != nil {
		t.Errorf("a delayed nack isn't known to be stale yet: %v", err)
	}
}
