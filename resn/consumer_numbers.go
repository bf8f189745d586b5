package resn

import (
	"maps"
	"slices"
	"time"
)

// numbers is what a consumer knows about the numbers of its group's notices:
// received in the topic's order, handled in any. It decides whether some are
// missing. It is not safe for concurrent use.
type numbers struct {
	epoch   string
	last    uint64              // the highest received, spoken of, or accounted for
	open    map[uint64]struct{} // received and not handled
	prior   []Span              // above last, handled by an earlier process
	missing []Span              // neither received nor accounted for so far
	renewed bool                // the epoch is new, and what the old one ended with is unknown
	reason  string              // of the suspicion

	mark    time.Time   // of the newest watermark
	marks   []Watermark // whose notices weren't all handled yet
	current time.Time   // every change committed before it was handled
}

// maxMarks bounds the watermarks that wait for their notices; of more, the time
// of handling is told less exactly.
const maxMarks = 256

// resume goes on from what was saved.
func (n *numbers) resume(p Numbers) {
	*n = numbers{epoch: p.Epoch, last: p.Low, prior: slices.Clone(p.Above), open: map[uint64]struct{}{}}
}

// notice takes in a notice that was received.
func (n *numbers) notice(epoch string, seq uint64, at time.Time) {
	switch {
	case seq == 0 || epoch == "":
		return
	case n.epoch == "":
		n.begin(epoch, seq-1)
	case epoch != n.epoch && !at.IsZero() && at.Before(n.mark):
		return // a repeat from an epoch that has ended
	case epoch != n.epoch:
		n.renew(epoch, seq-1)
	}
	n.reach(seq - 1)
	n.last = max(n.last, seq)
	n.missing = without(n.missing, []Span{{seq, seq}})
	n.prior = without(n.prior, []Span{{seq, seq}}) // handled, but its ack got lost
	n.open[seq] = struct{}{}
}

// watermark takes in a watermark that was received.
func (n *numbers) watermark(w Watermark) {
	switch {
	case n.epoch == "":
		n.begin(w.Epoch, w.Seq)
	case w.Epoch != n.epoch && w.Time.Before(n.mark):
		return
	case w.Epoch != n.epoch:
		n.renew(w.Epoch, w.Seq)
	case w.Seq < n.last && w.Time.After(n.mark) && !n.mark.IsZero():
		n.begin(w.Epoch, w.Seq)
		n.renewed, n.reason = true, reasonBackwards
	case w.Seq < n.last:
		return // an older one, delivered again
	}
	n.reach(w.Seq)
	if w.Time.After(n.mark) {
		n.mark = w.Time
		if len(n.marks) == maxMarks {
			n.marks[maxMarks-1] = w
		} else {
			n.marks = append(n.marks, w)
		}
	}
	n.advance()
}

// begin knows nothing but that everything up to last is somebody else's to
// account for.
func (n *numbers) begin(epoch string, last uint64) {
	n.epoch, n.last = epoch, last
	n.open, n.prior, n.missing, n.marks = map[uint64]struct{}{}, nil, nil, nil
}

func (n *numbers) renew(epoch string, last uint64) {
	n.begin(epoch, last)
	n.renewed, n.reason = true, reasonEpoch
	if last > 0 {
		n.missing = []Span{{1, last}}
	}
}

// reach says that every number up to seq has been published before what was just
// received: those that were not received are missing, unless an earlier process
// has handled them.
func (n *numbers) reach(seq uint64) {
	if seq <= n.last {
		return
	}
	gap := without([]Span{{n.last + 1, seq}}, n.prior)
	n.prior = without(n.prior, []Span{{n.last + 1, seq}})
	n.last = seq
	if len(gap) > 0 {
		n.missing = append(n.missing, gap...)
		n.reason = reasonHole
	}
}

// handled says that notices needn't be handled again.
func (n *numbers) handled(epoch string, seqs ...uint64) {
	if epoch != n.epoch {
		return
	}
	for _, seq := range seqs {
		delete(n.open, seq)
	}
	n.advance()
}

// advance finds the newest watermark whose notices were all handled.
func (n *numbers) advance() {
	if len(n.marks) == 0 || n.suspicious() {
		return
	}
	low, i := n.low(), 0
	for i < len(n.marks) && n.marks[i].Seq <= low {
		n.current = n.marks[i].Time
		i++
	}
	n.marks = slices.Delete(n.marks, 0, i)
}

// low is the highest number up to which every notice was handled.
func (n *numbers) low() uint64 {
	low := n.last
	for seq := range n.open {
		low = min(low, seq-1)
	}
	return low
}

// suspicious reports whether notices may have been missed.
func (n *numbers) suspicious() bool { return n.renewed || len(n.missing) > 0 }

// explain takes what another process has saved meanwhile as an explanation, and
// reports whether nothing suspicious is left.
func (n *numbers) explain(p Numbers) bool {
	if p.Epoch == n.epoch && p.Epoch != "" && n.reason != reasonBackwards {
		n.renewed = false
		n.missing = without(n.missing, append([]Span{{1, p.Low}}, p.Above...))
	}
	if n.suspicious() {
		return false
	}
	n.reason = ""
	n.advance()
	return true
}

// forgive says that what may have been missed is made up for otherwise.
func (n *numbers) forgive() {
	n.renewed, n.missing, n.reason = false, nil, ""
	n.advance()
}

// saved is what can be said to the next process. It isn't to be saved while
// there is a suspicion.
func (n *numbers) saved() Numbers {
	p := Numbers{Epoch: n.epoch, Low: n.low()}
	at := p.Low + 1
	for _, seq := range slices.Sorted(maps.Keys(n.open)) {
		if seq > at {
			p.Above = append(p.Above, Span{at, seq - 1})
		}
		at = seq + 1
	}
	if at <= n.last {
		p.Above = append(p.Above, Span{at, n.last})
	}
	p.Above = append(p.Above, n.prior...)
	return p
}

// without returns what of the spans a isn't in those of b.
func without(a, b []Span) []Span {
	for _, cut := range b {
		var left []Span
		for _, s := range a {
			if cut.Last < s.First || cut.First > s.Last {
				left = append(left, s)
				continue
			}
			if s.First < cut.First {
				left = append(left, Span{s.First, cut.First - 1})
			}
			if cut.Last < s.Last {
				left = append(left, Span{cut.Last + 1, s.Last})
			}
		}
		a = left
	}
	return a
}
