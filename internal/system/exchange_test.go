package system

import (
	"cmp"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goswale/swale/resn"
)

// register takes in the requests that were sent during this step.
func (w *world) register() {
	w.mu.Lock()
	arrived := w.arrived
	w.arrived = nil
	w.mu.Unlock()
	slices.SortStableFunc(arrived, func(a, b *exchange) int {
		return cmp.Or(a.p.id-b.p.id, a.sentAt.Compare(b.sentAt), strings.Compare(a.text(), b.text()))
	})
	for _, x := range arrived {
		x.sent = w.step
		x.id = len(w.exchanges) + 1
		w.exchanges = append(w.exchanges, x)
		w.say(x.p.name, []string{x.res.path}, "request %d: %s", x.id, x.text())
		if x.method == http.MethodGet {
			w.tally.count(countRequests)
			w.judgeRequest(x)
		}
		w.flying = append(w.flying, x)
	}
	for _, x := range slices.Clone(w.flying) {
		if x.ctx.Err() != nil {
			w.say(x.p.name, []string{x.res.path}, "gives request %d up", x.id)
			x.givenUp = true
			// Who hears nothing for so long is given up on, and whoever waits
			// for it is told.
			x.failed = time.Since(x.sentAt) >= resn.DefaultTimeout
			w.judgeGivenUp(x)
			w.land(x)
		}
	}
}

// text is what the request says.
func (x *exchange) text() string {
	text := x.method + " " + x.res.path + x.want.query + " " + x.want.lang
	if x.noCache {
		text += ", no-cache"
	}
	if x.ifMatch != "" {
		text += ", if not " + x.ifMatch
	}
	return text
}

func (w *world) land(x *exchange) {
	if x.method != http.MethodGet {
		// Whatever became of it, it may have changed something.
		x.p.happened, x.p.tried[x.res.path] = w.step, w.step
		if !x.p.live(x.res.topic) {
			x.p.unheeded[x.res.path] = w.step
		}
	}
	x.done, x.doneAt = w.step, time.Now()
	w.mu.Lock()
	for _, part := range x.res.parts {
		if n, ok := x.p.wrote[part.path]; ok && !w.heardOf(x.p, part.past[n]) {
			x.unheard = append(x.unheard, part)
		}
	}
	w.mu.Unlock()
	w.flying = slices.DeleteFunc(w.flying, func(o *exchange) bool { return o == x })
}

// move takes an exchange one stage further: the owner reads, the answer arrives.
func (w *world) move(x *exchange) {
	switch {
	case w.chance(w.plan.failures):
		w.say("network", []string{x.res.path}, "request %d fails", x.id)
		x.failed = true
		w.land(x)
		x.answer <- nil
	case x.method != http.MethodGet && !x.read:
		w.perform(x)
	case !x.read:
		w.readState(x)
	case x.method != http.MethodGet:
		w.answerWrite(x)
	default:
		w.arrive(x)
	}
}

// readState lets the owner, or a replica of its database that lags, make the answer.
func (w *world) readState(x *exchange) {
	x.read, x.seenAt = true, time.Now()
	at := x.seenAt
	if w.plan.lag > 0 && !w.mended && w.chance(0.5) {
		at = at.Add(-time.Duration(w.rng.Int64N(int64(w.plan.lag))))
		x.lags = true
	}
	w.mu.Lock()
	sees, found := x.res.view(at)
	w.mu.Unlock()
	x.sees, x.status, x.tag = sees, http.StatusOK, x.res.tag(sees, x.want)
	if !found {
		x.status, x.tag = http.StatusNotFound, ""
	}
	if x.lags && sees.String() == x.now().String() {
		x.lags = false
	}
	if x.lags {
		w.tally.count(countLagged)
	}
	w.say("owner", []string{x.res.path}, "answers request %d: %d %s%s", x.id, x.status, sees, mark(x.lags, " (a replica that lags)"))
}

func mark(on bool, text string) string {
	if on {
		return text
	}
	return ""
}

// now is what the resource shows now.
func (x *exchange) now() seen {
	sees, _ := x.res.view(time.Now())
	return sees
}

// shows reports whether an answer is the same for another version of a part: one
// 404 is like another.
func (x *exchange) shows(part *resource, n int) bool {
	return x.sees[part.path] == n ||
		part == x.res && n < len(part.past) && part.past[n].gone && part.past[x.sees[part.path]].gone
}

// truth reports whether an answer shows what is true now.
func (x *exchange) truth() bool {
	now := x.now()
	if x.shows(x.res, now[x.res.path]) && x.res.past != nil && x.res.last().gone {
		return true
	}
	return x.sees.String() == now.String()
}

// current reports whether what an answer shows of a part was true at some moment
// not before t.
func (x *exchange) current(part *resource, n int, t time.Time) bool {
	for ; n < len(part.past); n++ {
		if x.shows(part, n) && part.currentSince(n, t) {
			return true
		}
	}
	return false
}

// arrive hands the answer over.
func (w *world) arrive(x *exchange) {
	h := http.Header{"Date": {x.seenAt.Add(w.plan.skew).UTC().Format(http.TimeFormat)}, "X-Request": {strconv.Itoa(x.id)}}
	control := "max-age=" + strconv.Itoa(x.res.maxAge) + `, resn="` + strings.Join(x.res.names, " ") + `"`
	if w.plan.declared > 0 {
		control += ", resn-lag=" + strconv.Itoa(int(w.plan.declared/time.Second))
	}
	h.Set("Cache-Control", control)
	if len(x.res.groups) > 0 {
		h.Set("Cache-Groups", `"`+strings.Join(x.res.groups, `", "`)+`"`)
	}
	if x.res.varies {
		h.Set("Vary", "Accept-Language")
	}
	resp := &http.Response{StatusCode: x.status, ProtoMajor: 1, ProtoMinor: 1, Proto: "HTTP/1.1", Header: h, Body: http.NoBody}
	if x.tag != "" {
		h.Set("Etag", x.tag)
	}
	if x.tag != "" && x.ifMatch == x.tag {
		resp.StatusCode = http.StatusNotModified
		w.tally.count(countConfirmed)
	} else {
		body := x.sees.String() + x.want.query + x.want.lang
		resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	}
	w.land(x)
	x.answer <- resp
}

// perform carries a write out at the owner.
func (w *world) perform(x *exchange) {
	x.read = true
	x.status = http.StatusConflict
	if x.method == http.MethodDelete && x.res.last().gone {
		x.status = http.StatusNotFound
	} else if t := w.begin(x.res, x.method == http.MethodDelete); t != nil {
		w.commit(t)
		x.status, x.makes = http.StatusNoContent, x.res.last()
	}
	w.say("owner", []string{x.res.path}, "answers request %d: %d", x.id, x.status)
}

// answerWrite hands the answer of a write over.
func (w *world) answerWrite(x *exchange) {
	h := http.Header{}
	if x.makes != nil {
		if x.makes.n > x.p.wrote[x.res.path] {
			x.p.wrote[x.res.path], x.p.wroteAt[x.res.path] = x.makes.n, w.step
		}
		h.Set("Cache-Control", "max-age=0, resn="+strconv.Quote(x.res.topic))
		if tag := x.makes.noticeTag(); tag != "" && w.plan.writeTags {
			h.Set("Etag", tag)
		}
	}
	w.land(x)
	x.answer <- &http.Response{
		StatusCode: x.status, ProtoMajor: 1, ProtoMinor: 1, Proto: "HTTP/1.1", Header: h, Body: http.NoBody,
	}
}
