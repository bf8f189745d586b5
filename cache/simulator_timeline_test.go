package cache

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// timeline is what happened, for people. A line is formatted only when
// somebody wants to read it.
type timeline struct {
	began time.Time
	lines []timelineLine
}

type timelineLine struct {
	step  int
	at    time.Duration
	actor string
	about string // path, topic, or empty if it is about everything
	text  string
	args  []any
}

// broken is a rule that an answer broke.
type broken struct {
	guarantee string
	about     []string // paths and topics that matter
	text      string
}

func (l *timeline) add(step int, actor, about, text string, args ...any) {
	l.lines = append(l.lines, timelineLine{step, time.Since(l.began), actor, about, text, args})
}

// text aligns the lines that are about something of interest, or all.
func (l *timeline) text(about []string) string {
	var b strings.Builder
	width, left := 0, 0
	for _, line := range l.lines {
		width = max(width, len(line.actor))
	}
	for _, line := range l.lines {
		if about != nil && line.about != "" && !slices.Contains(about, line.about) {
			left++
			continue
		}
		fmt.Fprintf(&b, "%5d %10.3fs  %-*s  %s\n", line.step, line.at.Seconds(), width, line.actor, fmt.Sprintf(line.text, line.args...))
	}
	if left > 0 {
		fmt.Fprintf(&b, "(%d lines about other resources left out; -sim.all prints them)\n", left)
	}
	return b.String()
}

// relevant counts the lines that a report would print.
func (w *world) relevant() int {
	n := 0
	for _, line := range w.timeline.lines {
		if line.about == "" || slices.Contains(w.broken.about, line.about) {
			n++
		}
	}
	return n
}

// report tells of the broken rule: what broke, how it came about, how to see
// it again.
func (w *world) report() string {
	about := w.broken.about
	if *simAll {
		about = nil
	}
	return fmt.Sprintf("seed %d breaks %s\n\n%s\n%s\n    %s\n\nagain: go test ./cache -run 'TestSimulator$' -sim.seed=%d\n",
		w.seed, w.broken.guarantee, w.plan.text(), w.timeline.text(about),
		strings.ReplaceAll(w.broken.text, "\n", "\n    "), w.seed)
}

// breaks notes that a rule was broken. The first one counts.
func (w *world) breaks(guarantee string, about []string, text string, args ...any) {
	if w.broken == nil {
		w.broken = &broken{guarantee, about, guarantee + ": " + fmt.Sprintf(text, args...)}
	}
}
