package cache_test

// Whether a client's answer is permitted, and whether the origin was asked
// without need. See oracle_test.go.

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// reading is one client's request and its answer.
type reading struct {
	n           int
	together    bool // other clients ask at the same time
	method, url string
	asked       http.Header
	cancelled   bool // the client gave up
	a           answer
}

// judge returns what is wrong with an answer, or nothing. s is what was stored
// before, own are the exchanges that this request caused, and all those of
// everybody in the same step.
func judge(s *store, r *reading, own, all []*exchange) string {
	said := statusOf(r.a.header)
	if r.cancelled && r.a.err != nil {
		return ""
	}
	if r.cancelled && r.a.readErr != nil {
		r.a.readErr, r.a.whole = nil, false
	}
	if r.a.err == nil {
		if said["cache"] != "Swale" {
			return fmt.Sprintf("Cache-Status %q doesn't end with what this cache says (RFC 9211 section 2)", r.a.header["Cache-Status"])
		}
		if said.has("hit") && (said.has("fwd") || said.has("fwd-status") || said.has("stored") || said.has("collapsed")) {
			return fmt.Sprintf("Cache-Status %q: hit and fwd are exclusive (RFC 9211 section 2.2)", r.a.header["Cache-Status"])
		}
		if fwd, ok := said["fwd"]; ok && !slices.Contains([]string{"bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"}, fwd) {
			return fmt.Sprintf("Cache-Status %q: fwd=%s is none of RFC 9211 section 2.2", r.a.header["Cache-Status"], fwd)
		}
		if w := wrongRequest(s, r, own); w != "" {
			return w
		}
	}
	if w := needless(s, r, own); w != "" {
		return w
	}
	switch {
	case said.has("hit"):
		return judgeHit(s, r, said, all)
	case len(own) == 0 && r.a.status == http.StatusGatewayTimeout && directivesOf(r.asked).has("only-if-cached"):
		return "" // section 5.2.1.7
	case directivesOf(r.asked).has("only-if-cached") && (r.method == http.MethodGet || r.method == http.MethodHead):
		// Section 4: unsafe requests are written through, whatever they say.
		return fmt.Sprintf("only-if-cached gets what is stored, or 504 (section 5.2.1.7), not %d with Cache-Status %q", r.a.status, r.a.header["Cache-Status"])
	case len(own) == 0 && !r.together:
		return fmt.Sprintf("Cache-Status %q, and nobody was asked", r.a.header["Cache-Status"])
	case len(own) == 0:
		return judgeShared(s, r, said, all)
	}
	return judgeForwarded(s, r, said, own, all)
}

// judgeHit: something that is stored may be used as it is.
func judgeHit(s *store, r *reading, said status, all []*exchange) string {
	var whys []string
	for _, c := range candidates(s, r, all) {
		v := c.reusable(r.method, r.asked, r.a.start, r.a.end, r.a.startedAt, false)
		why := v.why
		if v.may {
			if why = c.differs(&r.a, r.method, r.asked, false); why == "" {
				why = wrongTTL(c, &r.a, said)
			}
			if why == "" {
				return ""
			}
		}
		whys = append(whys, fmt.Sprintf("%v: %s", c, why))
	}
	return "a hit that is not permitted: " + orNothing(whys)
}

// candidates are what could be chosen: what was stored before and, where
// several ask at once, what came meanwhile.
func candidates(s *store, r *reading, all []*exchange) []*record {
	if !r.together {
		return s.chosen(keyOf(r.url, r.asked), r.asked)
	}
	with := s.clone()
	for _, e := range all {
		if e.receivedAt > 0 && e.receivedAt < r.a.endedAt {
			with.take(e)
		}
	}
	return with.chosen(keyOf(r.url, r.asked), r.asked)
}

func wrongTTL(c *record, a *answer, said status) string {
	least, most, explicit := c.lifetime()
	ttl, err := strconv.Atoi(said["ttl"])
	if !said.has("ttl") || least != most || !explicit {
		return ""
	}
	young, _ := c.age(a.start)
	_, old := c.age(a.end)
	if err != nil || ttl < int((least-old)/time.Second) || ttl > int((least-young)/time.Second) {
		return fmt.Sprintf("ttl=%s of Cache-Status, want %v to %v", said["ttl"], least-old, least-young)
	}
	return ""
}

// judgeShared: another reader's question answered this one.
func judgeShared(s *store, r *reading, said status, all []*exchange) string {
	var whys []string
	for _, e := range all {
		if e.method != http.MethodGet || keyOf(e.url, e.asked) != keyOf(r.url, r.asked) {
			continue
		}
		if e.failed || e.cut >= 0 || slices.Contains([]int{500, 502, 503, 504}, e.status) {
			return "" // failures are everybody's who waited, or were tried again
		}
		if r.a.err != nil {
			continue
		}
		why := ""
		shared := e.record()
		switch ok, not := storable(e.method, e.asked, e.status, e.header); {
		case e.status == http.StatusNotModified:
			for _, next := range notModifiedBy(s, all, e) {
				if why = next.differs(&r.a, r.method, r.asked, false); why == "" {
					return ""
				}
			}
		case !ok:
			why = "not to be shared: " + not
		default:
			if may, _ := shared.matches(r.asked); !may {
				why = "Vary selects another"
			} else if why = shared.differs(&r.a, r.method, r.asked, false); why == "" {
				return ""
			}
		}
		whys = append(whys, fmt.Sprintf("%v: %s", e, why))
	}
	if r.a.err != nil {
		return fmt.Sprintf("error %v, and nothing failed", r.a.err)
	}
	return fmt.Sprintf("nobody's question brought this answer (%v): %s", said, orNothing(whys))
}

// judgeForwarded: the origin was asked for this request.
func judgeForwarded(s *store, r *reading, said status, own, all []*exchange) string {
	e := own[len(own)-1]
	if r.together && r.a.err == nil {
		// Which of several exchanges answered can be read off the answer.
		for _, other := range own {
			if r.a.header.Get("X-Id") == strconv.Itoa(other.n) {
				e = other
			}
		}
	}
	if r.a.err != nil {
		if e.failed {
			return ""
		}
		return fmt.Sprintf("error %v, although the origin answered %v", r.a.err, e)
	}
	if e.failed || slices.Contains([]int{500, 502, 503, 504}, e.status) {
		// RFC 5861 section 4.
		others := slices.DeleteFunc(slices.Clone(all), func(o *exchange) bool { return o == e })
		for _, c := range candidates(s, r, others) {
			if v := c.reusable(r.method, r.asked, r.a.start, r.a.end, r.a.startedAt, true); v.may && c.differs(&r.a, r.method, r.asked, false) == "" {
				return ""
			}
		}
	}
	if e.failed {
		return "an answer, although the origin gave none: " + explain(s, r)
	}
	if got := said["fwd-status"]; got != "" && got != strconv.Itoa(e.status) {
		return fmt.Sprintf("fwd-status=%s, but the origin said %d", got, e.status)
	}
	if said.has("stored") {
		ok, why := storable(e.method, e.asked, e.status, e.header)
		if e.status != http.StatusNotModified && !ok {
			return "Cache-Status says stored: " + why
		}
	}
	why := e.passed(&r.a, r.method)
	// An origin that says 304 to no condition has nobody to blame but itself.
	conditional := len(e.asked["If-None-Match"])+len(e.asked["If-Modified-Since"]) > 0
	switch {
	case why == "" && (e.status != http.StatusNotModified || !conditional || e.asksFor(r)):
		return ""
	case e.status != http.StatusNotModified:
		// The client's own condition or range may be answered from the whole.
		own := r.a
		if slices.Equal(own.header["Age"], e.header["Age"]) {
			own.header = own.header.Clone()
			own.header.Del("Age") // passed as it came
		}
		if (e.cut < 0 || r.a.status == http.StatusNotModified) && e.record().differs(&own, r.method, r.asked, true) == "" && e.status >= 200 && e.status < 300 && e.status != 206 {
			return ""
		}
		return "not what the origin said: " + why
	}
	var whys []string
	for _, next := range notModifiedBy(s, all, e) {
		if why = next.differs(&r.a, r.method, r.asked, true); why == "" {
			return ""
		}
		whys = append(whys, fmt.Sprintf("%v: %s", next, why))
	}
	return "not what the 304 confirmed: " + orNothing(whys)
}

// notModifiedBy is what a 304 makes of what it selects.
func notModifiedBy(s *store, all []*exchange, e *exchange) (made []*record) {
	with := s.clone()
	for _, before := range all {
		if e.together && before != e && before.receivedAt > 0 && before.receivedAt < e.receivedAt {
			with.take(before)
		}
	}
	for _, r := range with.selectedBy(e) {
		made = append(made, r.updated(e))
	}
	made = append(made, with.alike(e)...)
	return made
}

// asksFor reports whether the condition of an exchange is the client's own.
func (e *exchange) asksFor(r *reading) bool {
	return slices.Equal(e.asked["If-None-Match"], r.asked["If-None-Match"]) &&
		slices.Equal(e.asked["If-Modified-Since"], r.asked["If-Modified-Since"]) &&
		len(r.asked["If-None-Match"])+len(r.asked["If-Modified-Since"]) > 0
}

// passed says how an answer differs from what the origin said.
func (e *exchange) passed(a *answer, method string) string {
	if a.status != e.status {
		return fmt.Sprintf("status %d, want %d", a.status, e.status)
	}
	want := e.body
	if method == http.MethodHead || e.status == 304 || e.status == 204 {
		want = ""
	}
	if e.cut >= 0 && want != "" {
		want = want[:e.cut]
		if a.whole && a.readErr == nil && !e.silent { // a body that isn't kept is the transport's to count
			return fmt.Sprintf("the body was cut short after %d bytes, and the reader isn't told", e.cut)
		}
	} else if a.readErr != nil {
		return fmt.Sprintf("reading the body: %v", a.readErr)
	}
	if a.whole && a.body != want || !strings.HasPrefix(want, a.body) {
		return fmt.Sprintf("body %q of %d bytes, want %q of %d", short(a.body), len(a.body), short(want), len(want))
	}
	gone := unstored(e.header)
	for name, lines := range e.header {
		got := a.header.Values(name)
		if name == "Cache-Status" {
			got = got[:max(0, len(got)-1)]
		}
		if name != "Age" && !slices.Equal(got, lines) && (!gone[name] || len(got) > 0) {
			return fmt.Sprintf("%s: %q, want %q", name, got, lines)
		}
	}
	return ""
}

// wrongRequest: what the origin is asked is what the client asked, with
// conditions of the cache's own about what it has (section 4.3.1).
func wrongRequest(s *store, r *reading, own []*exchange) string {
	for _, e := range own {
		if e.method != r.method && (r.method != http.MethodHead || e.method != http.MethodGet) || e.url != r.url {
			return fmt.Sprintf("%v asks %s %s for %s %s", e, e.method, e.url, r.method, r.url)
		}
		for name, lines := range r.asked {
			got := e.asked.Values(name)
			switch name {
			case "If-None-Match", "If-Modified-Since", "Range", "If-Range":
				// May be replaced by the cache's own, or taken off to get the
				// whole; a second question after a useless 304 has none.
				if len(got) == 0 || name[:3] == "If-" && name != "If-Range" {
					continue
				}
			case "Cache-Control", "Pragma":
				if statusOf(r.a.header).has("hit") {
					continue // a refresh in the background is for the store
				}
				got = got[:min(len(got), len(lines))]
			}
			if !slices.Equal(got, lines) {
				return fmt.Sprintf("%v asks with %s: %q, the client with %q", e, name, got, lines)
			}
		}
		for name := range e.asked {
			if _, sent := r.asked[name]; !sent && !slices.Contains([]string{"If-None-Match", "If-Modified-Since", "Cache-Control", "Pragma"}, name) {
				return fmt.Sprintf("%v asks with %s: %q, the client without", e, name, e.asked[name])
			}
		}
		for _, tag := range membersOf(e.asked["If-None-Match"]) {
			if slices.Contains(membersOf(r.asked["If-None-Match"]), tag) || r.together {
				continue
			}
			if !slices.ContainsFunc(s.records, func(c *record) bool {
				return c.key == keyOf(r.url, r.asked) && c.header.Get("Etag") == tag
			}) {
				return fmt.Sprintf("%v asks about %s, which is no stored response's", e, tag)
			}
		}
	}
	return ""
}

// needless is the other direction: a response that says how long it is fresh
// answers without the origin, unless there is an argument against it.
func needless(s *store, r *reading, own []*exchange) string {
	if r.together || r.method != http.MethodGet && r.method != http.MethodHead {
		return ""
	}
	if len(own) == 0 && len(r.a.header["X-Id"]) > 0 { // not a 504 of the cache's own
		return ""
	}
	for _, c := range s.chosen(keyOf(r.url, r.asked), r.asked) {
		v := c.reusable(r.method, r.asked, r.a.start, r.a.end, r.a.startedAt, false)
		if v.must && r.excused(c) == "" && len(s.chosen(keyOf(r.url, r.asked), r.asked)) == 1 {
			lifetime, _, _ := c.lifetime()
			_, age := c.age(r.a.end)
			return fmt.Sprintf("the origin was asked, or 504 given, without need: %v is fresh for %v", c, lifetime-age)
		}
	}
	return ""
}

// excused are the arguments for asking although something fresh is stored.
func (r *reading) excused(c *record) string {
	d := directivesOf(c.header)
	switch {
	case len(d.named("no-cache")) > 0:
		return "section 5.2.2.4: named fields may be left out, or validated"
	case len(r.asked.Values("Range")) > 0 && (strings.Contains(r.asked.Get("Range"), ",") || c.status != http.StatusOK || len(r.asked.Values("If-Range")) > 0):
		return "several ranges, and conditions on them, are the origin's"
	case slices.Contains(varyOf(c.header), "*"):
		return "never matches"
	}
	return ""
}

func explain(s *store, r *reading) string {
	var whys []string
	for _, c := range s.chosen(keyOf(r.url, r.asked), r.asked) {
		v := c.reusable(r.method, r.asked, r.a.start, r.a.end, r.a.startedAt, true)
		why := v.why
		if v.may {
			why = c.differs(&r.a, r.method, r.asked, false)
		}
		whys = append(whys, fmt.Sprintf("%v: %s", c, why))
	}
	return orNothing(whys)
}

func orNothing(whys []string) string {
	if len(whys) == 0 {
		return "nothing is stored for this request"
	}
	return strings.Join(whys, "; ")
}
