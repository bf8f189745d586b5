package cache_test

// Scripts: what clients ask and what the origin answers, made from dice, and
// made smaller when one fails. See oracle_test.go.

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// script is a list of steps; a step is one request, or several at once, and
// the answers that the origin has ready for what it is asked then.
type script []step

type step struct {
	wait     time.Duration
	requests []request
	answers  []template
}

type field struct{ name, value string }

type request struct {
	method, url   string
	fields        []field
	read          int // so many bytes and no more; all of them if negative
	delay, cancel time.Duration
}

type template struct {
	status        int
	fields        []field
	change        bool   // there is a new version
	tag, modified string // of a new version; V stands for its name
	size          int
	condition     string // how If-None-Match and If-Modified-Since are answered
	partial       bool   // Range is answered by a part
	chunked       bool   // no Content-Length
	cut, fail     bool
	silent        bool // what is cut short ends without an error
	delay, pause  time.Duration
}

// dice decide; fuzzing loads them.
type dice struct {
	rng    *rand.Rand
	loaded []byte
}

func (d *dice) under(n int) int {
	if d.rng != nil {
		return d.rng.IntN(n)
	}
	if len(d.loaded) == 0 {
		return 0
	}
	b := d.loaded[0]
	d.loaded = d.loaded[1:]
	return int(b) % n
}

func (d *dice) one(in int) bool { return d.under(in) == in-1 }

func (d *dice) of(choices ...string) string { return choices[d.under(len(choices))] }

// maybe adds a field once in n times.
func (d *dice) maybe(n int, to *[]field, name string, choices ...string) {
	if d.one(n) {
		*to = append(*to, field{name, d.of(choices...)})
	}
}

const (
	here    = "https://api.example/orders/9"
	query   = "https://api.example/orders/9?page=2"
	list    = "https://api.example/orders"
	another = "https://other.example/orders/9"
)

func (d *dice) script() (s script) {
	urls := []string{here, here, here, query, list, another}
	urls = urls[:1+d.under(len(urls))]
	steps := 3 + d.under(12)
	for range steps {
		if d.rng == nil && len(d.loaded) == 0 {
			break
		}
		next := step{wait: time.Duration([]int{0, 0, 0, 1, 3, 9, 10, 11, 30, 59, 60, 61, 600}[d.under(13)]) * time.Second}
		readers := 1
		if d.one(8) {
			readers = 2 + d.under(4)
		}
		for n := range readers {
			q := d.request(urls[d.under(len(urls))])
			if readers > 1 {
				q.delay = time.Duration(n*7+d.under(3)*1000) * time.Millisecond
			}
			next.requests = append(next.requests, q)
		}
		writes := slices.ContainsFunc(next.requests, func(q request) bool { return q.method != http.MethodGet && q.method != http.MethodHead })
		for range 1 + d.under(3) {
			t := d.template()
			if writes {
				// What a write refers to is worth asking for.
				d.maybe(3, &t.fields, "Location", "/orders", "/orders/9", "/orders/9?page=2")
				d.maybe(3, &t.fields, "Content-Location", "/orders", "/orders/9", "?page=2")
			}
			if readers > 1 {
				t.delay += time.Duration(1+d.under(900)) * time.Millisecond
			}
			next.answers = append(next.answers, t)
		}
		s = append(s, next)
	}
	return s
}

func (d *dice) request(url string) request {
	q := request{url: url, read: -1, method: d.of("GET", "GET", "GET", "GET", "GET", "GET", "GET", "GET", "GET", "GET",
		"HEAD", "HEAD", "PUT", "DELETE", "POST", "PATCH", "FROBNICATE", "OPTIONS")}
	d.maybe(3, &q.fields, "Accept-Language", "de", "en", "DE", "de, en", "de,en")
	d.maybe(12, &q.fields, "Accept-Language", "en")
	d.maybe(8, &q.fields, "X-Variant", "a", "b", "A")
	d.maybe(16, &q.fields, "Authorization", "Bearer ada", "Bearer bob")
	d.maybe(5, &q.fields, "Cache-Control", "no-cache", "no-store", "max-age=0", "max-age=10", "max-age=60", "min-fresh=20", "max-stale", "max-stale=15", "only-if-cached",
		"max-age=30, max-stale=100", "only-if-cached, max-stale", "stale-if-error=100", "MAX-AGE=5", "max-age=x", `max-age="5"`)
	d.maybe(24, &q.fields, "Cache-Control", "max-stale=3", "no-cache", "min-fresh=5")
	d.maybe(40, &q.fields, "Pragma", "no-cache")
	d.maybe(12, &q.fields, "If-None-Match", "{etag}", "{etag}", "*", `"v1"`, `W/"v1"`, `"v1", {etag}`, `"none"`, "broken")
	d.maybe(12, &q.fields, "If-Modified-Since", "{modified}", "{modified}", "{now-0}", "{now-1000}", "{now+1000}", "{850-10}", "yesterday")
	d.maybe(60, &q.fields, "If-Match", "{etag}", `"v1"`)
	d.maybe(60, &q.fields, "If-Unmodified-Since", "{modified}", "{now-5}")
	if q.method == http.MethodGet && d.one(8) {
		q.fields = append(q.fields, field{"Range", d.of("bytes=0-3", "bytes=2-", "bytes=-3", "bytes=0-0", "bytes=900000-", "bytes=0-1,3-4", "bytes=5-2", "items=0-3", "bytes=-0")})
		d.maybe(3, &q.fields, "If-Range", "{etag}", "{etag}", `"v1"`, "{modified}", `W/"v1"`)
	}
	if d.one(20) {
		q.read = d.under(4)
	}
	if d.one(30) {
		q.cancel = time.Duration(1+d.under(3000)) * time.Millisecond
	}
	return q
}

func (d *dice) template() template {
	t := template{status: 200, change: d.one(3), size: []int{0, 3, 10, 10, 100, 5000}[d.under(6)],
		tag: d.of(`"V"`, `"V"`, `"V"`, `W/"V"`, "", `"same"`, "V"), modified: d.of("", "", "{now-1000}", "{now-100000}", "{now-0}", "{now+500}", "yesterday"),
		condition: d.of("", "", "", "", "ignore", "other", "bare", "strengthen"), partial: d.one(2), chunked: d.one(4), cut: d.one(16), silent: d.one(2), fail: d.one(24)}
	if d.one(4) {
		t.status = []int{203, 204, 206, 301, 302, 404, 404, 410, 500, 503, 503, 502, 504, 299, 304, 429}[d.under(16)]
	}
	if d.one(5) {
		t.delay = time.Duration(1+d.under(12)) * time.Second
	}
	if d.one(12) {
		t.pause = time.Duration(1+d.under(12)) * time.Second
	}
	f := &t.fields
	if !d.one(8) {
		*f = append(*f, field{"Date", d.of("{now-0}", "{now-0}", "{now-0}", "{now-5}", "{now-30}", "{now-100}", "{now+100}", "{850-5}", "{c-5}", "yesterday", "Mon, 01 Jan 2001 00:00:00 GMT")})
	}
	d.maybe(8, f, "Age", "5", "20", "0", "100000", "-5", "5, 30", "x", "99999999999999999999", "7.5")
	d.maybe(40, f, "Age", "9")
	if !d.one(6) {
		var all []string
		for range 1 + d.under(3) {
			all = append(all, d.of("max-age=60", "max-age=60", "max-age=60", "max-age=10", "max-age=0", "max-age=3600", "no-cache", "no-store", "private", "public", "must-revalidate",
				"stale-while-revalidate=30", "stale-while-revalidate=30", "stale-if-error=60", "max-age=10, stale-if-error=60", "max-age=10, stale-if-error=60, must-revalidate", "immutable", "must-understand", `no-cache="Set-Cookie"`, `no-cache="X-Secret, Set-Cookie"`,
				`private="Set-Cookie"`, "MAX-AGE=20", `max-age="20"`, "max-age=x", "max-age", "max-age=-1", "max-age=1.5", "max-age=99999999999", "s-maxage=5", "proxy-revalidate", `ext="no-store, max-age=0"`, "no-transform"))
		}
		if d.one(4) {
			for _, one := range all {
				*f = append(*f, field{"Cache-Control", one})
			}
		} else {
			*f = append(*f, field{"Cache-Control", strings.Join(all, d.of(", ", ",", " , ,"))})
		}
	}
	d.maybe(6, f, "Expires", "{now+60}", "{now+10}", "{now-10}", "0", "{850+60}", "{c+60}", "soon")
	d.maybe(40, f, "Expires", "{now+30}")
	d.maybe(3, f, "Vary", "Accept-Language", "accept-language", "Accept-Language, X-Variant", "X-Variant", "*", "X-Variant, *", "Accept-Encoding", "X-Variant,")
	d.maybe(20, f, "Vary", "Accept-Language")
	d.maybe(12, f, "Set-Cookie", "a=1")
	d.maybe(12, f, "X-Secret", "s")
	d.maybe(12, f, "X-Note", "one", "two")
	d.maybe(20, f, "Connection", "X-Note", "close", "x-secret, close", "Cache-Control")
	d.maybe(20, f, "Content-Encoding", "gzip")
	d.maybe(20, f, "Content-Type", "text/plain", "application/json")
	d.maybe(20, f, "Cache-Status", "Origin; hit", `Edge; fwd=stale; detail="x; hit"`)
	d.maybe(6, f, "Cache-Groups", `"orders"`, `"orders", "customers"`, `"customers"`)
	d.maybe(6, f, "Cache-Group-Invalidation", `"orders"`, `"customers"`)
	d.maybe(12, f, "Location", "/orders", "/orders/9", another, "?page=2")
	d.maybe(12, f, "Content-Location", "/orders", another)
	return t
}

// shrunk is a script that still fails and from which nothing can be taken away,
// as far as a number of runs can tell.
func shrunk(t *testing.T, s script) script {
	t.Helper()
	runs := 0
	fails := func(s script) bool {
		runs++
		return runs < 2000 && len(s) > 0 && play(t, s).wrong != ""
	}
	for again := true; again; {
		again = false
		try := func(smaller script) bool {
			if !fails(smaller) {
				return false
			}
			s, again = smaller, true
			return true
		}
		for i := range slices.Backward(s) {
			if i < len(s) {
				try(slices.Delete(slices.Clone(s), i, i+1))
			}
		}
		for i := range s {
			for _, simpler := range s[i].simpler() {
				next := slices.Clone(s)
				next[i] = simpler
				if try(next) {
					break
				}
			}
		}
	}
	return s
}

// simpler are the steps that have one thing less.
func (s step) simpler() (all []step) {
	for i := range s.requests {
		if len(s.requests) > 1 {
			next := s
			next.requests = slices.Delete(slices.Clone(s.requests), i, i+1)
			all = append(all, next)
		}
		q := s.requests[i]
		with := func(q request) {
			next := s
			next.requests = slices.Clone(s.requests)
			next.requests[i] = q
			all = append(all, next)
		}
		for k := range q.fields {
			less := q
			less.fields = slices.Delete(slices.Clone(q.fields), k, k+1)
			with(less)
		}
		if q.cancel > 0 || q.read >= 0 || q.delay > 0 && len(s.requests) == 1 {
			less := q
			less.cancel, less.read = 0, -1
			if len(s.requests) == 1 {
				less.delay = 0
			}
			with(less)
		}
	}
	for i := range s.answers {
		if len(s.answers) > 1 {
			next := s
			next.answers = slices.Delete(slices.Clone(s.answers), i, i+1)
			all = append(all, next)
		}
		t := s.answers[i]
		with := func(t template) {
			next := s
			next.answers = slices.Clone(s.answers)
			next.answers[i] = t
			all = append(all, next)
		}
		for k := range t.fields {
			less := t
			less.fields = slices.Delete(slices.Clone(t.fields), k, k+1)
			with(less)
		}
		plain := template{status: t.status, fields: t.fields, tag: t.tag, modified: t.modified, size: t.size, change: t.change,
			condition: t.condition, partial: t.partial, fail: t.fail, cut: t.cut, silent: t.silent, delay: t.delay}
		if t.pause > 0 || t.chunked {
			with(plain)
		}
		for _, drop := range []func(*template){func(t *template) { t.delay = 0 }, func(t *template) { t.modified = "" }, func(t *template) { t.condition = "" }, func(t *template) { t.change = false }, func(t *template) { t.cut = false }, func(t *template) { t.status = 200 }} {
			less := t
			drop(&less)
			if less.delay != t.delay || less.modified != t.modified || less.condition != t.condition || less.change != t.change || less.cut != t.cut || less.status != t.status {
				with(less)
			}
		}
	}
	if s.wait > 0 {
		next := s
		next.wait = 0
		all = append(all, next)
	}
	return all
}
