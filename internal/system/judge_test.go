package system

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/goswale/swale/resn"
)

// judge compares what somebody got with the truth, and with what the guarantees
// say about answers that were asked for by somebody else before.
func (w *world) judge(a *ask) {
	w.mu.Lock()
	defer w.mu.Unlock()
	about := w.about(a)
	if a.err != nil {
		w.say(a.p.name, about, "%s: gets error %v", a.name(), a.err)
		if !a.cancelled && !w.sawFailure(a) {
			w.breaks("G5", about, "%s got error %v, although it wasn't cancelled and no request failed", a.name(), a.err)
		}
		return
	}
	id, _ := strconv.Atoi(a.header.Get("X-Request"))
	if id < 1 || id > len(w.exchanges) {
		w.breaks("G8", about, "%s got status %d that nobody sent", a.name(), a.status)
		return
	}
	x := w.exchanges[id-1]
	w.say(a.p.name, about, "%s: gets %s, by request %d [%s]", a.name(), x.sees, id, a.header.Get("Cache-Status"))
	if want := x.sees.String() + x.want.query + x.want.lang; x.want != a.want || x.res != a.res || a.body != want {
		w.breaks("G8", about, "%s got the body %q under the header of request %d, whose body is %q", a.name(), a.body, id, want)
		return
	}
	if a.final && !w.plan.silentLag() && !x.truth() {
		w.breaks("G1", about, "everything works again, and %s got %s where %s is true", a.name(), x.sees, x.now())
		return
	}
	if x.sent >= a.start {
		return // the owner's own word
	}
	w.judgeNotices(a, x, about)
	w.judgeWrites(a, x, about)
	if x.done < a.start {
		w.judgeHit(a, x, about)
	}
}

// silentLag reports whether the owner's reads lag and it doesn't say so.
func (p *plan) silentLag() bool { return p.lag > p.declared }

// judgeNotices: no answer that was asked for before a notice came is given to
// who comes after it (G1, G2), and no lagging answer from after it is kept (G4).
func (w *world) judgeNotices(a *ask, x *exchange, about []string) {
	for _, part := range x.res.parts {
		n, shown := x.sees[part.path]
		if !shown {
			continue
		}
		heard := a.p.notices[part.path]
		for i := range heard {
			nt := &heard[i]
			if nt.step >= a.start || nt.n <= n || x.shows(part, nt.n) {
				continue
			}
			switch {
			case x.sent < nt.step && x.done < nt.step:
				w.breaks("G1", about, "%s came at step %d, after the notice %q of step %d, and got %s@%d, which was stored before it",
					a.name(), a.start, nt.text, nt.step, part.path, n)
			case x.sent < nt.step:
				w.breaks("G2", about, "%s came at step %d, after the notice %q of step %d, and got %s@%d, which was under way then",
					a.name(), a.start, nt.text, nt.step, part.path, n)
			case x.done >= a.start: // joined a question from after the notice
			case part == x.res && a.want.query == "" && w.plan.maxRecords == 0 && a.p.unheeded[part.path] < nt.step && nt.tag != "" && nt.inTurn && i == lastBefore(heard, x.sent):
				w.breaks("G4", about, "%s got %s@%d from the store, but the notice %q of step %d names %s",
					a.name(), part.path, n, nt.text, nt.step, nt.tag)
			case !x.lags:
				w.breaks("G1", about, "%s got %s@%d from the store, which the owner answered after the notice %q of step %d",
					a.name(), part.path, n, nt.text, nt.step)
			}
		}
	}
}

// lastBefore returns the index of the newest notice from before a step.
func lastBefore(heard []notice, step int) int {
	for i, n := range slices.Backward(heard) {
		if n.step < step {
			return i
		}
	}
	return -1
}

// judgeWrites: who comes after an own write doesn't get what was asked before it,
// neither of what was written nor of what shows it.
func (w *world) judgeWrites(a *ask, x *exchange, about []string) {
	for _, part := range x.res.parts {
		at, ok := a.p.wroteAt[part.path]
		n, shown := x.sees[part.path]
		if ok && shown && x.sent < at && at < a.start && n < a.p.wrote[part.path] {
			w.breaks("G6", about, "%s came at step %d and got %s, although its process had written version %d of %s at step %d",
				a.name(), a.start, x.sees, a.p.wrote[part.path], part.path, at)
		}
	}
}

// judgeHit looks at an answer from the store.
func (w *world) judgeHit(a *ask, x *exchange, about []string) {
	w.tally.count(countHits)
	age := a.startAt.Sub(x.doneAt)
	bound, guarantee := lease+tolerance, "G3"
	if age < time.Duration(x.res.maxAge)*time.Second {
		// HTTP's own freshness, which counts from a date in whole seconds.
		bound, guarantee = time.Duration(x.res.maxAge)*time.Second+w.plan.lag+2*time.Second, "G8"
	} else {
		w.tally.count(countVouched)
		// Own writes are seen, whatever replicas show, until their notices came:
		// then it is for these to say.
		for _, part := range x.unheard {
			n, at := a.p.wrote[part.path], a.p.wroteAt[part.path]
			if shown, shows := x.sees[part.path]; shows && shown < n && x.sent > at && !x.shows(part, n) {
				w.breaks("G6", about, "%s got %s from the store, vouched for, but its process had written version %d of %s at step %d, before request %d",
					a.name(), x.sees, n, part.path, at, x.id)
				return
			}
		}
		if age > w.plan.vouchLimit {
			w.breaks("G7", about, "%s got what was asked %v ago, vouched for, and VouchLimit is %v", a.name(), age, w.plan.vouchLimit)
			return
		}
		if w.plan.silentLag() {
			return // nothing is promised
		}
		if w.plan.lag > 0 {
			guarantee = "G4"
		}
	}
	for _, part := range x.res.parts {
		if n, shown := x.sees[part.path]; shown && !x.current(part, n, a.startAt.Add(-bound)) {
			w.breaks(guarantee, about, "%s got %s@%d from the store, %v old, which hasn't been current for more than %v",
				a.name(), part.path, n, age, bound)
		}
	}
}

// sawFailure reports whether a request that somebody may have waited for failed.
func (w *world) sawFailure(a *ask) bool {
	return slices.ContainsFunc(w.exchanges, func(x *exchange) bool {
		return x.failed && x.done >= a.start && x.p == a.p && x.res == a.res
	})
}

// judgeRequest: one question at a time (G5).
func (w *world) judgeRequest(x *exchange) {
	for _, o := range w.flying {
		same := o.p == x.p && o.res == x.res && o.want == x.want && o.method == x.method
		switch {
		case !same, o.ctx.Err() != nil, x.p.happened >= o.sent, x.p.tried[x.res.path] >= o.sent, x.res.varies:
			continue
		case slices.ContainsFunc(w.exchanges, func(e *exchange) bool { return e.failed && e.p == x.p && e.res == x.res }):
			continue // who has waited in vain asks alone
		}
		w.breaks("G5", []string{x.res.path, x.p.name}, "request %d asks for %s although request %d, sent at step %d, is under way and nothing came in between",
			x.id, x.res.path, o.id, o.sent)
	}
}

// judgeGivenUp: a request isn't given up while somebody waits for it (G5).
func (w *world) judgeGivenUp(x *exchange) {
	if x.method != http.MethodGet || x.p.happened >= x.sent {
		return
	}
	if _, silent := errors.AsType[*resn.SilentError](context.Cause(x.ctx)); silent {
		return // by patience, which whoever waits for the same owner shares
	}
	for _, a := range w.asking {
		waits := a.p == x.p && a.res == x.res && a.want == x.want && !a.cancelled && a.start > x.sent && a.start < w.step
		alone := !slices.ContainsFunc(w.flying, func(o *exchange) bool {
			return o != x && o.p == x.p && o.res == x.res && o.want == x.want && o.sent < w.step
		})
		if waits && alone && errors.Is(x.ctx.Err(), context.Canceled) {
			w.breaks("G5", w.about(a), "request %d was given up although %s waits for it", x.id, a.name())
		}
	}
}

// judgeBounds looks at what a process says about its topics (G3), and at what it
// holds (G7).
func (w *world) judgeBounds(p *process) {
	states := p.client.Topics()
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for _, state := range states {
		if !state.Live {
			continue
		}
		for _, c := range w.changes {
			if age := now.Sub(c.at); c.res.topic == state.Topic && age > state.Staleness+tolerance && !w.heardOf(p, c) {
				w.breaks("G3", []string{p.name, state.Topic, c.res.path}, "%s says that %s is live and at most %v behind, and hasn't heard of %s, committed %v ago",
					p.name, state.Topic, state.Staleness, c, age)
			}
		}
	}
	if s := p.client.Cache().Stats(); w.plan.maxBytes > 0 && s.Bytes > w.plan.maxBytes {
		w.breaks("G7", nil, "%s stores %d bytes, and MaxBytes is %d", p.name, s.Bytes, w.plan.maxBytes)
	}
}

// heardOf reports whether a process has heard of a change: it got the notice, or
// a later number, or a message of an epoch that began later.
func (w *world) heardOf(p *process, c *change) bool {
	h := p.topics[c.res.topic]
	if h == nil {
		return false
	}
	if !h.began.Before(c.at) {
		return true
	}
	if c.epoch == "" {
		return false
	}
	epoch := w.epochs[c.res.topic][c.epoch]
	return epoch < h.epoch || epoch == h.epoch && c.seq <= h.last
}

// about lists what matters to a question.
func (w *world) about(a *ask) []string {
	about := append([]string{a.p.name, a.res.path}, a.res.names...)
	for _, part := range a.res.parts {
		about = append(about, part.path)
	}
	return about
}
