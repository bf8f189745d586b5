package cache

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// step is one request of a script, and what comes of it.
type step struct {
	wait   time.Duration // before it
	method string        // GET if empty
	url    string        // the document if empty
	send   []string      // request fields
	reply  *answerSpec   // what the origin says from here on; nil: as before
	hit    bool          // the origin isn't asked
	status int           // 200 if zero
	body   string        // checked if not empty
	header []string      // fields of the response, name and value; an empty value means absent
	asked  []string      // fields of the request that the origin got
}

type answerSpec struct {
	status int
	body   string
	fields []string
	err    error
}

func says(body string, fields ...string) *answerSpec { return &answerSpec{200, body, fields, nil} }

func status(code int, fields ...string) *answerSpec { return &answerSpec{code, "", fields, nil} }

var errDown = errors.New("origin is down")

// TestHTTP checks G8, rule by rule. Each script runs against its own cache in
// its own time.
func TestHTTP(t *testing.T) {
	date := func(d time.Duration) string { // relative to the bubble's midnight
		return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(d).Format(http.TimeFormat)
	}
	for name, script := range map[string][]step{
		"9111/4.2 max-age": {
			{reply: says("a", "Cache-Control", "max-age=10")},
			{wait: 9 * time.Second, hit: true, header: []string{"Age", "9"}},
			{wait: time.Second},
		},
		"9111/4.2.3 Age of the response counts": {
			{reply: says("a", "Cache-Control", "max-age=10", "Age", "8")},
			{wait: time.Second, hit: true, header: []string{"Age", "9"}},
			{wait: time.Second},
		},
		"9111/4.2.3 Date counts when Age is absent": {
			{reply: says("a", "Cache-Control", "max-age=10", "Date", date(-8*time.Second))},
			{wait: 3 * time.Second},
		},
		"9111/5.3 Expires relative to Date": {
			{reply: says("a", "Expires", date(10*time.Second))},
			{wait: 9 * time.Second, hit: true},
			{wait: time.Second},
		},
		"9111/5.3 max-age outranks Expires":          {{reply: says("a", "Expires", date(-time.Hour), "Cache-Control", "max-age=5")}, {hit: true}},
		"9111/5.3 an invalid Expires is stale":       {{reply: says("a", "Expires", "0", "Last-Modified", date(-1000*time.Hour))}, {}},
		"9111/5.3 two Expires that differ are stale": {{reply: says("a", "Expires", date(time.Hour), "Expires", date(2*time.Hour))}, {}},
		"9111/5.3 s-maxage is for shared caches":     {{reply: says("a", "Cache-Control", "s-maxage=0, max-age=5")}, {hit: true}},
		"9111/5.2 private is for us":                 {{reply: says("a", "Cache-Control", "private, max-age=5")}, {hit: true}},
		"9111/5.2 names ignore case, values quoted":  {{reply: says("a", "Cache-Control", `foo="max-age=0, \"x", MAX-AGE="5"`)}, {hit: true}},
		"9111/5.2 lines are joined":                  {{reply: says("a", "Cache-Control", "max-age=5", "Cache-Control", "no-store")}, {}},
		"9111/4.2.1 of two max-age the smaller":      {{reply: says("a", "Cache-Control", "max-age=0, max-age=5")}, {}},
		"9111/5.2.2.5 no-store":                      {{reply: says("a", "Cache-Control", "max-age=5, no-store")}, {}},
		"9111/5.2.2.3 must-understand":               {{reply: says("a", "Cache-Control", "max-age=5, no-store, must-understand")}, {hit: true}},
		"9111/5.2.2.3 must-understand, unknown code": {{reply: status(299, "Cache-Control", "max-age=5, no-store, must-understand"), status: 299}, {status: 299}},
		"9111/5.2.2.4 no-cache asks each time":       {{reply: says("a", "Cache-Control", "max-age=5, no-cache", "ETag", `"1"`)}, {asked: []string{"If-None-Match", `"1"`}}},
		"9111/5.2.2.4 no-cache with fields":          {{reply: says("a", "Cache-Control", `max-age=5, no-cache="X-A, x-b"`, "X-A", "1", "X-B", "2", "X-C", "3")}, {hit: true, header: []string{"X-A", "", "X-B", "", "X-C", "3"}}},
		"9111/4.2.2 heuristic":                       {{reply: says("a", "Last-Modified", date(-100*time.Second))}, {wait: 9 * time.Second, hit: true}, {wait: time.Second}},
		"9111/4.2.2 no heuristic for a 302":          {{reply: status(302, "Last-Modified", date(-100*time.Hour)), status: 302}, {status: 302}},
		"9111/3 explicit freshness makes a 302 fit":  {{reply: status(302, "Cache-Control", "max-age=5"), status: 302}, {status: 302, hit: true}},
		"9111/3 negative entries":                    {{reply: status(404, "Cache-Control", "max-age=5"), status: 404}, {status: 404, hit: true}},
		"9111/3 a 206 isn't stored":                  {{reply: status(206, "Cache-Control", "max-age=5", "Content-Range", "bytes 0-0/1"), status: 206}, {status: 206}},
		"9111/3.1 connection fields aren't stored":   {{reply: says("a", "Cache-Control", "max-age=5", "Connection", "X-A, close", "X-A", "1", "Keep-Alive", "x")}, {hit: true, header: []string{"X-A", "", "Connection", "", "Keep-Alive", ""}}},
		"9111/4.1 Vary keeps variants side by side":  {{reply: says("a", "Cache-Control", "max-age=5", "Vary", "Accept"), send: []string{"Accept", "x"}}, {send: []string{"Accept", "y"}, reply: says("b", "Cache-Control", "max-age=5", "Vary", "Accept")}, {send: []string{"Accept", "x"}, hit: true, body: "a"}, {send: []string{"Accept", "y"}, hit: true, body: "b"}, {}},
		"9111/4.1 whitespace in a selecting field":   {{reply: says("a", "Cache-Control", "max-age=5", "Vary", "Accept"), send: []string{"Accept", "x, y"}}, {send: []string{"Accept", "x ,y"}, hit: true}, {send: []string{"Accept", "x", "Accept", "y"}, hit: true}},
		"9111/4.1 Vary: * anywhere":                  {{reply: says("a", "Cache-Control", "max-age=5", "Vary", "Accept, *")}, {}},
		"9111/5.2.1.4 request no-cache":              {{reply: says("a", "Cache-Control", "max-age=5")}, {send: []string{"Cache-Control", "no-cache"}}},
		"9111/5.4 Pragma without Cache-Control":      {{reply: says("a", "Cache-Control", "max-age=5")}, {send: []string{"Pragma", "no-cache"}}, {send: []string{"Pragma", "no-cache", "Cache-Control", "x"}, hit: true}},
		"9111/5.2.1.1 request max-age":               {{reply: says("a", "Cache-Control", "max-age=50")}, {wait: 5 * time.Second, send: []string{"Cache-Control", "max-age=5"}, hit: true}, {wait: time.Second, send: []string{"Cache-Control", "max-age=5"}}},
		"9111/5.2.1.3 request min-fresh":             {{reply: says("a", "Cache-Control", "max-age=50")}, {send: []string{"Cache-Control", "min-fresh=50"}, hit: true}, {send: []string{"Cache-Control", "min-fresh=51"}}},
		"9111/5.2.1.2 request max-stale":             {{reply: says("a", "Cache-Control", "max-age=5")}, {wait: 10 * time.Second, send: []string{"Cache-Control", "max-stale=5"}, hit: true}, {wait: time.Second, send: []string{"Cache-Control", "max-stale"}, hit: true}, {send: []string{"Cache-Control", "max-stale=5"}}},
		"9111/5.2.2.2 must-revalidate outranks it":   {{reply: says("a", "Cache-Control", "max-age=5, must-revalidate")}, {wait: 10 * time.Second, send: []string{"Cache-Control", "max-stale"}}},
		"9111/5.2.1.5 request no-store":              {{reply: says("a", "Cache-Control", "max-age=5"), send: []string{"Cache-Control", "no-store"}}, {}},
		"9111/5.2.1.7 only-if-cached":                {{send: []string{"Cache-Control", "only-if-cached"}, status: 504, hit: true}, {reply: says("a", "Cache-Control", "max-age=5")}, {send: []string{"Cache-Control", "only-if-cached"}, hit: true}},
		"9110/6.6.1 a missing Date is added":         {{reply: says("a", "Cache-Control", "max-age=5", "Date", ""), header: []string{"Date", date(0)}}, {wait: time.Second, hit: true, header: []string{"Date", date(0)}}},
		"9111/4.3.1 both validators":                 {{reply: says("a", "Cache-Control", "max-age=0", "ETag", `W/"1"`, "Last-Modified", date(-time.Hour))}, {asked: []string{"If-None-Match", `W/"1"`, "If-Modified-Since", date(-time.Hour)}}},
		"9111/4.3.4 a 304 updates what it may":       {{reply: says("a", "Cache-Control", "max-age=1", "ETag", `"1"`, "X-A", "1", "X-B", "1", "Content-Type", "t/a")}, {wait: 2 * time.Second, reply: status(304, "Cache-Control", "max-age=9", "X-A", "2", "Content-Encoding", "x"), body: "a", header: []string{"X-A", "2", "X-B", "1", "Content-Encoding", "", "Content-Length", "1"}}, {wait: 8 * time.Second, hit: true, body: "a", header: []string{"X-A", "2"}}},
		"9111/4.3.4 a 304 that forbids keeping":      {{reply: says("a", "Cache-Control", "max-age=1", "ETag", `"1"`)}, {wait: 2 * time.Second, reply: status(304, "Cache-Control", "no-store"), body: "a"}, {reply: says("b"), body: "b", asked: []string{"If-None-Match", ""}}},
		"9111/4.3.3 a 304 nobody asked for passes":   {{reply: status(304, "Cache-Control", "max-age=5"), status: 304, send: []string{"If-None-Match", `"x"`}}, {reply: says("a"), body: "a"}},
		"9111/4.3.3 another version takes the place": {{reply: says("a", "Cache-Control", "max-age=0", "ETag", `"1"`)}, {reply: says("b", "Cache-Control", "max-age=5", "ETag", `"2"`), body: "b"}, {hit: true, body: "b"}},
		"9111/4.3.3 an error doesn't take the place": {{reply: says("a", "Cache-Control", "max-age=1", "ETag", `"1"`)}, {wait: 2 * time.Second, reply: status(500), status: 500}, {reply: says("b"), asked: []string{"If-None-Match", `"1"`}}},
		"9111/4.3.5 HEAD freshens":                   {{reply: says("a", "Cache-Control", "max-age=1", "ETag", `"1"`, "X", "1")}, {wait: 2 * time.Second, method: "HEAD", reply: &answerSpec{200, "a", []string{"Cache-Control", "max-age=5", "ETag", `"1"`, "X", "2"}, nil}}, {hit: true, body: "a", header: []string{"X", "2"}}},
		"9111/4.3.5 HEAD tells of another version":   {{reply: says("a", "Cache-Control", "max-age=9", "ETag", `"1"`)}, {wait: 2 * time.Second, method: "HEAD", send: []string{"Cache-Control", "no-cache"}, reply: status(200, "ETag", `"2"`)}, {reply: says("b"), body: "b"}},
		"9111/4.3.5 HEAD without a validator": {
			{reply: says("a", "Cache-Control", "max-age=1")},
			{wait: 2 * time.Second, method: "HEAD", reply: says("b", "Cache-Control", "max-age=9")},
			{body: "b"},
		},
		"9111/4.3.5 HEAD tells of another length": {
			{reply: says("a", "Cache-Control", "max-age=9", "Last-Modified", date(-time.Hour))},
			{method: "HEAD", send: []string{"Cache-Control", "no-cache"}, reply: says("bb", "Last-Modified", date(-time.Hour))},
			{body: "bb"},
		},
		"9111/4.3.5 a failing HEAD tells nothing": {
			{reply: says("a", "Cache-Control", "max-age=9")},
			{method: "HEAD", send: []string{"Cache-Control", "no-cache"}, reply: status(503), status: 503},
			{hit: true, body: "a"},
		},
		"9111/4 HEAD from a stored GET":              {{reply: says("abc", "Cache-Control", "max-age=5")}, {method: "HEAD", hit: true, header: []string{"Content-Length", "3"}}},
		"9111/4.4 POST invalidates":                  {{reply: says("a", "Cache-Control", "max-age=5")}, {method: "POST", reply: says("b", "Cache-Control", "max-age=5")}, {body: "b"}},
		"9111/4.4 an unknown method invalidates":     {{reply: says("a", "Cache-Control", "max-age=5")}, {method: "FROB"}, {}},
		"9111/4.4 a safe method doesn't":             {{reply: says("a", "Cache-Control", "max-age=5")}, {method: "OPTIONS"}, {hit: true}},
		"9111/4.4 a failed one doesn't":              {{reply: says("a", "Cache-Control", "max-age=5")}, {method: "POST", reply: status(409), status: 409}, {hit: true}},
		"9111/4.4 an unknown outcome does":           {{reply: says("a", "Cache-Control", "max-age=5")}, {method: "POST", reply: &answerSpec{err: errDown}, status: -1}, {reply: says("b")}},
		"9111/4.4 a gateway's error does":            {{reply: says("a", "Cache-Control", "max-age=5")}, {method: "POST", reply: status(504), status: 504}, {reply: says("b")}},
		"9111/4.4 Location and Content-Location":     {{reply: says("a", "Cache-Control", "max-age=5")}, {url: "https://api.example/other", method: "POST", reply: says("", "Location", "restaurants/203?x", "Cache-Control", "max-age=5")}, {}, {hit: true}, {url: "https://api.example/other", method: "POST", reply: says("", "Content-Location", testURL)}, {}},
		"9111/4.4 Location of another origin":        {{reply: says("a", "Cache-Control", "max-age=5")}, {url: "https://other.example/", method: "POST", reply: says("", "Location", testURL)}, {hit: true}},
		"9110/13 If-None-Match from the store":       {{reply: says("a", "Cache-Control", "max-age=5", "ETag", `"1"`)}, {hit: true, status: 304, send: []string{"If-None-Match", `"0", W/"1"`}, header: []string{"Etag", `"1"`, "Content-Length", ""}}, {hit: true, send: []string{"If-None-Match", `"0"`}, body: "a"}, {hit: true, status: 304, send: []string{"If-None-Match", "*"}}},
		"9110/13 If-Modified-Since from the store":   {{reply: says("a", "Cache-Control", "max-age=5", "Last-Modified", date(-time.Hour))}, {hit: true, status: 304, send: []string{"If-Modified-Since", date(-time.Hour)}}, {hit: true, send: []string{"If-Modified-Since", date(-2 * time.Hour)}}, {hit: true, send: []string{"If-Modified-Since", date(-time.Hour), "If-None-Match", `"x"`}}},
		"9110/13 and after validation":               {{reply: says("a", "Cache-Control", "max-age=0", "ETag", `"1"`)}, {reply: status(304), status: 304, send: []string{"If-None-Match", `"1"`}}, {body: "a", send: []string{"If-None-Match", `"0"`}, asked: []string{"If-None-Match", `"1"`}}},
		"9110/13 If-Match passes":                    {{reply: says("a", "Cache-Control", "max-age=5", "ETag", `"1"`)}, {reply: status(412), status: 412, send: []string{"If-Match", `"0"`}, asked: []string{"If-Match", `"0"`, "If-None-Match", ""}}, {hit: true}},
		"9110/14 ranges of a complete entry":         {{reply: says("0123456789", "Cache-Control", "max-age=5", "ETag", `"1"`)}, {hit: true, status: 206, send: []string{"Range", "bytes=2-4"}, body: "234", header: []string{"Content-Range", "bytes 2-4/10", "Content-Length", "3"}}, {hit: true, status: 206, send: []string{"Range", "bytes=-3"}, body: "789"}, {hit: true, status: 206, send: []string{"Range", "bytes=8-99"}, body: "89"}, {hit: true, status: 416, send: []string{"Range", "bytes=10-"}, header: []string{"Content-Range", "bytes */10"}}, {hit: true, send: []string{"Range", "lines=1-2"}, body: "0123456789"}, {hit: true, status: 206, send: []string{"Range", "bytes=0-0", "If-Range", `"1"`}, body: "0"}, {hit: true, send: []string{"Range", "bytes=0-0", "If-Range", `"2"`}, body: "0123456789"}},
		"9110/14 a range on a miss passes":           {{send: []string{"Range", "bytes=2-4"}, reply: status(206, "Cache-Control", "max-age=5"), status: 206, asked: []string{"Range", "bytes=2-4"}}, {reply: says("a", "Cache-Control", "max-age=5"), body: "a"}},
		"5861/3 stale-while-revalidate":              {{reply: says("a", "Cache-Control", "max-age=5, stale-while-revalidate=5", "ETag", `"1"`)}, {wait: 6 * time.Second, reply: says("b", "Cache-Control", "max-age=5"), hit: true, body: "a"}, {wait: time.Millisecond, hit: true, body: "b"}},
		"5861/3 not for longer":                      {{reply: says("a", "Cache-Control", "max-age=5, stale-while-revalidate=5")}, {wait: 10 * time.Second, reply: says("b"), body: "b"}},
		"5861/3 yields to must-revalidate":           {{reply: says("a", "Cache-Control", "max-age=5, stale-while-revalidate=5, must-revalidate")}, {wait: 6 * time.Second, reply: says("b"), body: "b"}},
		"5861/4 stale-if-error on a status":          {{reply: says("a", "Cache-Control", "max-age=5, stale-if-error=5", "ETag", `"1"`)}, {wait: 6 * time.Second, reply: status(503), body: "a", header: []string{"Cache-Status", "Swale; fwd=stale; fwd-status=503; detail=stale-if-error"}}, {wait: 6 * time.Second, status: 503}},
		"5861/4 stale-if-error on a transport error": {{reply: says("a", "Cache-Control", "max-age=5, stale-if-error=5")}, {wait: 6 * time.Second, reply: &answerSpec{err: errDown}, body: "a", header: []string{"Cache-Status", "Swale; fwd=stale; detail=stale-if-error"}}},
		"5861/4 a failure that says how long it is fresh": {
			{reply: says("a", "Cache-Control", "max-age=1, stale-if-error=60", "ETag", `"1"`)},
			{wait: 2 * time.Second, reply: status(503, "Cache-Control", "max-age=30"), body: "a"},
			{body: "a"},
		},
		"5861/4 of the request":                       {{reply: says("a", "Cache-Control", "max-age=5")}, {wait: 6 * time.Second, send: []string{"Cache-Control", "stale-if-error=5"}, reply: &answerSpec{err: errDown}, body: "a"}},
		"5861/4 yields to must-revalidate":            {{reply: says("a", "Cache-Control", "max-age=5, stale-if-error=5, must-revalidate")}, {wait: 6 * time.Second, reply: &answerSpec{err: errDown}, status: -1}},
		"8246 immutable ignores a reload while fresh": {{reply: says("a", "Cache-Control", "max-age=5, immutable")}, {send: []string{"Cache-Control", "max-age=0"}, hit: true}, {send: []string{"Cache-Control", "no-cache"}}},
		"9213 a targeted field takes the place":       {{reply: says("a", "Swale-Cache-Control", "max-age=5", "Cache-Control", "no-store", "Expires", "0")}, {hit: true}},
		"9213 unless it doesn't parse":                {{reply: says("a", "Swale-Cache-Control", "max-age=5, =", "Cache-Control", "no-store")}, {}},
		"9213 it replaces Expires too":                {{reply: says("a", "Swale-Cache-Control", "immutable", "Expires", date(time.Hour), "ETag", `"1"`)}, {}},
		"9213 so nothing says how long":               {{reply: status(302, "Swale-Cache-Control", "immutable", "Expires", date(time.Hour)), status: 302, header: []string{"Cache-Status", "Swale; fwd=uri-miss; fwd-status=302"}}},
		"9111/4.2.2 public lets guess":                {{reply: status(302, "Cache-Control", "public", "Last-Modified", date(-100*time.Hour)), status: 302}, {wait: 9 * time.Hour, status: 302, hit: true}},
		"9111/4.2.2 a day at the most":                {{reply: says("a", "Last-Modified", date(-1000*24*time.Hour))}, {wait: 23 * time.Hour, hit: true}, {wait: 2 * time.Hour}},
		"9111/4.1 white space in a quoted string counts": {
			{send: []string{"X", `"a , b"`}, reply: says("a", "Cache-Control", "max-age=5", "Vary", "X")},
			{send: []string{"X", `"a,b"`}},
			{send: []string{"X", ` "a , b"`}, hit: true},
		},
		"9110/13.1.3 two dates are none": {
			{reply: says("a", "Cache-Control", "max-age=5", "Last-Modified", date(-time.Hour))},
			{hit: true, send: []string{"If-Modified-Since", date(-time.Hour), "If-Modified-Since", date(-time.Hour)}},
		},
		"9110/13.1.5 a weak ETag is no validator for ranges": {
			{reply: says("0123456789", "Cache-Control", "max-age=5", "ETag", `W/"1"`)},
			{hit: true, send: []string{"Range", "bytes=0-0", "If-Range", `"1"`}, body: "0123456789"},
			{hit: true, send: []string{"Range", "bytes=0-0", "If-Range", `W/"1"`}, body: "0123456789"},
			{hit: true, send: []string{"Range", "bytes=20-"}, status: 416, header: []string{"Content-Type", ""}},
		},
		"9875 Cache-Group-Invalidation":            {{reply: says("a", "Cache-Control", "max-age=5", "Cache-Groups", `"x", "y"`)}, {url: "https://api.example/other", method: "POST", reply: says("", "Cache-Group-Invalidation", `"y"`)}, {}},
		"9875 an own write takes its groups along": {{reply: says("a", "Cache-Control", "max-age=5", "Cache-Groups", `"x"`)}, {url: "https://api.example/other"}, {url: "https://api.example/other", method: "POST"}, {}},
		"9875 groups of another origin":            {{reply: says("a", "Cache-Control", "max-age=5", "Cache-Groups", `"x"`)}, {url: "https://other.example/", method: "POST", reply: says("", "Cache-Group-Invalidation", `"x"`)}, {hit: true}},
		"Authorization as it was sent separates": {
			{reply: says("nobody", "Cache-Control", "max-age=5")},
			{send: []string{"Authorization", ""}, reply: says("empty", "Cache-Control", "max-age=5"), body: "empty"},
			{send: []string{"Authorization", "a"}, reply: says("a", "Cache-Control", "max-age=5"), body: "a"},
			{send: []string{"Authorization", "a", "Authorization", "b"}, reply: says("a and b", "Cache-Control", "max-age=5"), body: "a and b"},
			{hit: true, body: "nobody"},
		},
		"a failure that names a topic doesn't take the place": {
			{reply: says("a", "Cache-Control", "max-age=0", "ETag", `"1"`)},
			{reply: status(503, "Cache-Control", "resn=restaurants", "ETag", `"2"`), status: 503},
			{reply: says("a"), asked: []string{"If-None-Match", `"1"`}},
		},
		"Authorization separates":         {{send: []string{"Authorization", "a"}, reply: says("a", "Cache-Control", "max-age=5")}, {send: []string{"Authorization", "b"}, reply: says("b", "Cache-Control", "max-age=5"), body: "b"}, {send: []string{"Authorization", "a"}, hit: true, body: "a"}, {}},
		"9110/4.2.3 spellings of one URI": {{reply: says("a", "Cache-Control", "max-age=5")}, {url: "HTTPS://API.EXAMPLE:443/restaurants/203#f", hit: true}, {url: testURL + "?"}, {url: "https://api.example/restaurants/%320%33"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { play(t, script) })
		})
	}
}

func play(t *testing.T, script []step) {
	t.Helper()
	var spec *answerSpec
	o := newOrigin(func(*http.Request) *http.Response {
		r := reply(spec.status, spec.body, spec.fields...)
		if d := r.Header["Date"]; len(d) > 1 {
			r.Header["Date"] = d[1:]
			if d[1] == "" {
				delete(r.Header, "Date")
			}
		}
		return r
	})
	c := New(o, &Options{Target: "Swale-Cache-Control"})
	for i, s := range script {
		time.Sleep(s.wait)
		synctest.Wait()
		if s.reply != nil {
			spec = s.reply
			o.setFail(spec.err)
		}
		method, url := s.method, s.url
		if method == "" {
			method = http.MethodGet
		}
		if url == "" {
			url = testURL
		}
		before := o.count()
		f := fetch(c, newRequest(t, method, url, s.send...))
		if s.status == -1 {
			if f.err == nil {
				t.Fatalf("step %d: got %d, want an error", i, f.status)
			}
			continue
		}
		if f.err != nil {
			t.Fatalf("step %d: %v", i, f.err)
		}
		want := s.status
		if want == 0 {
			want = 200
		}
		hit := f.hit() || strings.Contains(f.how(), "only-if-cached")
		if f.status != want || hit != s.hit || s.body != "" && f.body != s.body {
			t.Fatalf("step %d: got %d %q (%s), want %d %q, hit %v", i, f.status, f.body, f.how(), want, s.body, s.hit)
		}
		for j := 0; j < len(s.header); j += 2 {
			if got := f.header.Get(s.header[j]); got != s.header[j+1] {
				t.Errorf("step %d: %s is %q, want %q", i, s.header[j], got, s.header[j+1])
			}
		}
		if o.count() == before {
			continue
		}
		for j := 0; j < len(s.asked); j += 2 {
			if got := o.last().Header.Get(s.asked[j]); got != s.asked[j+1] {
				t.Errorf("step %d: the origin was asked with %s %q, want %q", i, s.asked[j], got, s.asked[j+1])
			}
		}
	}
}

func TestResponseBelongsToWhoeverGotIt(t *testing.T) {
	o := newOrigin(func(*http.Request) *http.Response {
		return reply(200, "body", "Cache-Control", "max-age=5", "X", "1", "X", "2")
	})
	c := New(o, nil)
	get(t, c, testURL)
	for range 3 {
		resp, err := c.RoundTrip(newRequest(t, http.MethodGet, testURL))
		if err != nil {
			t.Fatal(err)
		}
		if x := resp.Header["X"]; len(x) != 2 || x[0] != "1" || x[1] != "2" || resp.Header.Get("Content-Length") != "4" {
			t.Errorf("what one owner did to his response reached the entry: %v", resp.Header)
		}
		resp.Header["X"][0] = "changed"
		resp.Header.Add("X", "more")
		resp.Header.Del("Content-Length")
		resp.StatusCode = 500
		b, _ := io.ReadAll(resp.Body)
		if string(b) != "body" {
			t.Errorf("got %q", b)
		}
		_ = resp.Body.Close()
	}
}

// A transport that a program wrote may leave Response.Status empty.
func TestStatusWithoutItsTextIsKept(t *testing.T) {
	c := New(newOrigin(func(req *http.Request) *http.Response {
		status := http.StatusOK
		if req.URL.Path == "/gone" {
			status = http.StatusNotFound
		}
		return &http.Response{
			StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"Cache-Control": {"max-age=60"}}, Body: http.NoBody,
		}
	}), nil)
	for range 2 {
		for path, want := range map[string]int{"/there": http.StatusOK, "/gone": http.StatusNotFound} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://owner.example"+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s is stored with the status of another response: %d, want %d", path, resp.StatusCode, want)
			}
		}
	}
}

func TestPartitionSeparates(t *testing.T) {
	o := newOrigin(func(req *http.Request) *http.Response {
		return reply(200, req.Header.Get("Tenant"), "Cache-Control", "max-age=5")
	})
	c := New(o, &Options{Partition: func(req *http.Request) string { return req.Header.Get("Tenant") }})
	get(t, c, testURL, "Tenant", "a").expect(t, "a", false, "first")
	get(t, c, testURL, "Tenant", "b").expect(t, "b", false, "another partition")
	get(t, c, testURL, "Tenant", "a").expect(t, "a", true, "the first again")
}

// A query can't pass for a partition or an Authorization.
func TestForgedIdentityIsNotCached(t *testing.T) {
	o := newOrigin(func(req *http.Request) *http.Response {
		return reply(200, req.Header.Get("Authorization"), "Cache-Control", "max-age=5")
	})
	c := New(o, nil)
	get(t, c, testURL+"?q", "Authorization", "secret")
	var victim *entry
	c.store.each(func(e *entry) { victim = e })
	_, identity, _ := strings.Cut(victim.key(), "?q")
	req := newRequest(t, http.MethodGet, testURL)
	req.URL.RawQuery = "q" + identity
	fetch(c, req).expect(t, "", false, "somebody else's entry")
	req = newRequest(t, http.MethodGet, testURL+"?q")
	req.Host = "api.example" + identity
	fetch(c, req).expect(t, "", false, "somebody else's entry")
	if _, ok := c.LoadTyped(t.Context(), testURL+"?q"+identity, nil, 0); ok {
		t.Error("somebody else's value")
	}
}
