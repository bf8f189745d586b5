package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// exchange is a request that the cache sent, on its way to the owner and
// back. It moves when a step of the schedule moves it.
type exchange struct {
	id     int
	method string
	want   wanted
	res    *resource

	life    int
	noCache bool
	tags    string // If-None-Match
	span    string // Range
	ifRange string
	ctx     context.Context

	sent   int // step
	sentAt time.Time
	stage  stage

	// What the network knew when it was sent.
	live     bool // its topics were vouched for
	liveFrom time.Time
	resets   int // of its topics, so far

	answer chan *http.Response // nil: transport error
	body   *exchangeBody

	// The answer.
	status   int
	sees     seen
	seesAt   time.Time // the moment that it shows
	lags     bool      // it comes from a replica
	between  bool      // it comes from the intermediary's store
	age      int
	tag      string
	content  string
	maxAge   int
	swr, sie int
	readStep int
	headed   int // step when the header was handed over
	headedAt time.Time
	done     int // step when all of it was, or it failed
	failed   bool
	liveThen bool // its topics were vouched for when all of it was there
	heard    time.Time
	givenUp  bool // by the cache
	noticed  bool // that it was
	cut      bool
	write    *write
}

type stage int

const (
	stageSent   stage = iota // on its way
	stageRead                // the owner has made its answer
	stageHeaded              // the header is there
	stageDone
)

var errSimulated = errors.New("connection reset by the simulator")

// RoundTrip is the network below the cache.
func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	x := &exchange{
		method: req.Method, ctx: req.Context(), sentAt: time.Now(), answer: make(chan *http.Response, 1),
		noCache: strings.Contains(strings.Join(req.Header["Cache-Control"], ","), "no-cache"),
		tags:    strings.Join(req.Header["If-None-Match"], ","),
		span:    req.Header.Get("Range"), ifRange: req.Header.Get("If-Range"),
		want: wanted{
			path: req.URL.Path, lang: req.Header.Get("Accept-Language"),
			user: strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "),
		},
	}
	if x.method == "" {
		x.method = http.MethodGet
	}
	if req.URL.RawQuery != "" {
		x.want.query = "?" + req.URL.RawQuery
	}
	if req.Body != nil {
		_, _ = io.Copy(io.Discard, req.Body)
		_ = req.Body.Close()
	}
	x.write, _ = req.Context().Value(writeKey{}).(*write)
	w.mu.Lock()
	w.arrived = append(w.arrived, x)
	w.mu.Unlock()
	select {
	case resp := <-x.answer:
		if resp == nil {
			return nil, errSimulated
		}
		resp.Request = req
		return resp, nil
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

// register takes in what the cache sent during this step, in an order that
// doesn't depend on the scheduler.
func (w *world) register() {
	w.mu.Lock()
	arrived := w.arrived
	w.arrived = nil
	w.mu.Unlock()
	slices.SortStableFunc(arrived, func(a, b *exchange) int {
		return cmp.Or(cmp.Compare(a.want.String(), b.want.String()), cmp.Compare(a.method, b.method),
			cmp.Compare(a.tags, b.tags), a.sentAt.Compare(b.sentAt))
	})
	for _, x := range arrived {
		x.id, x.sent, x.life = len(w.exchanges)+1, w.step, w.life
		x.res = w.resource(x.want.path)
		x.live, x.liveFrom = x.res.live(x.sentAt)
		x.resets = x.res.resets()
		w.exchanges = append(w.exchanges, x)
		w.flying = append(w.flying, x)
		extra := ""
		if x.tags != "" {
			extra += ", If-None-Match " + x.tags
		}
		if x.noCache {
			extra += ", no-cache"
		}
		w.say("cache", x.want.path, "asks #%d %s %s%s", x.id, x.method, x.want, extra)
		if x.span != "" {
			extra += ", " + x.span
		}
		if x.plain() {
			w.tally.count(countQuestions)
			w.judgeQuestion(x)
		}
	}
}

// plain reports whether it asks for the whole of a representation.
func (x *exchange) plain() bool { return x.method == http.MethodGet && x.span == "" }

// variant is what tells answers apart: the language only where it varies.
func (x *exchange) variant() wanted { return x.res.variant(x.want) }

// move takes an exchange one stage further, or lets it fail.
func (w *world) move(x *exchange) {
	if x.ctx.Err() != nil {
		w.abandon(x)
		return
	}
	switch x.stage {
	case stageSent:
		if w.chance(w.plan.failures) {
			w.fail(x)
			return
		}
		w.read(x)
		if w.chance(0.6) {
			w.move(x)
		}
	case stageRead:
		if w.chance(w.plan.failures) {
			w.fail(x)
			return
		}
		w.head(x)
		if x.stage == stageHeaded && w.chance(0.6) {
			w.move(x)
		}
	case stageHeaded:
		w.finish(x, w.chance(w.plan.failures))
	}
}

// abandon notes that the cache doesn't wait any more.
func (w *world) abandon(x *exchange) {
	w.say("cache", x.want.path, "gives #%d up", x.id)
	x.failed, x.givenUp = true, true
	w.land(x)
	if x.write != nil {
		w.wrote(x, true)
	}
}

func (w *world) land(x *exchange) {
	x.stage, x.done = stageDone, w.step
	x.liveThen, _ = x.res.live(time.Now())
	x.heard = x.res.heard()
	w.flying = slices.DeleteFunc(w.flying, func(o *exchange) bool { return o == x })
}

func (w *world) fail(x *exchange) {
	w.say("network", x.want.path, "#%d fails", x.id)
	x.failed = true
	w.land(x)
	x.answer <- nil
	if x.write != nil {
		w.wrote(x, true)
	}
}

// read lets the owner, or the intermediary, make the answer.
func (w *world) read(x *exchange) {
	x.stage, x.readStep = stageRead, w.step
	if x.write != nil {
		w.perform(x)
		return
	}
	if w.fromBetween(x) {
		return
	}
	if w.chance(w.plan.errors) {
		x.status, x.seesAt = http.StatusServiceUnavailable, time.Now()
		w.say("owner", x.want.path, "answers #%d with 503", x.id)
		return
	}
	x.seesAt, x.lags = w.readAt()
	x.status, x.sees = x.res.view(x.seesAt)
	x.tag = x.res.tag(x.want, x.status, x.sees)
	x.content = x.res.body(x.want, x.sees, w.plan.padding)
	x.maxAge, x.swr, x.sie = x.res.maxAge, x.res.swr, x.res.sie
	if x.plain() {
		w.keepBetween(x)
	}
	if x.span != "" && x.status == http.StatusOK && (x.ifRange == "" || x.ifRange == x.tag) {
		x.status = http.StatusPartialContent
	}
	if x.tags != "" && x.tags == x.tag {
		x.status = http.StatusNotModified
		w.tally.count(countConfirmed)
	}
	from := "owner"
	if x.lags {
		from = "replica"
		if !x.showsNow() {
			w.tally.count(countLagged)
		}
	}
	w.say(from, x.want.path, "answers #%d: %d %s %s", x.id, x.status, x.sees, x.tag)
}

// showsNow reports whether the answer shows the latest state.
func (x *exchange) showsNow() bool {
	for path, content := range x.sees {
		for _, part := range x.res.parts {
			if part.path == path && part.now() != content {
				return false
			}
		}
	}
	return true
}

// head hands the header over.
func (w *world) head(x *exchange) {
	if x.write != nil {
		w.answerWrite(x)
		return
	}
	h := http.Header{
		"Date":   {x.seesAt.Add(w.plan.skew).UTC().Format(http.TimeFormat)},
		"X-Fill": {strconv.Itoa(x.id)},
	}
	content := x.content
	if x.status == http.StatusServiceUnavailable {
		content = "unavailable"
	} else {
		h.Set("Cache-Control", w.cacheControl(x.res))
		if x.res.varies {
			h.Set("Vary", "Accept-Language")
		}
		if len(x.res.groups) > 0 {
			h.Set("Cache-Groups", `"`+strings.Join(x.res.groups, `", "`)+`"`)
		}
		if x.tag != "" {
			h.Set("ETag", x.tag)
		}
		if x.between {
			h.Set("Age", strconv.Itoa(x.age))
		}
	}
	resp := &http.Response{
		StatusCode: x.status, Status: fmt.Sprint(x.status, " ", http.StatusText(x.status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h,
	}
	x.headed, x.headedAt = w.step, time.Now()
	if x.status == http.StatusPartialContent {
		from, to := x.part(x.span)
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(content)))
		content = content[from:to]
	}
	if x.method == http.MethodHead {
		h.Set("Content-Length", strconv.Itoa(len(content)))
		resp.ContentLength = int64(len(content))
	}
	if x.status == http.StatusNotModified || x.method == http.MethodHead {
		resp.Body = http.NoBody
		w.land(x)
		x.answer <- resp
		return
	}
	x.body = &exchangeBody{ctx: x.ctx, rest: content, gate: make(chan error, 1), closed: make(chan struct{})}
	resp.Body = x.body
	resp.ContentLength = int64(len(content))
	if w.chance(0.3) {
		resp.ContentLength = -1
	} else {
		h.Set("Content-Length", strconv.Itoa(len(content)))
	}
	x.stage = stageHeaded
	x.answer <- resp
}

// part is what a Range field means for the answer.
func (x *exchange) part(span string) (from, to int) {
	switch span {
	case "bytes=0-9":
		return 0, min(10, len(x.content))
	case "bytes=5-":
		return 5, len(x.content)
	}
	return len(x.content) - 7, len(x.content)
}

// finish hands the body over, or cuts it short.
func (w *world) finish(x *exchange, cut bool) {
	if cut {
		w.say("network", x.want.path, "cuts the body of #%d short", x.id)
		x.cut, x.failed = true, true
		w.land(x)
		x.body.gate <- io.ErrUnexpectedEOF
		return
	}
	w.land(x)
	x.body.gate <- nil
}

// exchangeBody comes when a step of the schedule lets it.
type exchangeBody struct {
	ctx    context.Context
	rest   string
	gate   chan error
	open   bool
	err    error
	closed chan struct{}
}

func (b *exchangeBody) Read(p []byte) (int, error) {
	if !b.open {
		select {
		case b.err = <-b.gate:
			b.open = true
			if b.err != nil {
				b.rest = b.rest[:len(b.rest)/2]
			} else {
				b.err = io.EOF
			}
		case <-b.ctx.Done():
			return 0, b.ctx.Err()
		case <-b.closed:
			return 0, net.ErrClosed
		}
	}
	if b.rest == "" {
		return 0, b.err
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *exchangeBody) Close() error {
	select {
	case <-b.closed:
	default:
		close(b.closed)
	}
	return nil
}

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}
