package natsbus

import (
	"strconv"
	"strings"
	"testing"
)

// What is known of requests that were given up is bounded, whoever says so.
func TestEarlyIsBounded(t *testing.T) {
	var e early
	e.add(strings.Repeat("x", maxReply+1))
	if len(e.known) != 0 {
		t.Error("a reply subject that long isn't kept")
	}
	for i := range 3 * maxEarly {
		e.add(strconv.Itoa(i))
		e.add(strconv.Itoa(i))
	}
	if len(e.known) != maxEarly || len(e.order) != maxEarly {
		t.Errorf("%d are known and %d in order, want %d", len(e.known), len(e.order), maxEarly)
	}
	if e.forget(strconv.Itoa(2*maxEarly - 1)) {
		t.Error("the oldest make room")
	}
	last := strconv.Itoa(3*maxEarly - 1)
	if !e.forget(last) || e.forget(last) {
		t.Error("the latest is known, once")
	}
}
