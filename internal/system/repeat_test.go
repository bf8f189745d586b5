package system

import (
	"strings"
	"testing"
)

// A seed decides everything: two of its runs are the same, line for line. With
// -sim.hash TestSimulator compares runs of different programs, too.
func TestSimulatorRepeats(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's scheduler picks at random between readers of one process that one answer wakes; .ci/run runs this without it")
	}
	n := int(*simSeeds) / 100
	eachSeed(t, n, func(t *testing.T, seed uint64) bool {
		t.Helper()
		first, again := runOf(t, seed), runOf(t, seed)
		for i, line := range first {
			if i < len(again) && line == again[i] {
				continue
			}
			t.Errorf("seed %d: two runs part after\n%s\none goes on with\n%s\nthe other with\n%s",
				seed, join(first, i-5, i), join(first, i, i+2), join(again, i, i+2))
			break
		}
		return true
	})
}

// runOf returns the lines of a seed's timeline; the last one is empty.
func runOf(t *testing.T, seed uint64) []string {
	t.Helper()
	return strings.Split(simulate(t, seed, &mutation{}).timeline.text(nil), "\n")
}

func join(lines []string, from, to int) string {
	return strings.Join(lines[min(max(from, 0), len(lines)):min(to, len(lines))], "\n")
}
