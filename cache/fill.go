package cache

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"
)

// fill is one question to the origin and what was known when it was sent.
type fill struct {
	t         *Transport
	key       string
	hash      uint64
	header    http.Header // of the reader's request, for Vary
	wishes    wishes      // of the same
	cand      *entry      // what the question may validate, or nil
	res       *record     // pinned from before stamp was taken
	stamp     uint64
	requested time.Time
	received  time.Time
	asked     bool // it goes through intermediaries
	validates bool // it carries cand's validators
}

// newFill pins the resource, takes a stamp and writes the request. From here
// on every notice for the resource outranks the answer.
func (t *Transport) newFill(ctx context.Context, a *ask, cand *entry) (*fill, *http.Request) {
	origin, path, _ := splitKey(a.key)
	// A copy: a reader that was cancelled may reuse his request.
	f := &fill{t: t, key: a.key, hash: a.hash, header: a.req.Header.Clone(), wishes: a.wishes, cand: cand}
	f.res = t.ledger.pin(t.ledger.resourceHash(origin, path), origin)
	f.stamp = t.ledger.stamp()
	f.requested = t.now()

	out := a.req.Clone(ctx)
	if out.Header == nil {
		out.Header = make(http.Header)
	}
	out.Cancel = nil //nolint:staticcheck // SA1019: http.Client still sets it, and it is one reader's
	f.validates = cand != nil && a.method == http.MethodGet && a.byteRange == "" && cand.hasValidator()
	if f.validates {
		for _, name := range conditionalFields {
			delete(out.Header, name)
		}
		if tag := cand.etag(); tag != "" {
			out.Header["If-None-Match"] = []string{tag}
		}
		if at := cand.field("Last-Modified"); at != "" {
			out.Header["If-Modified-Since"] = []string{at}
		}
	}
	// What intermediaries keep may be from before a notice, also if what is kept
	// here isn't: a 200 of theirs would be good for who asked only, and the next
	// reader would have to ask again. And only the owner's own answer can be
	// vouched for, if somebody does: see mark.
	f.asked = f.noticed() || cand != nil &&
		(cand.shape.scopes.until() > t.clock.at(f.requested) || slices.ContainsFunc(cand.groups(), (*record).noticed))
	if f.asked = f.asked && !t.ledger.sabotage.asks; f.asked {
		if !a.wishes.noCache {
			out.Header["Cache-Control"] = append(slices.Clip(out.Header["Cache-Control"]), "no-cache")
		}
	} else {
		f.asked = a.wishes.noCache
	}
	return f, out
}

// noticed reports whether an invalidation of what the question is about is on
// record, or may have been forgotten.
func (f *fill) noticed() bool {
	o := f.res.origin
	return f.res.noticed() || o.gen.Load() > 0 || o.prefixes.Load() != nil || f.t.ledger.all.Load() > 0
}

// overtaken reports whether an invalidation came since the question was sent,
// as far as can be known without the answer.
func (f *fill) overtaken() bool {
	if f.t.ledger.sabotage.joins {
		return false
	}
	if f.cand != nil {
		// Most likely the answer will be in the same groups.
		for _, g := range f.cand.groups() {
			if g.generation() > f.stamp {
				return true
			}
		}
	}
	return f.res.generation() > f.stamp || f.res.origin.generation(f.stamp, f.key) > f.stamp ||
		f.t.ledger.all.Load() > f.stamp
}

// missedGroup reports whether a notice for a group of the answer may have come
// between the question and a reader who came at since and joined it.
func (f *fill) missedGroup(e *entry, since uint64) bool {
	for _, g := range e.groups() {
		if g.generation() <= f.stamp || f.cand != nil && slices.Contains(f.cand.groups(), g) {
			continue // none came, or overtaken looked
		}
		if n := g.last.Load(); n == nil || n.gen <= since || n.prev > f.stamp {
			return true
		}
	}
	return false
}

func (f *fill) release() { f.t.ledger.release(f.res) }

// answer is a final response's part that can be stored, before its body came.
type answer struct {
	header http.Header
	lines  []shapeField
	policy policy
	shape  *shape
	times  times
}

// read parses a response. It reports false if it can't be stored.
func (f *fill) read(resp *http.Response, h http.Header) (*answer, bool) {
	t := f.t
	p := parsePolicy(h, t.target, t.directive)
	t.announce(f.res.origin.name, p.scopes)
	if !storable(h, resp.StatusCode, p) || len(resp.Trailer) > 0 {
		return nil, false
	}
	return f.parse(resp, h, p), true
}

// failure parses a response that isn't stored, but is the answer to all who
// wait for it, as a transport error is. It reports false if it must not be
// even that.
func (f *fill) failure(resp *http.Response) (*answer, bool) {
	h := resp.Header
	p := parsePolicy(h, f.t.target, f.t.directive)
	if !serverError(resp.StatusCode) || p.noStore || slices.ContainsFunc(h["Vary"], varyStar) || len(resp.Trailer) > 0 || resp.ContentLength > f.t.maxEntry {
		return nil, false
	}
	return f.parse(resp, h, p), true
}

func (f *fill) parse(resp *http.Response, h http.Header, p policy) *answer {
	t := f.t
	if len(h["Date"]) == 0 {
		with := make(http.Header, len(h)+1)
		maps.Copy(with, h)
		h = with
		h["Date"] = []string{f.date()}
	}
	a := &answer{header: h, policy: p}
	a.lines = t.storedLines(h, p.noCacheFields)
	a.shape = t.shapeOf(resp, h, a.lines, p)
	a.times = f.times(h, resp.StatusCode, p)
	return a
}

func (f *fill) times(h http.Header, status int, p policy) times {
	return timesOf(h, status, p, f.requested, f.received, f.t.clock.at(f.received))
}

// date is what a response without a Date gets (RFC 9110 section 6.6.1).
func (f *fill) date() string { return httpDate(f.received) }

// entry makes the entry of an answer with its body. body has the bytes, or
// shared has if they belong to another version too.
func (f *fill) entry(a *answer, body string, shared *string, confirmed bool) *entry {
	t := f.t
	e := newEntry(f.key, a.shape, f.header, a.lines, body, shared)
	e.hash, e.stamp = f.hash, f.stamp
	if t.ledger.sabotage.stamps {
		e.stamp = t.ledger.stamp()
	}
	e.birth, e.lifetime, e.validated = a.times.birth, a.times.lifetime, t.clock.at(f.received)
	if a.times.guessed {
		e.marks |= markGuessed
	}
	e.res = t.ledger.pinAgain(f.res)
	t.join(e, a.header)
	f.mark(e, confirmed, len(a.header["Age"]) > 0)
	return e
}

// join makes e a member of the groups that its response names.
func (t *Transport) join(e *entry, h http.Header) {
	names, ok := sfStrings(h["Cache-Groups"])
	if !ok || len(names) == 0 {
		return
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if e.rare == nil {
		e.rare = &rare{}
	}
	origin := e.res.origin.name
	for _, name := range names[:min(len(names), maxGroups)] {
		e.rare.groups = append(e.rare.groups, t.ledger.pin(t.ledger.groupHash(origin, name), origin))
	}
	if len(names) > maxGroups {
		e.marks |= markGroupLag // can't be told of what it isn't listed for
	}
}

// maxGroups bounds the groups that one response may join (RFC 9875 section 2
// asks for at least 32).
const maxGroups = 128

// mark decides what the answer is worth to others than who asked. confirmed
// says that it is a 304, kept that it comes from an intermediary's store.
func (f *fill) mark(e *entry, confirmed, kept bool) {
	t := f.t
	p := &e.shape.policy
	n := e.res.last.Load()
	var named bool
	var namedGen uint64
	var namedAt int64
	if _, at := e.res.forgotten(); at > 0 && !f.settled(&ownWrite{at: at}, e) {
		e.marks |= markOwnWrite // it may be one of this
	}
	if n != nil {
		if n.own != nil && !f.settled(n.own, e) && !t.ledger.sabotage.replicas {
			e.marks |= markOwnWrite
		}
		if n.scope != nil && n.scope.reset.Load() > n.said && t.clock.at(f.requested)-n.at >= int64(lagTime) {
			e.marks |= markPast
		}
		named, namedGen, namedAt = n.naming(e)
	}

	for _, g := range e.groups() {
		if f.unseen(g, e) && !t.ledger.sabotage.replicas {
			e.marks |= markGroupLag
		}
	}

	// An owner whose reads lag: what was noticed shortly before may not be in
	// the answer.
	lag := p.lag * int64(time.Second)
	settled := t.clock.at(f.requested) - lag
	if lag > 0 && !t.ledger.sabotage.lags {
		o := e.res.origin
		if e.res.lastAt() > settled {
			e.marks |= markLagging
		}
		// That the version was named earlier doesn't help against an
		// invalidation of more than this resource.
		if at := max(o.at.Load(), t.ledger.allAt.Load()); at > settled && (!named || namedAt <= at) {
			e.marks |= markGroupLag
		}
		for _, g := range e.groups() {
			if g.lastAt() > settled {
				e.marks |= markGroupLag
			}
		}
	}
	// An answer that an intermediary may have kept from before a notice for a
	// group of which nobody knew. A 304 has confirmed a version that came after it.
	if !f.asked && !confirmed {
		for _, g := range e.groups() {
			if g.noticed() {
				e.marks |= markGroupLag
			}
		}
	}
	// What an intermediary kept may be from before a notice that this cache
	// never had to hear of.
	if s := e.shape.scopes; len(s) > 0 && (f.asked || !kept || t.ledger.sabotage.kept) && e.shape.status < 500 {
		since, ok := s.liveSince(f.stamp, t.nowNano())
		// What was named before notices were missed may be what a replica still
		// shows, and long since over.
		named = named && namedGen > s.reset()
		if ok && (lag == 0 || t.ledger.sabotage.lags || since <= settled || named) {
			e.marks |= markVouchable
		}
	}
}

// commit stores e, unless it came too late. It reports whether e is kept.
func (f *fill) commit(e *entry) bool {
	t := f.t
	c := &t.store.shard(e.hash).counts
	// What is doubted is kept even if it can't be validated: the next question has to
	// know which groups it is in, and go through intermediaries if there was a notice.
	standing := t.standingOf(e)
	unfit := standing == superseded || standing == doubted && t.ledger.sabotage.drops
	if unfit && !e.hasValidator() || !t.store.insert(e, f.header) {
		c.rejected.Add(1)
		t.store.drop(e)
		return false
	}
	c.stored.Add(1)
	return true
}

// forsake drops cand, and with it what else would answer the request: something
// newer was seen, that isn't stored.
func (f *fill) forsake() {
	f.t.store.forsake(f.cand, f.header, f.stamp)
	if f.t.backing != nil {
		f.t.backing.forget(context.Background(), f.key, f.hash)
	}
}

// freshen applies to cand what confirms it (RFC 9111 section 4.3.4): alike says
// that it is about the same version in other bytes, and then nothing of it is
// taken in but when it came. It reports false if it says that nothing may be kept
// any more: then e is good for this answer only. So are the fields own, which the
// origin wants to be asked for each time.
func (f *fill) freshen(resp *http.Response, alike bool) (e *entry, own http.Header, keep bool) {
	old := f.cand
	h := old.header()
	moment := http.Header{"Date": resp.Header["Date"], "Age": resp.Header["Age"]}
	if len(moment["Date"]) == 0 {
		moment["Date"] = []string{f.date()}
	}
	var update http.Header
	if !alike {
		update = f.t.updates(resp.Header)
		if tag, ok := resp.Header["Etag"]; ok && len(h["Etag"]) == 0 {
			update["Etag"] = tag // of the version that Last-Modified has confirmed
		}
		maps.Copy(h, update)
		maps.Copy(h, moment)
	}
	merged := &http.Response{
		Status: old.shape.statusLine, StatusCode: old.shape.status, Proto: old.shape.proto,
		ProtoMajor: old.shape.major, ProtoMinor: old.shape.minor, Uncompressed: old.shape.uncompressed, Header: h,
	}
	a, keep := f.read(merged, h)
	if !keep {
		p := parsePolicy(h, f.t.target, f.t.directive)
		a = &answer{header: h, policy: p, lines: f.t.storedLines(h, nil)}
		a.shape = f.t.shapeOf(merged, h, a.lines, p)
		a.times = f.times(h, merged.StatusCode, p)
	}
	if alike {
		// RFC 9111 section 4.2.3: the age counts from the validation.
		a.times.birth = f.times(moment, merged.StatusCode, a.policy).birth
	}
	for _, name := range a.policy.noCacheFields {
		if lines, ok := update[name]; ok {
			if own == nil {
				own = make(http.Header)
			}
			own[name] = lines
		}
	}
	var shared *string
	if old.rare != nil {
		shared = old.rare.body
	}
	e = f.entry(a, old.body(), shared, true)
	e.inherit(old)
	return e, own, keep
}

// updates returns the fields of a 304 that take the place of stored ones
// (RFC 9111 section 3.2).
func (t *Transport) updates(h http.Header) http.Header {
	update := make(http.Header, len(h))
	named := connectionNames(h, t.target)
	for name, lines := range h {
		if !hopByHop(name) && !describesBody(name) && !slices.Contains(named, name) {
			update[name] = lines
		}
	}
	return update
}

// describesBody lists the fields of a 304 that don't update what is stored:
// they say how the body is laid out that we have.
func describesBody(name string) bool {
	switch name {
	case "Content-Length", "Content-Encoding", "Content-Range", "Content-Md5", "Content-Digest", "Repr-Digest", "Etag":
		return true
	}
	return false
}

// header rebuilds the stored header, without Age and Cache-Status.
func (e *entry) header() http.Header {
	h := make(http.Header, e.shape.names)
	i := e.values()
	for _, f := range e.shape.fields {
		value := f.value
		if f.own {
			n, next := readLength(e.blob, i)
			value, i = e.blob[next:next+n], next+n
		}
		h[f.name] = append(h[f.name], value)
	}
	return h
}
