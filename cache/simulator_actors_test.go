package cache

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// reader is somebody in this process who asks for a representation.
type reader struct {
	id      int
	want    wanted
	noCache bool   // insists on the owner
	partial bool   // doesn't read to the end
	typed   bool   // tries a decoded value first
	head    bool   // HEAD
	span    string // Range
	ifRange string // If-Range
	cancel  context.CancelFunc

	start     int
	startAt   time.Time
	cancelled bool

	// Set by its goroutine before it ends.
	resp  *http.Response
	body  string
	err   error
	value any // the decoded value, if there was one
	endAt time.Time
}

// decodedKey is the type under which readers keep what they decoded.
type decodedKey struct{}

func (k wanted) header() http.Header {
	h := http.Header{}
	if k.lang != "" {
		h.Set("Accept-Language", k.lang)
	}
	if k.user != "" {
		h.Set("Authorization", "Bearer "+k.user)
	}
	return h
}

// startReader lets a reader ask. Who is called decides a lot: most want the
// same few things.
func (w *world) startReader() {
	r := &reader{
		id: len(w.readers) + 1, start: w.step, startAt: time.Now(),
		want:    wanted{path: w.somePath()},
		noCache: w.chance(0.03), partial: w.chance(0.1), typed: w.chance(0.3),
	}
	if w.chance(0.2) {
		r.want.query = "?view=full"
	}
	if w.chance(0.25) {
		r.want.lang = "de"
	}
	if w.chance(0.15) {
		r.want.user = "ada"
	}
	// Somebody who wants what others are just waiting for.
	if len(w.flying) > 0 && w.chance(0.35) {
		if x := w.flying[w.rng.IntN(len(w.flying))]; x.method == http.MethodGet {
			r.want = x.want
		}
	}
	switch {
	case w.chance(0.07):
		r.head, r.typed, r.partial = true, false, false
	case w.chance(0.07):
		r.typed, r.partial = false, false
		r.span = pick(w, "bytes=0-9", "bytes=5-", "bytes=-7")
		// Who asks for the rest of what he has.
		for _, x := range slices.Backward(w.exchanges) {
			if x.want == r.want && x.tag != "" && w.chance(0.5) {
				r.ifRange = x.tag
				break
			}
		}
	}
	w.send(r)
}

// send lets a reader go.
func (w *world) send(r *reader) {
	w.readers = append(w.readers, r)
	w.reading = append(w.reading, r)
	w.tally.count(countReads)
	ctx, cancel := context.WithCancel(w.ctx)
	r.cancel = cancel
	what := ""
	if r.noCache {
		what = ", no-cache"
	}
	if r.span != "" {
		what += ", " + r.span
	}
	if r.ifRange != "" {
		what += " if it is " + r.ifRange
	}
	w.say(r.name(), r.want.path, "%s %s%s", r.method(), r.want, what)
	go func() {
		r.run(ctx, w.cache)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ended = append(w.ended, r)
	}()
}

func (r *reader) method() string {
	if r.head {
		return http.MethodHead
	}
	return http.MethodGet
}

func (r *reader) name() string { return "reader " + strconv.Itoa(r.id) }

func (r *reader) run(ctx context.Context, t *Transport) {
	defer func() { r.endAt = time.Now() }()
	header := r.want.header()
	if r.noCache {
		header.Set("Cache-Control", "no-cache")
	}
	if r.span != "" {
		header.Set("Range", r.span)
	}
	if r.ifRange != "" {
		header.Set("If-Range", r.ifRange)
	}
	if r.typed {
		r.value, _ = t.LoadTyped(ctx, r.want.uri(), header, decodedKey{})
	}
	req := (&http.Request{Method: r.method(), URL: mustURL(r.want.uri()), Header: header}).WithContext(ctx)
	resp, err := t.RoundTrip(req)
	if err != nil {
		r.err = err
		return
	}
	r.resp = resp
	if r.partial {
		_, r.err = io.ReadFull(resp.Body, make([]byte, 3))
	} else {
		var body []byte
		body, r.err = io.ReadAll(resp.Body)
		r.body = string(body)
	}
	if d, ok := resp.Body.(interface {
		DecodeOnce(any, func([]byte) (any, error)) (any, error)
	}); ok && r.typed {
		if v, err := d.DecodeOnce(decodedKey{}, func(b []byte) (any, error) { return string(b), nil }); err == nil && r.body == "" {
			r.body, _ = v.(string)
		}
	}
	_ = resp.Body.Close()
}

// collect judges the readers that ended during this step.
func (w *world) collect() {
	w.mu.Lock()
	ended := w.ended
	w.ended = nil
	w.mu.Unlock()
	slices.SortFunc(ended, func(a, b *reader) int { return a.id - b.id })
	for _, r := range ended {
		r.cancel()
		w.reading = slices.DeleteFunc(w.reading, func(o *reader) bool { return o == r })
		w.judgeReader(r)
	}
}

func (w *world) cancelReader() {
	if len(w.reading) == 0 {
		return
	}
	r := w.reading[w.rng.IntN(len(w.reading))]
	w.say(r.name(), r.want.path, "is cancelled")
	w.tally.count(countCancelled)
	r.cancelled = true
	r.cancel()
}

// write is an unsafe request through the cache.
type write struct {
	life    int
	id      int
	method  string
	want    wanted
	created string // path in Location
	also    string // path in Content-Location
	group   string // in Cache-Group-Invalidation
	status  int
	cancel  context.CancelFunc
	ended   bool

	// What it did, once it succeeded.
	target *resource
	change int    // its place in the target's history
	tag    string // in the answer, about the target
	over   int    // step when it was answered
	overAt time.Time
}

type writeKey struct{}

func (w *world) startWrite() {
	o := &write{life: w.life, id: len(w.writes) + 1, method: pick(w, http.MethodPut, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodPost, "REFINE")}
	o.want.path = w.resources[w.rng.IntN(3)].path
	if w.chance(0.15) {
		o.want.user = "ada"
	}
	switch {
	case o.method == http.MethodPost:
		o.created, o.want.path = o.want.path, "/things"
	case w.chance(0.1):
		o.want.path = "/plain"
	case w.chance(0.1):
		o.want.path = "/orders/9"
	}
	if w.chance(0.1) {
		o.also = w.somePath()
	}
	if w.chance(0.1) {
		o.group = "things"
	}
	w.writes = append(w.writes, o)
	w.tally.count(countWrites)
	var ctx context.Context
	ctx, o.cancel = context.WithCancel(context.WithValue(w.ctx, writeKey{}, o))
	w.say(o.name(), o.want.path, "%s %s", o.method, o.want)
	go func() {
		req := (&http.Request{
			Method: o.method, URL: mustURL(o.want.uri()), Header: o.want.header(),
			Body: io.NopCloser(strings.NewReader("new")), ContentLength: 3,
		}).WithContext(ctx)
		resp, err := w.cache.RoundTrip(req)
		if err == nil {
			_ = resp.Body.Close()
		}
	}()
}

func (o *write) name() string { return "writer " + strconv.Itoa(o.id) }

// perform lets the owner carry a write out, or refuse to.
func (w *world) perform(x *exchange) {
	o := x.write
	if w.plan.between {
		w.passBetween(x.want)
	}
	if w.chance(0.15) {
		o.status = http.StatusConflict
		w.say("owner", x.want.path, "refuses #%d", x.id)
		return
	}
	target := x.res
	o.status = http.StatusNoContent
	if o.created != "" {
		target, o.status = w.resource(o.created), http.StatusCreated
	}
	content := w.nextContent(target)
	if o.method == http.MethodDelete {
		content = 0
	}
	w.change(target, content)
	o.target, o.change = target, len(target.history)-1
	if w.plan.writeTags && (o.created != "" || o.also == "" && (o.method == http.MethodPut || o.method == http.MethodPatch)) {
		k := o.want
		k.path = target.path
		status, s := target.view(time.Now())
		o.tag = target.tag(k, status, s)
	}
	w.say("owner", target.path, "does #%d: %s is %s", x.id, target.path, contentName(content))
}

// answerWrite hands the response of a write over. When it returns, nothing
// from before may be reused.
func (w *world) answerWrite(x *exchange) {
	o := x.write
	h := http.Header{}
	ok := o.status < 400
	if o.created != "" && ok {
		h.Set("Location", o.created)
	}
	if o.also != "" {
		h.Set("Content-Location", simOrigin+o.also)
	}
	if o.group != "" && ok {
		h.Set("Cache-Group-Invalidation", `"`+o.group+`"`)
	}
	if o.tag != "" {
		h.Set("Etag", o.tag)
	}
	if ok && len(x.res.named) > 0 {
		h.Set("Cache-Control", w.cacheControl(x.res))
	}
	w.land(x)
	if ok {
		o.over, o.overAt = w.step, time.Now()
		w.wrote(x, false)
	}
	x.answer <- &http.Response{
		StatusCode: o.status, Status: strconv.Itoa(o.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: http.NoBody,
	}
}

// unsure is an own write of which nobody knows what it did.
type unsure struct {
	step int
	res  *resource
}

// concerns reports whether it may have ended a resource as one of a group.
func (u unsure) concerns(r *resource) bool {
	return slices.ContainsFunc(u.res.named, func(t *topic) bool { return slices.Contains(r.groups, t.name) }) ||
		slices.ContainsFunc(u.res.groups, func(g string) bool { return slices.Contains(r.groups, g) })
}

// wrote notes what an own write ends.
func (w *world) wrote(x *exchange, unknown bool) {
	o := x.write
	if unknown {
		w.tally.count(countUnknown)
	}
	i := invalidation{kind: byWrite, step: w.step, path: x.want.path, label: o.method + " " + x.want.path}
	i.heeded = w.heeded(i.path)
	w.invalidated(i)
	if unknown {
		// It ends the lists of its topic if the cache knows that from what it has.
		w.unsure = append(w.unsure, unsure{w.step, x.res})
		return
	}
	for _, t := range x.res.named {
		w.invalidated(invalidation{kind: byWrite, step: w.step, group: t.name, label: o.method + " " + x.want.path + " of topic " + t.name})
	}
	for _, path := range []string{o.created, o.also} {
		if path != "" {
			i.heeded = w.heeded(path)
			i.path, i.label = path, o.method+" "+x.want.path+" that names "+path
			w.invalidated(i)
		}
	}
	if o.group != "" {
		w.invalidated(invalidation{kind: byWrite, step: w.step, group: o.group, label: o.method + " that names group " + o.group})
	}
}

// cancelWrite gives a write up: nobody knows what became of it.
func (w *world) cancelWrite() {
	for _, x := range w.flying {
		if x.write != nil && !x.write.ended {
			w.say(x.write.name(), x.want.path, "is cancelled")
			x.write.ended = true
			x.write.cancel()
			w.abandon(x)
			return
		}
	}
}

// invalidate calls what a program may call.
func (w *world) invalidate() {
	i := invalidation{kind: byCall, step: w.step}
	switch w.rng.IntN(3) {
	case 0:
		i.path = w.somePath()
		i.label = "Invalidate " + i.path
		w.cache.Invalidate(simOrigin + i.path)
	case 1:
		i.group = pick(w, "things", "/things/1", "/things/2")
		i.label = "InvalidateGroup " + i.group
		w.cache.InvalidateGroup(simOrigin, i.group)
	case 2:
		i.prefix = pick(w, "/thi", "/orders/", "/")
		i.label = "InvalidatePrefix " + i.prefix
		w.cache.InvalidatePrefix(simOrigin + i.prefix)
	}
	w.say("program", i.path, "calls %s", i.label)
	w.invalidated(i)
}
