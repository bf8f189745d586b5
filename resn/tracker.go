package resn

import (
	"fmt"
	"time"
)

// tracker is what one process knows about one topic: which notices it has
// seen, and until when the owner's word holds. It decides and does nothing;
// the [Listener] carries out its verdicts in order. It is not safe for
// concurrent use.
type tracker struct {
	lease     time.Duration // how long a watermark's word holds
	tolerance time.Duration // how far ahead an owner's clock may run
	without   sabotage

	epoch string    // "" until the first numbered message
	first uint64    // every notice with a number above it, up to last, was seen
	last  uint64    // the highest number seen or spoken of
	mark  time.Time // the time of the newest watermark
}

// verdict is what follows from a message, to be done in this order: reset,
// suspend, apply, heard, vouch.
type verdict struct {
	reset   bool      // notices were missed: what was vouched for must be asked about
	suspend bool      // nobody vouches until the next watermark
	apply   bool      // invalidate what the notice names
	etag    bool      // the notice is the latest one: its ETag may be believed
	heard   time.Time // by our clock: what was changed before was announced, if not zero
	vouch   time.Time // entries may be reused until then, if not zero
	reason  string    // why it was reset or suspended, or why not vouched

	measured string // what is said after the reason
}

// Reasons, in the words that states and logs use.
const (
	reasonNone       = "no watermark yet"
	reasonSilence    = "no watermark within the lease"
	reasonHole       = "a notice is missing"
	reasonEpoch      = "a new publisher epoch began"
	reasonBackwards  = "the sequence went backwards"
	reasonClock      = "the owner's clock is ahead of ours by more than the tolerance"
	reasonUnreadable = "a numbered notice can't be read"
	reasonLate       = "the watermark is older than the lease"
)

// notice takes a notice in.
func (k *tracker) notice(epoch string, seq uint64, at time.Time) verdict {
	switch {
	case seq == 0:
		// An owner that doesn't number can be heard, not vouched for.
		return verdict{apply: true, etag: true}
	case k.epoch == "":
		k.epoch, k.first, k.last = epoch, seq-1, seq
		return verdict{apply: true, etag: true}
	case epoch != k.epoch && !at.IsZero() && at.Before(k.mark):
		// A repeat from an epoch that has ended.
		return verdict{apply: true}
	case epoch != k.epoch:
		k.epoch, k.first, k.last = epoch, seq-1, seq
		return verdict{apply: true, etag: true, reset: !k.without.epochs, suspend: true, reason: reasonEpoch}
	case seq == k.last+1:
		k.last = seq
		return verdict{apply: true, etag: true, reset: k.without.coarse}
	case seq > k.last:
		k.first, k.last = seq-1, seq
		return verdict{apply: true, etag: true, reset: !k.without.holes, suspend: true, reason: reasonHole}
	case seq > k.first, k.without.repeats:
		// Seen before: a bus that delivers at least once, or a relay that
		// repeats itself after a crash.
		return verdict{}
	default:
		// Late, out of a hole. What it names may have changed again since.
		return verdict{apply: true}
	}
}

// elsewhere judges a notice that came by another subscription of this process:
// whether the cache must still be told of it, and whether its ETag may be
// believed. What this one has seen and what is missing stays as it is, because
// the notice is still to come here.
func (k *tracker) elsewhere(epoch string, seq uint64) (apply, etag bool) {
	if seq == 0 || k.epoch == "" || epoch != k.epoch {
		return true, false
	}
	return seq <= k.first || seq > k.last, seq > k.last
}

// unreadable takes in a message that can't be applied. If it was the next
// notice then what it said is lost, and loss is never silent; otherwise it is
// noise, and whoever can write noise to a topic must not be able to cause a
// herd by it.
func (k *tracker) unreadable(epoch string, seq uint64) verdict {
	if seq <= k.last || epoch != k.epoch {
		return verdict{}
	}
	k.first, k.last = seq, seq
	return verdict{reset: true, suspend: true, reason: reasonUnreadable}
}

// watermark takes a watermark in. What it says stays true however late or
// often it arrives, so an old one can do no more than vouch for a time that is
// over.
func (k *tracker) watermark(w Watermark, now time.Time) verdict {
	var v verdict
	switch {
	case k.epoch == "":
		k.epoch, k.first, k.last = w.Epoch, w.Seq, w.Seq
	case w.Epoch != k.epoch && w.Time.Before(k.mark):
		return v // a repeat from an epoch that has ended
	case w.Epoch != k.epoch, k.without.restarts && w.Time.After(k.mark):
		v = k.restart(w, reasonEpoch)
	case w.Seq > k.last:
		v = k.restart(w, reasonHole)
	case w.Seq < k.last && w.Time.After(k.mark):
		v = k.restart(w, reasonBackwards)
	case w.Seq < k.last:
		return v // an older one, delivered again
	}
	age := now.Sub(w.Time)
	if age >= -k.tolerance {
		// An owner's clock may be ahead: it has spoken of no more than that.
		v.heard = w.Time.Add(-k.tolerance)
	}
	if k.without.late {
		age = 0
	}
	switch {
	case age < -k.tolerance && !k.without.future:
		// Believing it would stretch the bound by as much as it is ahead.
		v.suspend, v.reason = true, reasonClock
		v.measured = fmt.Sprintf(": by %v, and %v is tolerated", (-age).Round(time.Millisecond), k.tolerance)
		return v
	case age >= k.lease:
		v.reason = reasonLate
		v.measured = fmt.Sprintf(" of %v: it is %v old, if its owner's clock isn't behind ours", k.lease, age.Round(time.Millisecond))
	default:
		// Reckoned from now, so that the monotonic clock counts it down even
		// if somebody sets the wall clock.
		v.vouch = now.Add(k.lease - age)
	}
	if w.Time.After(k.mark) {
		k.mark = w.Time
	}
	return v
}

// restart goes on from a watermark that doesn't follow from what was seen.
func (k *tracker) restart(w Watermark, reason string) verdict {
	k.epoch, k.first, k.last = w.Epoch, w.Seq, w.Seq
	if k.without.grieves && reason == reasonHole {
		k.lease = 0
	}
	overlooked := k.without.holes && reason != reasonEpoch || k.without.epochs && reason == reasonEpoch
	return verdict{reset: !overlooked, suspend: true, reason: reason}
}
