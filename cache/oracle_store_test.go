package cache_test

// What exchanges with the origin do to a store: RFC 9111 sections 3, 4.3.4,
// 4.3.5 and 4.4, and RFC 9875. See oracle_test.go.

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// exchange is one request that reached the origin, and its answer.
type exchange struct {
	n, reader, step int
	together        bool
	method, url     string
	asked           http.Header // as the origin got it
	status          int
	header          http.Header // as the origin sent it
	body            string      // what it would send
	cut             int         // how many bytes of it came, if fewer, else -1
	silent          bool        // it ended as if that was all; only Content-Length tells
	failed          bool        // no answer came

	sent, received              time.Time
	sentAt, receivedAt, endedAt int
}

func (e *exchange) String() string { return fmt.Sprintf("#%d", e.n) }

// record is the response of an exchange, as it would be stored.
func (e *exchange) record() *record {
	return &record{key: keyOf(e.url, e.asked), asked: []http.Header{e.asked}, status: e.status, header: e.header, body: e.body,
		sent: e.sent, received: e.received, from: e.String(), sentAt: e.sentAt, storedAt: e.receivedAt,
		step: e.step, together: e.together}
}

// keyOf is the primary key. That Authorization is part of it isn't asked of a
// private cache by RFC 9111, but by its documentation.
func keyOf(url string, h http.Header) string {
	return url + " for " + strings.Join(h.Values("Authorization"), ",")
}

// store is everything that a cache may have: nothing is ever evicted.
type store struct {
	records []*record
	writes  []write
	endings []ending
}

// ending is an invalidation, which what was asked for before it doesn't
// survive, whenever it comes.
type ending struct {
	covers func(*record) bool
	at     int
}

func (s *store) clone() *store {
	c := &store{writes: slices.Clone(s.writes), endings: slices.Clone(s.endings)}
	for _, r := range s.records {
		same := *r
		c.records = append(c.records, &same)
	}
	return c
}

func (s *store) add(r *record) {
	for _, e := range s.endings {
		if e.at > r.sentAt && r.invalidAt == 0 && e.covers(r) {
			r.invalidAt = e.at
		}
	}
	r.optional = r.doubtful
	s.records = append(s.records, r)
}

func (s *store) end(at int, covers func(*record) bool) {
	s.endings = append(s.endings, ending{covers, at})
	for _, r := range s.records {
		if r.sentAt < at && r.invalidAt == 0 && covers(r) {
			r.invalidAt = at
		}
	}
}

// write is an unsafe request, remembered for what excuses asking after it.
type write struct {
	url string
	at  time.Time
}

// chosen are the stored responses that could be chosen for a request (section
// 4.1), with those that another one supersedes left out.
func (s *store) chosen(key string, asked http.Header) (found []*record) {
	for _, r := range s.records {
		if may, _ := r.matches(asked); r.key == key && may {
			found = append(found, r)
		}
	}
	all := found
	return slices.DeleteFunc(slices.Clone(found), func(r *record) bool {
		return slices.ContainsFunc(all, func(newer *record) bool { return newer.supersedes(r) })
	})
}

// take applies an exchange that has ended.
func (s *store) take(e *exchange) {
	switch e.method {
	case http.MethodGet:
		s.takeGet(e)
	case http.MethodHead:
		s.takeHead(e)
	case http.MethodOptions, http.MethodTrace:
	default:
		s.takeWrite(e)
	}
}

func (s *store) takeGet(e *exchange) {
	if e.failed {
		return
	}
	chosen := s.chosen(keyOf(e.url, e.asked), e.asked)
	if e.status == http.StatusNotModified {
		s.takeNotModified(e)
		return
	}
	r := e.record()
	ok, _ := storable(e.method, e.asked, e.status, e.header)
	ok = ok && e.cut < 0
	for _, old := range chosen {
		if ok && !e.direct() {
			// It gave way, also for requests that only it would answer.
			old.doubtful, old.optional = true, true
			continue
		}
		// Whether a cache goes on with what it had before is its choice by the
		// RFC; this one doesn't once its client has seen another version.
		old.doubtful = true
		if (e.status == http.StatusOK || e.status == http.StatusPartialContent) && e.cut < 0 && !e.together && len(chosen) == 1 && !old.same(e) {
			old.invalidAt, old.optional = e.receivedAt, true
		}
	}
	if ok {
		// A failure that says nothing of its freshness may be stored, but then
		// could never be reused: the one before it needn't give way, and neither
		// one that may stand in for failures.
		_, _, explicit := r.lifetime()
		standsIn := slices.ContainsFunc(chosen, func(old *record) bool { return directivesOf(old.header).has("stale-if-error") })
		r.doubtful = e.status >= 500 && (!explicit || standsIn) || e.direct() || s.wrote(e) || s.mayBeKept(e, r)
		s.add(r)
	}
}

// direct: what was asked with a condition or range for the origin, or isn't to be
// stored, need not be kept.
func (e *exchange) direct() bool {
	return len(e.asked["If-Match"])+len(e.asked["If-Unmodified-Since"])+len(e.asked["Range"]) > 0 || directivesOf(e.asked).has("no-store")
}

// same reports whether what a response says of its version is what is stored.
func (r *record) same(e *exchange) bool {
	for _, name := range []string{"Etag", "Last-Modified"} {
		if v := e.header.Get(name); v != "" && v != r.header.Get(name) {
			return false
		}
	}
	return true
}

// takeNotModified is section 4.3.4.
func (s *store) takeNotModified(e *exchange) {
	for _, r := range s.alike(e) {
		s.add(r)
	}
	for _, r := range s.selectedBy(e) {
		next := r.updated(e)
		if ok, _ := storable(http.MethodGet, e.asked, next.status, next.header); !ok {
			r.doubtful = true
			continue
		}
		next.doubtful = r.doubtful || s.wrote(e) || e.direct()
		could, _ := r.matches(e.asked)
		could = could && len(e.asked["If-None-Match"])+len(e.asked["If-Modified-Since"]) > 0
		if r.sentAt > e.sentAt || r.together || !could {
			next.doubtful = true
		}
		// What is of another variant couldn't have been chosen for that request,
		// so to update it is a cache's choice, as is what to make of a 304 that
		// answers no condition.
		if !e.together && !e.direct() && could {
			// "The cache MUST update": the state of before is no more.
			s.records = slices.DeleteFunc(s.records, func(o *record) bool { return o == r })
		}
		s.add(next)
	}
	for _, r := range s.records {
		if r.key == keyOf(e.url, e.asked) && r.storedAt < e.receivedAt {
			// What isn't selected may be thought less of, for example because
			// the origin contradicted itself.
			r.doubtful = true
		}
	}
}

// selectedBy are the stored responses that a 304 selects for update.
func (s *store) selectedBy(e *exchange) (selected []*record) {
	initial := slices.DeleteFunc(slices.Clone(s.records), func(r *record) bool {
		// Several representations may be named in one condition, whatever they
		// were selected by.
		may, _ := r.matches(e.asked)
		named := tagged(e.asked.Values("If-None-Match"), r.header.Get("Etag"))
		return r.key != keyOf(e.url, e.asked) || !may && !named || r.sentAt > e.receivedAt
	})
	tag, modified := e.header.Get("Etag"), e.header.Get("Last-Modified")
	if tag == "" && modified == "" {
		return s.askedAbout(e, initial)
	}
	for _, r := range initial {
		have := r.header.Get("Etag")
		if tag != "" && have != "" {
			// With tags on both sides dates have nothing to say.
			if strongly(tag, have) || !strongly(tag, tag) && weakly(tag, have) {
				selected = append(selected, r)
			}
			continue
		}
		// A date is a strong validator if the response was made a second later
		// (RFC 9110 section 8.8.2.2); a weak one will do if no strong one came.
		at, ok := dateIn(modified)
		strong := ok && r.date().Sub(at) >= time.Second
		if modified != "" && modified == r.header.Get("Last-Modified") && (strong || !strongly(tag, tag)) {
			selected = append(selected, r)
		}
	}
	return selected
}

// askedAbout: a 304 that names no validator is about what was asked about.
func (s *store) askedAbout(e *exchange, initial []*record) (selected []*record) {
	for _, r := range initial {
		if tagged(e.asked.Values("If-None-Match"), r.header.Get("Etag")) ||
			len(e.asked.Values("If-None-Match")) == 0 && e.asked.Get("If-Modified-Since") == r.header.Get("Last-Modified") {
			selected = append(selected, r)
		}
	}
	return selected
}

// alike are the stored responses of which a 304 carries the strong form of the
// weak tag that was asked about: the same version, other bytes. Section 4.3.4
// forbids to update any field; that it is good still was said all the same, and
// its age counts from then (section 5.1: "or successfully validated").
func (s *store) alike(e *exchange) (made []*record) {
	tag := e.header.Get("Etag")
	if e.status != http.StatusNotModified || !strongly(tag, tag) || len(s.selectedBy(e)) > 0 {
		return nil
	}
	for _, r := range s.records {
		if r.key == keyOf(e.url, e.asked) && r.header.Get("Etag") == "W/"+tag {
			same := *r
			same.moment = e.header
			same.sent, same.received, same.sentAt, same.storedAt = e.sent, e.received, e.sentAt, e.receivedAt
			same.step, same.together, same.invalidAt, same.doubtful = e.step, e.together, 0, true
			same.from = fmt.Sprintf("%s, confirmed by #%d", r.from, e.n)
			made = append(made, &same)
		}
	}
	return made
}

// takeHead is section 4.3.5.
func (s *store) takeHead(e *exchange) {
	if e.failed || !slices.Contains([]int{200, 404, 410}, e.status) {
		return // it is about the question
	}
	could := s.chosen(keyOf(e.url, e.asked), e.asked)
	if e.together {
		// What another reader's answer has replaced meanwhile may be what the
		// HEAD was sent about, and be confirmed after that.
		could = nil
		for _, r := range s.records {
			if may, _ := r.matches(e.asked); may && r.key == keyOf(e.url, e.asked) {
				could = append(could, r)
			}
		}
	}
	for _, r := range could {
		tag, modified, length := e.header.Get("Etag"), e.header.Get("Last-Modified"), e.header.Get("Content-Length")
		if r.status != e.status {
			// Section 4.3.5 doesn't speak of it: what was a 404 may go.
			r.doubtful, r.optional = true, true
			continue
		}
		same := r.same(e) && (length == "" || length == fmt.Sprint(len(r.body)))
		if !same && r.step == e.step {
			// Of two questions at the same time nobody knows which was answered
			// by the newer version.
			r.doubtful = true
			continue
		}
		if !same {
			// "Otherwise, the cache SHOULD consider the stored response to be
			// stale": nothing but a validation makes it good again.
			r.invalidAt, r.optional = e.receivedAt, true
			continue
		}
		next := r.updated(e)
		next.doubtful = r.doubtful || r.optional // it may have been dropped
		// SHOULD update; whether a HEAD that names no version is believed is
		// a cache's choice, and then the old state lives on.
		// The same goes for what isn't a 200.
		if tag == "" && modified == "" || e.status != http.StatusOK {
			next.doubtful, next.together, r.doubtful, r.together = true, true, true, true
			next.storedAt = r.storedAt
		}
		if ok, _ := storable(http.MethodGet, e.asked, next.status, next.header); ok {
			s.add(next)
		} else {
			r.doubtful = true
		}
	}
}

// takeWrite is section 4.4. That a request without an answer and one that a
// gateway failed invalidate as well, and that Location and Content-Location
// do, is what the cache's documentation promises.
func (s *store) takeWrite(e *exchange) {
	s.writes = append(s.writes, write{e.url, e.received})
	target, _ := url.Parse(e.url)
	end := func(covers func(r *record) bool) { s.end(e.receivedAt, covers) }
	at := func(u string) func(*record) bool {
		return func(r *record) bool { return strings.HasPrefix(r.key, u+" for ") }
	}
	// A cache may think less of more than it must: of other queries, and of
	// what shares a group with what was written.
	for _, r := range s.records {
		with, _ := url.Parse(strings.Fields(r.key)[0])
		if with.Host == target.Host && (with.Path == target.Path || len(r.header.Values("Cache-Groups")) > 0) {
			r.doubtful = true
		}
	}
	for _, group := range membersOf(e.header.Values("Cache-Group-Invalidation")) {
		// RFC 9875 section 3: whatever the status.
		end(func(r *record) bool {
			with, _ := url.Parse(strings.Fields(r.key)[0])
			return with.Host == target.Host && slices.Contains(membersOf(r.header.Values("Cache-Groups")), group)
		})
	}
	if !e.failed && e.status != 502 && e.status != 504 && (e.status < 200 || e.status >= 400) {
		return
	}
	end(at(e.url))
	if e.status < 200 || e.status >= 400 {
		return // what a gateway says of itself refers to nothing that was written
	}
	for _, name := range []string{"Location", "Content-Location"} {
		if u, err := target.Parse(e.header.Get(name)); err == nil && e.header.Get(name) != "" && u.Host == target.Host && u.Scheme == target.Scheme {
			end(at(u.String()))
			s.writes = append(s.writes, write{u.String(), e.received})
			for _, r := range s.records {
				if with, _ := url.Parse(strings.Fields(r.key)[0]); with.Host == u.Host && with.Path == u.Path {
					r.doubtful = true
				}
			}
		}
	}
}

// wrote reports whether a response came soon after a write, when a replica may
// have answered: the cache keeps only what the write's answer named.
func (s *store) wrote(e *exchange) bool {
	return slices.ContainsFunc(s.writes, func(w write) bool {
		return pathOf(w.url) == pathOf(e.url) && e.sent.Sub(w.at) <= 5*time.Second || len(e.header.Values("Cache-Groups")) > 0 && e.sent.Sub(w.at) <= 5*time.Second
	})
}

// mayBeKept reports whether an answer may be what an intermediary kept from
// before an invalidation: it came to a question that didn't ask for the origin's
// word, and is in a group that the cache couldn't know of before. It gives such an
// answer to who asked only.
func (s *store) mayBeKept(e *exchange, r *record) bool {
	return len(r.header["Cache-Groups"]) > 0 && !directivesOf(e.asked).has("no-cache") &&
		(slices.ContainsFunc(s.endings, func(e ending) bool { return e.covers(r) }) ||
			slices.ContainsFunc(s.writes, func(w write) bool { return pathOf(w.url) == pathOf(e.url) }))
}

func pathOf(u string) string {
	before, _, _ := strings.Cut(u, "?")
	return before
}
