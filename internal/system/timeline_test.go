package system

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// timeline is what happened, for people. Lines are formatted when somebody reads.
type timeline struct {
	began time.Time
	mu    sync.Mutex
	step  int
	lines []line
}

type line struct {
	step  int
	at    time.Time
	who   string
	about []string // paths, topics and processes; everybody's business if empty
	text  string
	args  []any
}

func (l *timeline) add(who string, about []string, text string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line{l.step, time.Now(), who, about, text, args})
}

func (l *timeline) next(step int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.step = step
}

// concerns reports whether a line has to do with any of the topics.
func (n *line) concerns(about []string) bool {
	return about == nil || len(n.about) == 0 || slices.ContainsFunc(n.about, func(a string) bool { return slices.Contains(about, a) })
}

// text is the lines that concern what is asked about, one below the other.
func (l *timeline) text(about []string) string {
	wide := 0
	for i := range l.lines {
		wide = max(wide, len(l.lines[i].who))
	}
	var b strings.Builder
	left := 0
	for i := range l.lines {
		n := &l.lines[i]
		if !n.concerns(about) {
			left++
			continue
		}
		fmt.Fprintf(&b, "%5d  %12.9fs  %-*s  %s\n", n.step, n.at.Sub(l.began).Seconds(), wide, n.who, fmt.Sprintf(n.text, n.args...))
	}
	if left > 0 {
		fmt.Fprintf(&b, "       (%d lines about others; -sim.all prints them)\n", left)
	}
	return b.String()
}

// breach is a guarantee that was broken, and how.
type breach struct {
	guarantee, text string
	about           []string
}

// breaks notes a breach. The first one counts: what follows is its doing.
func (w *world) breaks(guarantee string, about []string, text string, args ...any) {
	if w.breach == nil {
		w.breach = &breach{guarantee, fmt.Sprintf(text, args...), about}
	}
}

func (w *world) say(who string, about []string, text string, args ...any) {
	w.timeline.add(who, about, text, args...)
}

// report tells what broke, how it came about, and how to see it again.
func (w *world) report() string {
	about := w.breach.about
	if *simAll {
		about = nil
	}
	return fmt.Sprintf("seed %d breaks %s\n%s\n\n%s\n    %s: %s\n\nagain: go test ./internal/system -run 'TestSimulator$' -sim.seed=%d\n",
		w.seed, w.breach.guarantee, w.plan.text(), w.timeline.text(about), w.breach.guarantee, w.breach.text, w.seed)
}

// relevant counts the lines of a report.
func (w *world) relevant() int {
	n := 0
	for i := range w.timeline.lines {
		if w.timeline.lines[i].concerns(w.breach.about) {
			n++
		}
	}
	return n
}
