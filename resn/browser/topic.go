package browser

import (
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/resn"
)

// topic is what this process has heard of a topic, for all pages.
type topic struct {
	name  string
	here  string // epoch of the local count
	size  int
	lease time.Duration
	log   *slog.Logger
	late  *time.Timer // until the newest watermark's word ends

	mu    sync.Mutex
	at    position  // numbering: how far the owner is; epoch "" before it is known
	mark  time.Time // of the newest watermark
	heard uint64    // entries so far; the ring holds those from heard-len(ring) on
	ring  []entry
	live  bool
	why   string // why it isn't
	turns uint64 // changes of live or why
	pages map[*page]struct{}
}

// entry is a notice, or the mark of a reset.
type entry struct {
	before position // at, before it came
	notice resn.Event
	data   []byte // the notice as JSON
	reset  string // why pages must start over; empty for a notice
}

func newTopic(name, here string, opts *Options) *topic {
	t := &topic{
		name: name, here: local + here, size: opts.Replay, lease: opts.Lease, log: opts.Logger.With("topic", name),
		why: "no watermark yet", pages: map[*page]struct{}{},
	}
	t.late = time.AfterFunc(opts.Lease, t.silent)
	return t
}

func (t *topic) stop() { t.late.Stop() }

// bare takes in what isn't a CloudEvent: it may be a notice as the talk shows it.
func (t *topic) bare(body []byte, _ error) { t.event(bus.Event{Data: body}) }

// event takes in what came over the bus.
func (t *topic) event(ce bus.Event) {
	notice, mark, err := resn.Decode(t.name, &ce)
	if err != nil {
		// If it was numbered, the hole that it leaves shows with the next one.
		t.log.Warn("message rejected", "error", err)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if notice.Type == "" {
		t.watermark(mark)
	} else {
		t.notice(notice)
	}
	for p := range t.pages {
		p.rouse()
	}
}

// notice takes a notice in; t.mu is held.
func (t *topic) notice(n resn.Event) {
	to := position{n.Epoch, n.Seq}
	switch {
	case n.Seq == 0: // an owner that doesn't number
		to = t.at
	case t.at.epoch == "":
		t.at = position{n.Epoch, n.Seq - 1}
	case n.Epoch != t.at.epoch && !n.Time.IsZero() && n.Time.Before(t.mark):
		to = t.at // a repeat from an epoch that has ended
	case n.Epoch != t.at.epoch:
		t.reset("a new publisher epoch began", position{n.Epoch, n.Seq - 1})
	case n.Seq > t.at.seq+1:
		t.reset("notices are missing", position{n.Epoch, n.Seq - 1})
	case n.Seq <= t.at.seq:
		return // heard before, or of a time before a reset
	}
	data, err := json.Marshal(n)
	if err != nil {
		t.log.Warn("notice can't be written", "error", err) // Decode has checked it
		return
	}
	t.append(entry{before: t.at, notice: n, data: data})
	t.at = to
}

// watermark takes a watermark in; t.mu is held.
func (t *topic) watermark(w resn.Watermark) {
	said := position{w.Epoch, w.Seq}
	switch {
	case t.at.epoch == "":
		t.at = said
	case w.Epoch != t.at.epoch && w.Time.Before(t.mark):
		return // a repeat from an epoch that has ended
	case w.Epoch != t.at.epoch:
		t.reset("a new publisher epoch began", said)
	case w.Seq > t.at.seq:
		t.reset("notices are missing", said)
	case w.Seq < t.at.seq && w.Time.After(t.mark):
		t.reset("the sequence went backwards", said)
	case w.Seq < t.at.seq:
		return // an older one, delivered again
	}
	age := time.Since(w.Time)
	switch {
	case age < -resn.DefaultClockTolerance:
		t.turn(false, "the owner's clock is ahead of ours by more than the tolerance")
		return
	case age < t.lease:
		// A clock ahead of ours must not stretch the bound.
		t.late.Reset(t.lease - max(age, 0))
		t.turn(true, "")
	}
	if w.Time.After(t.mark) {
		t.mark = w.Time
	}
}

// append keeps an entry; t.mu is held.
func (t *topic) append(e entry) {
	if len(t.ring) >= 2*t.size {
		t.ring = append(t.ring[:0:0], t.ring[len(t.ring)-t.size+1:]...)
	}
	t.ring = append(t.ring, e)
	t.heard++
}

// reset has every page start over, and go on at a position. What came before is
// of no use to anybody; t.mu is held.
func (t *topic) reset(why string, at position) {
	t.log.Warn("pages are reset", "reason", why)
	t.ring = t.ring[:0:0]
	t.append(entry{before: t.at, reset: why})
	t.at = at
	t.turn(false, why)
}

// turn changes whether every change is heard; t.mu is held.
func (t *topic) turn(live bool, why string) {
	if t.live == live && t.why == why {
		return
	}
	t.live, t.why = live, why
	t.turns++
}

// silent is called when no watermark came within the lease.
func (t *topic) silent() {
	t.mu.Lock()
	live := t.live
	t.mu.Unlock()
	if live { // else the page knows a better reason
		t.lost("no watermark within the lease")
	}
}

func (t *topic) lost(why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn(false, why)
	for p := range t.pages {
		p.rouse()
	}
}

// connection takes in what the bus says of itself.
func (t *topic) connection(s bus.State) {
	switch {
	case s.Kind == bus.Lost:
		t.lost("the connection to the bus is lost")
	case s.Kind == bus.Resumed && s.Hole:
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.at.epoch == "" { // else the numbers tell
			t.reset("the bus lost messages", t.at)
		}
		for p := range t.pages {
			p.rouse()
		}
	}
}

func (t *topic) join(p *page) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pages[p] = struct{}{}
}

func (t *topic) leave(p *page) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.pages, p)
}

// behind is a page's position behind the first n entries; t.mu is held, and n is
// not before the ring.
func (t *topic) behind(n uint64) position {
	at := t.at
	if i := n - t.first(); i < uint64(len(t.ring)) {
		at = t.ring[i].before
	}
	if at.epoch == "" {
		return position{t.here, n}
	}
	return at
}

// first is how many entries came before those in the ring; t.mu is held.
func (t *topic) first() uint64 { return t.heard - uint64(len(t.ring)) }

// seek finds where a page goes on that had come to a position. known is false as
// long as nobody can tell; found is false if it must start over. t.mu is held.
func (t *topic) seek(at position) (n uint64, found, known bool) {
	switch {
	case at.epoch == "":
		return t.heard, false, true
	case at.epoch == t.here:
		return at.seq, at.seq >= t.first() && at.seq <= t.heard, true
	case at.epoch[:1] == local:
		return t.heard, false, true // another process counted
	case t.at.epoch == "":
		return t.heard, false, false
	case at.epoch == t.at.epoch && at.seq >= t.at.seq:
		// Nothing came since; or it was told more elsewhere than has come here, and
		// hears the rest again.
		return t.after(at), true, true
	}
	for i := range t.ring {
		if t.ring[i].before == at && t.ring[i].reset == "" {
			return t.first() + uint64(i), true, true
		}
	}
	return t.heard, false, true
}

// after is where entries begin that came at a position, numbers aside.
func (t *topic) after(at position) uint64 {
	for i := range t.ring {
		if t.ring[i].before == at && t.ring[i].reset == "" {
			return t.first() + uint64(i)
		}
	}
	return t.heard
}
