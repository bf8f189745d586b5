package cache

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// invalidation is one reason why what was asked before it mustn't be reused.
type invalidation struct {
	kind          invalidationKind
	life          int // of the process that was told
	step          int
	at            time.Time
	path, query   string // what it names, or
	group, prefix string // a group, or all that begin so
	topic         string // of a notice
	tag           string // the version that it names
	gone          bool
	change        int  // of a notice: its place in the resource's history
	heeded        bool // of a write: who announced the version there was is still heard
	resets        int  // of a notice: those of its topic before
	label         string
}

type invalidationKind int

const (
	byNotice invalidationKind = iota
	byWrite
	byCall
)

// covers reports whether it is about a resource.
func (i *invalidation) covers(r *resource) bool {
	switch {
	case i.prefix != "":
		return strings.HasPrefix(r.path, i.prefix)
	case i.group != "":
		return slices.Contains(r.groups, i.group)
	case i.path == r.path:
		return true
	}
	return i.kind != byCall && slices.Contains(r.groups, i.path) || i.kind == byNotice && slices.Contains(r.groups, i.topic)
}

// names reports whether it says that an answer is the version there is now.
// An ETag belongs to one URI.
func (i *invalidation) names(x *exchange) bool {
	if i.kind != byNotice || i.path != x.want.path || i.query != x.want.query {
		return false
	}
	return i.gone && x.status == http.StatusNotFound || i.tag != "" && i.tag == x.tag
}

func (i *invalidation) expects() bool { return i.tag != "" || i.gone }

// invalidated takes in that a cache was told.
func (w *world) invalidated(i invalidation) {
	i.at, i.life = time.Now(), w.life
	for _, t := range w.topics {
		if t.name == i.topic {
			i.resets = t.truth.resets
		}
	}
	w.invalidations = append(w.invalidations, i)
	for _, x := range w.flying {
		if x.method == http.MethodGet && i.covers(x.res) {
			w.tally.count(countAcross)
		}
	}
}

// newest returns the newest invalidation before a step that names the
// resource itself. A write doesn't undo what a notice has said, as long as
// there will be another notice if it isn't true any more.
func (w *world) newest(r *resource, before int) *invalidation {
	for n := len(w.invalidations) - 1; n >= 0; n-- {
		i := &w.invalidations[n]
		if i.life == w.life && i.step < before && !i.heeded && (i.path == r.path || i.prefix != "" && i.covers(r)) {
			return i
		}
	}
	return nil
}

// heeded reports whether the topic that named the version of a path is live.
func (w *world) heeded(path string) bool {
	last := w.newest(w.resource(path), w.step+1)
	for last != nil && last.prefix != "" { // which names no version, and leaves the one that is
		last = w.newest(w.resource(path), last.step)
	}
	if last == nil || last.kind != byNotice {
		return false
	}
	for _, t := range w.topics {
		if t.name == last.topic {
			return time.Now().Before(t.truth.until)
		}
	}
	return false
}

// past reports whether what a notice named may have ended unheard before a
// question was sent, and that notice is old enough for replicas to know it.
func (w *world) past(i *invalidation, x *exchange) bool {
	for _, t := range w.topics {
		if t.name == i.topic {
			return t.truth.resets != i.resets && x.sentAt.Sub(i.at) >= lagTime
		}
	}
	return false
}

// made reports whether an own write's answer said that an answer is the version
// that it made, after a step.
func (w *world) made(x *exchange, after int) bool {
	return slices.ContainsFunc(w.writes, func(o *write) bool {
		if o.life != w.life || o.over <= after || o.over >= x.sent || o.target != x.res {
			return false
		}
		if o.method == http.MethodDelete {
			return x.status == http.StatusNotFound && o.want.query == x.want.query
		}
		return o.tag != "" && o.tag == x.tag
	})
}

// unwritten finds an own write from before a question was sent that the answer
// doesn't show, although nobody who could have announced it has spoken since.
func (w *world) unwritten(x *exchange) *write {
	for _, o := range w.writes {
		if o.life != w.life || o.over == 0 || o.over >= x.sent {
			continue
		}
		content, shown := x.sees[o.target.path]
		if !shown || o.target.trueFrom(content, o.change) || o.target != x.res && (x.between || !x.res.joins(o.target)) {
			continue
		}
		if x.heard.After(o.overAt) && x.liveThen || slices.ContainsFunc(w.invalidations, func(i invalidation) bool {
			return i.kind == byNotice && i.path == o.target.path && i.change >= o.change && i.step < x.sent
		}) {
			continue // its notice has come: then notices count
		}
		if x.liveThen {
			return o
		}
		if o.target != x.res {
			continue
		}
		// Without notices HTTP's freshness counts, unless it is known better.
		if (o.tag != "" || o.method == http.MethodDelete) && x.want.query == "" && x.sentAt.Sub(o.overAt) < lagTime &&
			w.plan.maxRecords == 0 && w.newestWrite(o) {
			return o
		}
	}
	return nil
}

// joins reports whether a write to another resource is known to concern this one
// before its notice comes.
func (r *resource) joins(written *resource) bool {
	return slices.Contains(r.named, written.topic) && slices.ContainsFunc(r.groups, func(g string) bool {
		return g == written.path || g == written.topic.name
	})
}

// newestWrite reports whether no other write was about the same since.
func (w *world) newestWrite(o *write) bool {
	return !slices.ContainsFunc(w.invalidations, func(i invalidation) bool {
		return i.step > o.over && i.kind == byWrite && i.path == o.target.path
	})
}

// judgeQuestion looks at a request that the cache sends.
func (w *world) judgeQuestion(x *exchange) {
	about := w.about(x.res)
	// G4: the first question after a notice goes through to the owner.
	if !x.noCache {
		for n := len(w.invalidations) - 1; n >= 0; n-- {
			i := &w.invalidations[n]
			if i.kind != byNotice || i.path != x.want.path || i.step > x.sent || i.life != w.life {
				continue
			}
			if !slices.ContainsFunc(w.exchanges, func(o *exchange) bool {
				return o.plain() && o.variant() == x.variant() && o.noCache && o.sent > i.step && o.headed > 0 && o.sent < x.sent
			}) {
				w.breaks("G4", about, "#%d is the first question for %s after the notice %q of step %d, "+
					"but it lets intermediaries answer: it doesn't say no-cache", x.id, x.want, i.label, i.step)
			}
			break
		}
	}
	// G5: one question at a time for one representation, unless something
	// came in between. Who has waited for one answer after the other that
	// couldn't be shared asks alone.
	wasted := 0
	if x.res.varies {
		wasted++ // he may have learned by waiting that it does
	}
	for _, o := range w.exchanges {
		if o.cut && o.want.uri() == x.want.uri() && o.want.user == x.want.user {
			wasted++
		}
	}
	if wasted >= maxAttempts {
		return
	}
	for _, o := range w.flying {
		if o == x || o.want != x.want || !o.plain() || o.ctx.Err() != nil || o.failed {
			continue
		}
		if w.insisted(x) || w.insisted(o) || o.status == http.StatusServiceUnavailable {
			continue
		}
		if x.resets != o.resets {
			continue
		}
		if slices.ContainsFunc(w.invalidations, func(i invalidation) bool { return i.step >= o.sent && i.covers(x.res) }) ||
			slices.ContainsFunc(w.unsure, func(u unsure) bool { return u.step >= o.sent && u.concerns(x.res) }) {
			continue
		}
		// What can't be reused once it is there isn't waited for then.
		if o.headed > 0 && o.headed <= x.sent {
			continue
		}
		w.breaks("G5", about, "#%d asks for %s although #%d, sent at step %d, is under way and nothing came in between",
			x.id, x.want, o.id, o.sent)
	}
}

// judgeGivenUp looks at the questions that the cache gave up during this step:
// nobody may have waited for them (G5).
func (w *world) judgeGivenUp() {
	for _, x := range w.flying {
		if x.noticed || x.ctx.Err() == nil || !x.plain() || time.Since(x.sentAt) >= refreshTime {
			continue
		}
		x.noticed = true
		if x.status == http.StatusServiceUnavailable {
			continue // that is for one reader only
		}
		for _, r := range w.reading {
			k := x.res.variant(r.want)
			if r.head || r.span != "" || k != x.variant() || r.start <= x.sent || r.start >= w.step || r.cancelled || r.noCache {
				continue
			}
			joined := !slices.ContainsFunc(w.flying, func(o *exchange) bool {
				return o != x && o.want.uri() == x.want.uri() && o.want.user == x.want.user && o.sent < w.step
			}) && !slices.ContainsFunc(w.invalidations, func(i invalidation) bool {
				return i.step >= x.sent && i.covers(x.res)
			})
			if joined {
				w.breaks("G5", w.about(x.res), "#%d was given up although %s, who came at step %d, waits for it",
					x.id, r.name(), r.start)
			}
		}
	}
}

// insisted reports whether a reader who wants the owner's word caused a
// question.
func (w *world) insisted(x *exchange) bool {
	return slices.ContainsFunc(w.readers, func(r *reader) bool {
		return r.noCache && r.want == x.want && r.start == x.sent
	})
}

// judgeReader compares what a reader got with what the guarantees allow.
func (w *world) judgeReader(r *reader) {
	res := w.resource(r.want.path)
	about := w.about(res)
	if r.err != nil {
		w.say(r.name(), r.want.path, "gets error %v", r.err)
		w.judgeError(r, about)
		return
	}
	id, _ := strconv.Atoi(r.resp.Header.Get("X-Fill"))
	if id < 1 || id > len(w.exchanges) {
		w.breaks("G8", about, "%s got a response with status %d that nobody sent", r.name(), r.resp.StatusCode)
		return
	}
	x := w.exchanges[id-1]
	how := r.resp.Header.Get("Cache-Status")
	w.say(r.name(), r.want.path, "gets #%d %d %s [%s]", id, r.resp.StatusCode, x.sees, how)
	if !w.judgeContent(r, x, about) {
		return
	}
	reused := x.sent < r.start
	if r.value != nil {
		w.tally.count(countTyped)
		if v, _ := r.value.(string); !reused || r.body != "" && v != r.body {
			w.breaks("G1", about, "%s got the decoded value %q at once, but a request at the same moment isn't answered with it: %q [%s]",
				r.name(), withoutPadding(v), withoutPadding(r.body), how)
			return
		}
	}
	if reused {
		w.judgeReuse(r, x, about)
	} else {
		w.judgeAnswer(r, x, about)
	}
}

func (w *world) judgeError(r *reader, about []string) {
	if r.cancelled {
		if !errors.Is(r.err, context.Canceled) && !w.sawFailure(r, false) {
			w.breaks("G5", about, "%s was cancelled, but got %v", r.name(), r.err)
		}
		return
	}
	if !w.sawFailure(r, false) {
		w.breaks("G5", about, "%s wasn't cancelled and no request failed, but it got %v", r.name(), r.err)
	}
}

// sawFailure reports whether a question that a reader may have waited for
// failed, or was given up.
func (w *world) sawFailure(r *reader, orGivenUp bool) bool {
	return slices.ContainsFunc(w.exchanges, func(x *exchange) bool {
		failed := x.failed && !x.givenUp || x.status == http.StatusServiceUnavailable ||
			orGivenUp && (x.givenUp || x.ctx.Err() != nil)
		return failed && (x.done == 0 || x.done >= r.start) &&
			x.want.path == r.want.path && x.want.query == r.want.query && x.want.user == r.want.user
	})
}

// judgeContent checks that a response is one of what was asked for.
func (w *world) judgeContent(r *reader, x *exchange, about []string) bool {
	if x.status == http.StatusServiceUnavailable {
		if x.sent < r.start && x.done < r.start {
			w.breaks("G8", about, "%s got the 503 of #%d, which was for others", r.name(), x.id)
		}
		return false
	}
	switch {
	case r.head:
		w.tally.count(countHeads)
		if r.body != "" || r.resp.ContentLength != int64(len(x.content)) {
			w.breaks("G8", about, "%s got Content-Length %d and %d bytes by HEAD, but #%d has %d",
				r.name(), r.resp.ContentLength, len(r.body), x.id, len(x.content))
		}
		return true
	case r.resp.StatusCode == http.StatusPartialContent:
		return w.judgePart(r, x, about)
	case r.body == "":
		return true
	}
	what, s, ok := readBody(r.body)
	k := w.resource(r.want.path).variant(r.want)
	if want := k.path + k.query + "|" + k.lang + "|" + k.user; !ok || what != want {
		w.breaks("G8", about, "%s wants %q and got another representation: %q", r.name(), want, withoutPadding(r.body))
		return false
	}
	if s.String() != x.sees.String() {
		w.breaks("G8", about, "%s got the body of %s under the header of #%d, which shows %s", r.name(), s, x.id, x.sees)
		return false
	}
	return true
}

// judgePart checks that a part is of what its header says, and of the version
// that it was wanted of.
func (w *world) judgePart(r *reader, x *exchange, about []string) bool {
	w.tally.count(countParts)
	if x.span == "" {
		w.tally.count(countCutOut)
	}
	if r.span == "" {
		w.breaks("G8", about, "%s wants the whole and got %q", r.name(), r.resp.Header.Get("Content-Range"))
		return false
	}
	if r.ifRange != "" && r.ifRange != x.tag {
		w.breaks("G8", about, "%s wants a part if it is of %s and got one of %s, by #%d", r.name(), r.ifRange, x.tag, x.id)
		return false
	}
	from, to := x.part(r.span)
	if got, want := r.resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(x.content)); got != want || r.body != x.content[from:to] {
		w.breaks("G8", about, "%s wants %s and got %q, %q, where #%d has %q, %q", r.name(), r.span, got, r.body, x.id, want, x.content[from:to])
		return false
	}
	return true
}

// judgeAnswer looks at an answer to a question that was sent after the reader
// came: it can't be older than the notices of before, unless a replica made
// it.
func (w *world) judgeAnswer(r *reader, x *exchange, about []string) {
	if x.lags {
		return
	}
	if i, part := w.outdated(r, x); i != nil {
		w.breaks("G4", about, "%s got #%d with %s=%s, which was over when the notice %q of step %d was written",
			r.name(), x.id, part.path, contentName(x.sees[part.path]), i.label, i.step)
	}
}

// outdated finds a notice from before a reader came that announces the end of
// what the answer shows.
func (w *world) outdated(r *reader, x *exchange) (*invalidation, *resource) {
	for n := range w.invalidations {
		i := &w.invalidations[n]
		if i.kind != byNotice || i.life != w.life || i.step >= r.start {
			continue
		}
		for _, part := range x.res.parts {
			if x.between && part != x.res {
				continue // who has never seen it doesn't know what it embeds
			}
			if content, ok := x.sees[part.path]; ok && part.path == i.path && !part.trueFrom(content, i.change) {
				return i, part
			}
		}
	}
	return nil, nil
}

// judgeReuse looks at an answer to a question that was sent before the reader
// came: a hit, or a question that he joined.
func (w *world) judgeReuse(r *reader, x *exchange, about []string) {
	joined := x.done == 0 || x.done >= r.start

	// G1, G2, G6: nothing came in between.
	last := w.newest(x.res, r.start)
	spared := false
	for n := range w.invalidations {
		i := &w.invalidations[n]
		if i.life != w.life || i.step <= x.sent || i.step >= r.start || !i.covers(x.res) {
			continue
		}
		if i.kind != byWrite && i.path == x.want.path && last.names(x) {
			spared = true
			continue
		}
		guarantee, what := "G1", "was stored then"
		if x.done == 0 || x.done > i.step {
			guarantee, what = "G2", "was under way then"
		}
		if i.kind == byWrite {
			guarantee = "G6"
		}
		w.breaks(guarantee, about, "%s, who came at step %d, got #%d, which was asked at step %d and %s; but %q came at step %d",
			r.name(), r.start, x.id, x.sent, what, i.label, i.step)
		return
	}
	if joined {
		w.tally.count(countJoined)
		return
	}
	w.tally.count(countHits)
	if x.life != w.life {
		w.tally.count(countRevived)
	}
	if x.method == http.MethodHead {
		w.tally.count(countFreshened)
	}
	if x.status == http.StatusNotFound {
		w.tally.count(countNegative)
	}
	if spared {
		w.tally.count(countSpared)
	}
	if r.noCache {
		w.breaks("G8", about, "%s said no-cache and got #%d from the store", r.name(), x.id)
		return
	}

	// G4: an answer that isn't the version noticed is for who asked. What was
	// forgotten counts as a notice, but nobody knows what it named.
	if w.plan.maxRecords == 0 && last != nil && last.kind == byNotice && last.expects() && last.query == x.want.query && last.step < x.sent && !last.names(x) &&
		!w.newest(x.res, w.step+1).names(x) && !w.past(last, x) && !w.made(x, last.step) {
		w.breaks("G4", about, "%s got #%d %d %s from the store, but it isn't the version that the notice %q of step %d names",
			r.name(), x.id, x.status, x.tag, last.label, last.step)
		return
	}
	if i, part := w.outdated(r, x); i != nil && !x.lags {
		w.breaks("G1", about, "%s got #%d from the store with %s=%s, which was over when the notice %q of step %d was written",
			r.name(), x.id, part.path, contentName(x.sees[part.path]), i.label, i.step)
		return
	}

	// G6: nor one of a replica that hasn't seen what this process wrote.
	if o := w.unwritten(x); o != nil {
		w.breaks("G6", about, "%s got #%d with %s=%s from the store, but %s had written %s at step %d, before #%d was sent",
			r.name(), x.id, o.target.path, contentName(x.sees[o.target.path]), o.name(), contentName(o.target.history[o.change].content), o.over, x.id)
		return
	}

	// HTTP's own freshness, by the least age that the answer can have.
	age := r.startAt.Sub(x.headedAt) + time.Duration(x.age)*time.Second
	seconds := func(n int) time.Duration { return time.Duration(n) * time.Second }
	if age < seconds(x.maxAge) {
		return
	}
	guarantee, why := w.unvouched(x, r, last)
	switch {
	case why == "":
		w.tally.count(countVouched)
		w.judgeStaleness(r, x, about)
		return
	case x.swr > 0 && age < seconds(x.maxAge+x.swr),
		x.sie > 0 && age <= seconds(x.maxAge+x.sie) && w.sawFailure(r, true):
		w.tally.count(countStale)
		return
	}
	w.breaks(guarantee, about, "%s got #%d from the store, %v old with max-age=%d, and nobody may vouch for it: %s",
		r.name(), x.id, age, x.maxAge, why)
}

// unvouched says why nobody may vouch for an answer, and which guarantee says
// so.
func (w *world) unvouched(x *exchange, r *reader, last *invalidation) (guarantee, why string) {
	live, _ := x.res.live(r.startAt)
	switch {
	case len(x.res.named) == 0:
		return "G8", "it names no topic"
	case !x.live:
		return "G3", "its topic wasn't live when it was asked for"
	case x.resets != x.res.resets():
		return "G3", "notices may have been missed since: its topic was reset"
	case !live:
		return "G3", "its topic isn't live now"
	case r.startAt.Sub(x.headedAt) > w.plan.vouchLimit:
		return "G7", fmt.Sprintf("it is older than VouchLimit %v", w.plan.vouchLimit)
	case x.between && !x.noCache:
		return "G4", "it is from an intermediary's store, and may be from before a notice that nobody here had to hear"
	}
	lag := w.plan.declared
	settled := x.sentAt.Add(-lag)
	if lag == 0 || last != nil && last.names(x) || w.made(x, 0) {
		return "", ""
	}
	// What else was invalidated along with it has settled after that time, too.
	for last != nil && last.prefix != "" && !last.at.After(settled) {
		if last = w.newest(x.res, last.step); last != nil && last.names(x) {
			return "", ""
		}
	}
	if x.liveFrom.After(settled) {
		return "G4", "its topic wasn't live for the whole time by which reads may lag"
	}
	for n := range w.invalidations {
		i := &w.invalidations[n]
		if i.kind == byNotice && i.step < x.sent && i.covers(x.res) && i.at.After(settled) {
			return "G4", fmt.Sprintf("the notice %q came at step %d, and reads may lag by %v", i.label, i.step, lag)
		}
	}
	return "", ""
}

// judgeStaleness checks the bound: what is vouched for was true at some
// moment not longer ago than lease and tolerance.
func (w *world) judgeStaleness(r *reader, x *exchange, about []string) {
	if x.lags && w.plan.declared < w.plan.lag {
		return // its owner didn't say that reads lag: nothing is promised
	}
	for _, part := range x.res.parts {
		content, ok := x.sees[part.path]
		if !ok || !slices.Contains(x.res.named, part.topic) {
			continue
		}
		if !part.trueSince(content, r.startAt.Add(-simLease-simTolerance)) {
			w.breaks("G3", about, "%s got #%d from the store, vouched for, with %s=%s, which has been over for longer than %v",
				r.name(), x.id, part.path, contentName(content), simLease+simTolerance)
		}
	}
}

// judgeBounds checks G7 after each step.
func (w *world) judgeBounds() {
	s := w.cache.Stats()
	if w.plan.maxBytes > 0 && s.Bytes > w.plan.maxBytes {
		w.breaks("G7", nil, "%d bytes are stored, MaxBytes is %d", s.Bytes, w.plan.maxBytes)
	}
	if w.plan.maxRecords > 0 {
		// What is stored or under way keeps its own, and its groups'.
		if bound := max(w.plan.maxRecords, ledgerShards) + 2*(s.Entries+len(w.flying)); s.Records > bound {
			w.breaks("G7", nil, "%d generations are kept for %d entries and %d questions, MaxRecords is %d",
				s.Records, s.Entries, len(w.flying), w.plan.maxRecords)
		}
	}
}

// about lists what matters to a resource.
func (w *world) about(r *resource) []string {
	about := []string{r.path}
	for _, part := range r.parts {
		about = append(about, part.path)
	}
	for _, t := range r.named {
		about = append(about, t.name)
	}
	return append(about, r.groups...)
}
