package resn

import "time"

// firstWord is how long a topic may be without any watermark until that is said
// aloud. An owner that starts together with its readers needs little more than
// [DefaultOwnershipTTL].
const firstWord = 10 * time.Second

// standing is what was last said of whether a topic is vouched for, and the
// timer that notices what no message tells of: silence. The topic's mutex guards
// it.
type standing struct {
	live   bool
	reason string // that was said; empty while live
	quiet  *time.Timer
	closed bool
}

// speak says whether the topic is vouched for, if that isn't known yet.
// told says that the reason was said already. t.mu is held.
func (t *topic) speak(told bool) {
	s := &t.standing
	if s.closed {
		return
	}
	left := t.until.Sub(t.clock())
	switch {
	case left > 0:
		if s.quiet != nil {
			s.quiet.Reset(left)
		}
		if !s.live {
			t.log.Info("vouched for", "epoch", t.tracker.epoch, "sequence", t.tracker.last)
		}
		s.live, s.reason = true, ""
	case s.live || t.reason != s.reason:
		if !told {
			t.log.Warn("not vouched for", "reason", t.state.Reason)
		}
		s.live, s.reason = false, t.reason
	}
}

// listen begins to wait for the first watermark.
func (t *topic) listen() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.standing.closed {
		return
	}
	t.standing.reason = t.reason
	t.standing.quiet = time.AfterFunc(firstWord, t.silent)
}

// silent is called when nothing came for as long as was waited for.
func (t *topic) silent() {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.standing.closed:
	case t.tracker.epoch == "" || t.tracker.mark.IsZero() && t.reason == reasonNone:
		t.log.Warn("not vouched for", "reason", reasonNone, "after", firstWord.String(), "notices", t.state.Notices,
			"remedy", "the owner runs a relay with RelayOptions.Watermark, or a Publisher, on the same bus")
	default:
		if t.standing.live && !t.until.After(t.clock()) {
			t.because(reasonSilence, "")
		}
		t.speak(false)
	}
}

// because keeps why the topic isn't live: the reason, and what was measured.
func (t *topic) because(reason, measured string) {
	t.reason, t.state.Reason = reason, reason+measured
}

// hush ends it: nobody vouches any more, because nobody listens.
func (t *topic) hush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.standing.closed = true
	if t.standing.quiet != nil {
		t.standing.quiet.Stop()
	}
	t.carryOut(verdict{suspend: true, reason: "the listener is closed"}, nil)
}
