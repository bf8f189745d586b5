package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// progress shows signs of life: on a terminal one line that changes, elsewhere
// a line now and then.
type progress struct {
	w        io.Writer
	terminal bool
	shown    int // the width of the line on the terminal
	last     time.Time
}

const (
	progressEvery = 3 * time.Second // in a log
	progressWidth = 20
)

func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil {
			p.terminal = info.Mode()&os.ModeCharDevice != 0
		}
	}
	return p
}

// show says what is going on, and which share of it is done.
func (p *progress) show(share float64, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if share > 0 {
		done := int(share * progressWidth)
		text = "[" + strings.Repeat("#", done) + strings.Repeat(".", progressWidth-done) + "] " + text
	}
	if !p.terminal {
		if time.Since(p.last) < progressEvery {
			return
		}
		p.last = time.Now()
		fmt.Fprintln(p.w, text)
		return
	}
	width := utf8.RuneCountInString(text)
	fmt.Fprintf(p.w, "\r%s%s", text, strings.Repeat(" ", max(0, p.shown-width)))
	p.shown = width
}

// clear takes the line away again.
func (p *progress) clear() {
	if p.shown > 0 {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.shown))
		p.shown = 0
	}
}
