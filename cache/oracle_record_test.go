package cache_test

// Responses that may be in a store, and whether they may be used: RFC 9111
// sections 3 and 4, in their order. See oracle_test.go.

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// record is a response that a cache may have stored, in one of its states: a
// 304 makes another record of it.
type record struct {
	key      string        // target URI and whom it was said to
	asked    []http.Header // what was sent for it; a 304 adds what was sent for that
	status   int
	header   http.Header
	body     string
	sent     time.Time // request_time
	received time.Time // response_time
	from     string    // where it comes from, for people

	sentAt, storedAt int         // on the clock of the history
	step             int         // the step in which it came
	together         bool        // came in a step of several readers, whose order isn't known
	invalidAt        int         // when it was invalidated, 0 if it wasn't
	doubtful         bool        // a cache has a reason not to have it
	moment           http.Header // where Date and Age are, if a 304 has confirmed it without an update
	optional         bool        // and had it from the beginning
	before           http.Header // what the first 304 updated
	lacks            []string    // fields that needn't have been stored, see wrongFields
}

// storable is RFC 9111 section 3, for a private cache that understands GET.
func storable(method string, asked http.Header, status int, h http.Header) (bool, string) {
	d := directivesOf(h)
	understood := slices.Contains([]int{200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 500, 501, 502, 503, 504}, status)
	switch {
	case method != http.MethodGet:
		return false, "the method isn't GET"
	case status < 200:
		return false, "not a final response"
	case status == 206 || status == 304:
		return false, "parts and 304s aren't responses that can be used by themselves"
	case d.has("must-understand") && !understood:
		return false, "must-understand, and the status isn't understood"
	case d.has("no-store") && !d.has("must-understand"):
		// Section 5.2.2.3: who understands ignores no-store.
		return false, "no-store in the response"
	case directivesOf(asked).has("no-store"):
		return false, "no-store in the request (section 5.2.1.5)"
	case d.has("public"), d.has("private"), d.has("max-age"), len(h.Values("Expires")) > 0, heuristic(status):
		return true, ""
	}
	return false, "nothing says that it may be stored"
}

// heuristic statuses: RFC 9110 section 15.1, without 206.
func heuristic(status int) bool {
	return slices.Contains([]int{200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501}, status)
}

// date is date_value of section 4.2.3: the Date field, or, as RFC 9110 section
// 6.6.1 has it, when the response came.
func (r *record) date() time.Time {
	if d, ok := dateField(r.header, "Date"); ok {
		return d
	}
	return r.received
}

// age is current_age of section 4.2.3, in whole seconds: the least and the most
// that rounding makes of it.
func (r *record) age(now time.Time) (least, most time.Duration) {
	down := func(d time.Duration) time.Duration { return d.Truncate(time.Second) }
	up := func(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }
	return r.rounded(now, down, false), r.rounded(now, up, true)
}

func (r *record) rounded(now time.Time, to func(time.Duration) time.Duration, oldest bool) time.Duration {
	moment := r.header
	if r.moment != nil {
		moment = r.moment
	}
	made, ok := dateField(moment, "Date")
	if !ok {
		made = r.received
	}
	apparent := max(0, to(r.received.Sub(made)))
	value := time.Duration(0)
	if members := membersOf(moment.Values("Age")); len(members) > 0 {
		// Section 5.1: the first member of a list SHOULD be used, what is
		// invalid SHOULD be ignored; who takes such a response for very old
		// errs on the safe side.
		var valid bool
		if value, valid = deltaSeconds(members[0]); (!valid || len(members) > 1) && oldest {
			value = 1 << 31 * time.Second
		}
	}
	corrected := value + to(r.received.Sub(r.sent))
	// Section 1.2.2: no age is greater.
	return min(max(apparent, corrected), 1<<31*time.Second) + to(now.Sub(r.received))
}

// lifetime is freshness_lifetime of section 4.2.1. Where the RFC leaves it
// open there is a least and a most; explicit says that the response names it.
func (r *record) lifetime() (least, most time.Duration, explicit bool) {
	d := directivesOf(r.header)
	if d.has("max-age") {
		secs, ok := d.seconds("max-age")
		if !ok {
			// "Caches are encouraged to consider responses that have invalid
			// freshness information to be stale."
			return 0, 0, true
		}
		for _, other := range d["max-age"] {
			if other != d["max-age"][0] {
				// "Either the first occurrence should be used or the response
				// should be considered stale."
				return 0, secs, true
			}
		}
		return secs, secs, true
	}
	if lines := r.header.Values("Expires"); len(lines) > 0 {
		// Section 5.3: an invalid date is in the past.
		expires, ok := dateIn(lines[0])
		if !ok {
			return 0, 0, true
		}
		most = max(0, expires.Sub(r.date()))
		if len(lines) > 1 {
			return 0, most, true
		}
		return most, most, true
	}
	if heuristic(r.status) || d.has("public") {
		// Section 4.2.2: "A typical setting of this fraction might be 10%."
		if modified, ok := dateField(r.header, "Last-Modified"); ok {
			most = max(0, r.date().Sub(modified)/10)
		}
	}
	return 0, most, false
}

// verdict says whether a stored response may answer a request without the
// origin's word, and whether nothing excuses asking.
type verdict struct {
	may, must bool
	why       string
}

func no(format string, args ...any) verdict { return verdict{why: fmt.Sprintf(format, args...)} }

// matches is section 4.1.
func (r *record) matches(asked http.Header) (may, surely bool) {
	may, surely = false, true
	names := varyOf(r.header)
	for _, original := range r.asked {
		all := true
		for _, name := range names {
			one, sure := selects(name, original, asked)
			all, surely = all && one && name != "*", surely && sure
		}
		may = may || all
	}
	return may, surely && may
}

// reusable is section 4: may, at some time from start to end, this record
// answer a request that was sent at start (number started of the history)?
// failed says that the origin was asked and couldn't be reached, or failed.
func (r *record) reusable(method string, asked http.Header, start, end time.Time, started int, failed bool) verdict {
	if method != http.MethodGet && method != http.MethodHead {
		return no("%s isn't answered from a store", method)
	}
	if matched, _ := r.matches(asked); !matched {
		return no("Vary: %s selects another (section 4.1)", r.header["Vary"])
	}
	if r.invalidAt > 0 && started > r.invalidAt {
		return no("it was invalidated (section 4.4)")
	}
	d, q := directivesOf(r.header), directivesOf(asked)
	if ok, why := storable(http.MethodGet, r.asked[len(r.asked)-1], r.status, r.header); !ok {
		return no("%s", why)
	}
	if d.bare("no-cache") || slices.Contains(d.named("no-cache"), "Vary") {
		return no("no-cache in the response (section 5.2.2.4)")
	}
	if q.has("no-cache") {
		return no("no-cache in the request (section 5.2.1.4)")
	}
	for _, f := range []string{"If-Match", "If-Unmodified-Since"} {
		if len(asked.Values(f)) > 0 {
			return no("%s is for the origin (section 4.3.2)", f)
		}
	}
	least, most, explicit := r.lifetime()
	// Ages grow between start and end: the least for may, the largest for must.
	young, _ := r.age(start)
	_, old := r.age(end)
	v := verdict{may: true, must: explicit && !r.doubtful && !r.together && least > old}
	if limit, ok := q.seconds("max-age"); ok {
		// With max-stale beside it, so much older is accepted. RFC 8246
		// section 2: what is immutable isn't asked for again while it is
		// fresh. RFC 5861 section 4: a failure stands above it.
		slack, _ := q.seconds("max-stale")
		if q.bare("max-stale") || d.has("immutable") && most > young || failed {
			slack = 1 << 31 * time.Second
		}
		if young > limit+slack {
			return no("its age %s is over max-age=%s of the request (section 5.2.1.1)", young, limit)
		}
		v.must = v.must && old <= limit
	} else if q.has("max-age") {
		v.must = false
	}
	margin := time.Duration(0)
	if q.has("min-fresh") {
		var ok bool
		if margin, ok = q.seconds("min-fresh"); !ok {
			v.must = false
		}
		v.must = v.must && least >= old+margin
	}
	_, surely := r.matches(asked)
	v.must = v.must && surely && !q.has("no-store") && len(asked.Values("Pragma")) == 0
	if most > young && (most >= young+margin || failed) {
		return v
	}
	v.must = false
	if most > young {
		return no("it is fresh for %s only, and min-fresh asks for %s (section 5.2.1.3)", most-young, margin)
	}
	if d.has("must-revalidate") {
		return no("stale by %s, and must-revalidate (section 5.2.2.2)", young-most)
	}
	if why := r.staleAllowed(d, q, young-most, failed); why != "" {
		return no("stale by %s: %s (section 4.2.4)", young-most, why)
	}
	return v
}

// staleAllowed is section 4.2.4 with RFC 5861; it returns why not.
func (r *record) staleAllowed(d, q directives, by time.Duration, failed bool) string {
	if q.has("max-stale") {
		if limit, ok := q.seconds("max-stale"); ok && by <= limit || q.bare("max-stale") {
			return ""
		}
	}
	if failed {
		// "Regardless of other freshness information" (RFC 5861 section 4).
		for _, from := range []directives{d, q} {
			if limit, ok := from.seconds("stale-if-error"); ok && by <= limit {
				return ""
			}
		}
	}
	if q.has("max-age") || q.has("max-stale") || q.has("min-fresh") {
		// Section 5.2.1.1: "Unless the max-stale request directive is also
		// present, the client does not wish to receive a stale response."
		return "the request says how stale it may be"
	}
	if limit, ok := d.seconds("stale-while-revalidate"); ok && by <= limit && !failed {
		return ""
	}
	return "nobody allows it"
}

// updated is what a response, a 304 or one to HEAD, makes of the record (section
// 3.2). The body stays.
func (r *record) updated(e *exchange) *record {
	next := *r
	next.header = maps.Clone(r.header)
	for name := range unstored(r.header) {
		delete(next.header, name)
	}
	if next.before == nil {
		next.before = r.header
	}
	next.lacks = append(slices.Clone(r.lacks), directivesOf(r.header).named("no-cache")...)
	gone := unstored(e.header)
	for name, lines := range e.header {
		if !gone[name] && name != "Content-Length" {
			next.header[name] = lines
		}
	}
	// The new response's age is its own, and so is when it was made.
	for _, name := range []string{"Age", "Date"} {
		if len(e.header.Values(name)) == 0 {
			delete(next.header, name)
		}
	}
	next.asked = append(slices.Clone(r.asked), e.asked)
	next.sent, next.received = e.sent, e.received
	next.sentAt, next.storedAt, next.step, next.together = e.sentAt, e.receivedAt, e.step, e.together
	next.invalidAt, next.doubtful = 0, r.doubtful
	next.from = fmt.Sprintf("%s, updated by #%d", r.from, e.n)
	return &next
}

// supersedes reports whether a request for which both could be chosen must not
// get the older one (section 4: "the most recent one, as determined by Date").
func (r *record) supersedes(older *record) bool {
	if r.step <= older.step && (r.together || older.together) || r.storedAt <= older.storedAt {
		return false
	}
	if r.optional || older.date().After(r.date()) {
		return false
	}
	// Section 4.1: one without Vary is not preferred to one that has it.
	return len(varyOf(r.header)) > 0 || len(varyOf(older.header)) == 0
}

func (r *record) String() string {
	return fmt.Sprintf("%d %q from %s", r.status, short(r.body), r.from)
}

func short(body string) string {
	version, _, _ := strings.Cut(body, "|")
	return version
}
