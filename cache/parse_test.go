package cache

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseDate(t *testing.T) {
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	want := time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)
	for _, good := range []string{
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
	} {
		if got, ok := parseDate(good, now); !ok || !got.Equal(want) {
			t.Errorf("%q: %v, %v", good, got, ok)
		}
	}
	for in, want := range map[string]int{
		"Sunday, 06-Nov-26 08:49:37 GMT":   2026,
		"Saturday, 06-Nov-76 08:49:37 GMT": 2076,
		"Sunday, 06-Nov-77 08:49:37 GMT":   1977, // more than 50 years ahead
	} {
		if got, ok := parseDate(in, now); !ok || got.Year() != want {
			t.Errorf("%q: %v, %v, want the year %d", in, got, ok, want)
		}
	}
	if got, ok := parseDate("Sat, 31 Dec 2016 23:59:60 GMT", now); !ok || got.Second() != 59 {
		t.Errorf("a leap second: %v, %v", got, ok)
	}
	for _, bad := range []string{
		"", "0", "-1", "now", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37 gmt",
		"sun, 06 Nov 1994 08:49:37 GMT", "SUN, 06 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT",
		"Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 94 08:49:37 GMT", "Sun, 06-Nov-1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 8:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:60:37 GMT",
		"Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08.49.37 GMT",
		"Sun, 06 Nov 1994 08:49:37 GMT ", " Sun, 06 Nov 1994 08:49:37 GMT", "Sun,  06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 +0000", "Sun, 06 Nov 1994 08:49:37.5 GMT", "Sun 06 Nov 1994 08:49:37 GMT",
		"Son, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-1994 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT",
		"Sun Nov 06 08:49:37 94", "1994-11-06T08:49:37Z", "Sun, +6 Nov 1994 08:49:37 GMT",
	} {
		if got, ok := parseDate(bad, now); ok {
			t.Errorf("%q is taken for %v: only the three formats are dates", bad, got)
		}
	}
}

func TestParsePolicy(t *testing.T) {
	base := policy{maxAge: absent, swr: absent, sie: absent}
	with := func(change func(p *policy)) policy {
		p := base
		change(&p)
		return p
	}
	for in, want := range map[string]policy{
		"":                              base,
		"max-age=5":                     with(func(p *policy) { p.maxAge = 5 }),
		"Max-Age = 5":                   with(func(p *policy) { p.maxAge = 0 }), // not a number, so over
		`max-age="5" , foo`:             with(func(p *policy) { p.maxAge = 5 }),
		"max-age=-5":                    with(func(p *policy) { p.maxAge = 0 }),
		"max-age=5.0":                   with(func(p *policy) { p.maxAge = 0 }),
		"max-age":                       with(func(p *policy) { p.maxAge = 0 }),
		"max-age=99999999999999999999":  with(func(p *policy) { p.maxAge = maxDelta }),
		`max-age=5, resn="restaurants"`: with(func(p *policy) { p.maxAge, p.scopes = 5, []string{"restaurants"} }),
		"RESN=restaurants, resn-lag=2":  with(func(p *policy) { p.scopes, p.lag = []string{"restaurants"}, 2 }),
		"resn=x, resn-lag":              with(func(p *policy) { p.scopes, p.lag = []string{"x"}, maxDelta }),
		`resn="a b, a", resn=c`:         with(func(p *policy) { p.scopes = []string{"a", "b", "c"} }),
		`no-cache="set-cookie, X-a"`:    with(func(p *policy) { p.noCacheFields = []string{"Set-Cookie", "X-A"} }),
		`no-cache="x", no-cache`:        with(func(p *policy) { p.noCache, p.noCacheFields = true, []string{"X"} }),
		`no-cache=""`:                   with(func(p *policy) { p.noCache = true }),
		`ext="a, no-store", immutable`:  with(func(p *policy) { p.immutable = true }),
		`ext="a \", no-store" x,public`: with(func(p *policy) { p.public = true }),
		`ext="no-store`:                 base,
		",,must-revalidate,,":           with(func(p *policy) { p.mustRevalidate = true }),
		"stale-if-error=3, stale-while-revalidate=4, stale-if-error=2": with(func(p *policy) { p.sie, p.swr = 2, 4 }),
	} {
		got := parsePolicy(http.Header{"Cache-Control": {in}}, "", "resn")
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(policy{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
	}
}

func TestStructuredFields(t *testing.T) {
	for in, want := range map[string][]string{
		``: nil, `"a"`: {"a"}, `"a" ,  "b";x=1;y="z"`: {"a", "b"}, `"a\"\\"`: {`a"\`}, `"a";p=:YQ==:;q=?1;r=1.5;s=@12`: {"a"},
	} {
		if got, ok := sfStrings([]string{in}); !ok || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", in, got, ok)
		}
	}
	for _, in := range []string{`a`, `"a`, `"a",`, `"a" "b"`, `("a")`, `1`, "\"\x01\"", `"\a"`, `"a";X=1`} {
		if got, ok := sfStrings([]string{in}); ok {
			t.Errorf("%q: %q, want the field ignored", in, got)
		}
	}
	if got, ok := sfStrings([]string{`"a"`, `"b"`}); !ok || len(got) != 2 {
		t.Errorf("two lines: %q, %v", got, ok)
	}
	seen := 0
	if !sfDictionary([]string{`a, b=1, c="x";p, d=(1 "y" z);q=1, e=?0, f=1.25, *g=t/o:k`}, func(string, sfItem) { seen++ }) || seen != 7 {
		t.Errorf("dictionary: %d members", seen)
	}
}

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"http://a":                            "http://a/",
		"HTTP://A.Example:80/x":               "http://a.example/x",
		"https://a:443?q":                     "https://a/?q",
		"https://a:80/":                       "https://a:80/",
		"https://a:/":                         "https://a/",
		"https://a/./b/../c/.":                "https://a/c/",
		"https://a/b/..":                      "https://a/",
		"https://a/../../x":                   "https://a/x",
		"https://a//b":                        "https://a//b",
		"https://a/%7euser/%2f%c3%a9":         "https://a/~user/%2F%C3%A9",
		"https://a/%2e%2e/b":                  "https://a/b",
		"https://a/b?c=%7e%2f":                "https://a/b?c=~%2F",
		"https://a/b?":                        "https://a/b?",
		"https://a/b#c":                       "https://a/b",
		"https://user:pass@a/b":               "https://a/b",
		"https://[2001:DB8::1]:443/":          "https://[2001:db8::1]/",
		"https://a/.well-known/x":             "https://a/.well-known/x",
		"https://a/x/.hidden/%2e%2Ehid/..x/.": "https://a/x/.hidden/..hid/..x/",
	} {
		if got, ok := normalize(in); !ok || got != want {
			t.Errorf("normalize(%q) = %q, %v, want %q", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "/x", "a", "mailto:x@y", "ftp://a/", "https:///x", "https://%zz/"} {
		if got, ok := normalize(in); ok {
			t.Errorf("normalize(%q) = %q, want it refused", in, got)
		}
	}
}

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"https://a/./b/../%7e?x=%2f", "http://A:80", "https://a/%2e%2e/%", "https://a/.?/../"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once, ok := normalize(s)
		if !ok {
			return
		}
		if twice, ok := normalize(once); !ok || twice != once {
			t.Errorf("%q becomes %q, and that becomes %q, %v: the normal form isn't normal", s, once, twice, ok)
		}
		sent, _ := spell(s)
		if again, ok := spell(sent); !ok || again != sent {
			t.Errorf("%q is sent as %q, and that as %q, %v: a key is no href", s, sent, again, ok)
		}
		if form, _ := normalize(sent); form != once {
			t.Errorf("%q is %q, but as it is sent it is %q: a notice doesn't reach it", s, once, form)
		}
		origin, path, query := splitKey(sent)
		if origin+path+query != once {
			t.Errorf("%q is the resource %q, but as a key it is %q", s, once, origin+path+query)
		}
	})
}

func FuzzParseDate(f *testing.F) {
	for _, s := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, ok := parseDate(s, time.Now())
		if !ok {
			return
		}
		if again, ok := parseDate(at.Format(http.TimeFormat), time.Now()); !ok || !again.Equal(at) {
			t.Errorf("%q is %v, which doesn't come back: %v, %v", s, at, again, ok)
		}
	})
}

func FuzzCacheControl(f *testing.F) {
	for _, s := range []string{`max-age=5, no-cache="a, b"`, `x="\"`, "resn=x,resn-lag=2", `a=b"c",no-store`} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		h := http.Header{"Cache-Control": {a, b}, "Target": {b, a}}
		for _, p := range []policy{parsePolicy(h, "", "resn"), parsePolicy(h, "Target", "resn")} {
			if p.maxAge < absent || p.swr < absent || p.sie < absent || p.lag < 0 {
				t.Errorf("%q, %q: %+v", a, b, p)
			}
		}
		parseWishes(h)
		if strings.EqualFold(strings.TrimSpace(a), "no-store") && !parsePolicy(h, "", "resn").noStore {
			t.Errorf("no-store in a line of its own is overlooked beside %q", b)
		}
		_, _ = sfStrings([]string{a, b})
	})
}

func FuzzVary(f *testing.F) {
	f.Add("Accept, accept", "a ,b", "a,b")
	f.Add("*", "", " ")
	f.Fuzz(func(t *testing.T, vary, stored, asked string) {
		h := http.Header{"Vary": {vary}}
		for _, name := range varyNames(h) {
			selector := string(appendSelector(nil, name, []string{stored}))
			if !selectorEqual(selector, true, name, []string{stored}) {
				t.Errorf("%q doesn't match itself", stored)
			}
			if again := string(appendSelector(nil, name, []string{selector})); again != selector {
				t.Errorf("selector %q becomes %q", selector, again)
			}
			if selectorEqual(selector, true, name, []string{asked}) != (selector == string(appendSelector(nil, name, []string{asked}))) {
				t.Errorf("%q and %q: equality depends on the way", stored, asked)
			}
		}
	})
}

// No origin's response makes the cache panic, and what it serves from the
// store is what it got.
func FuzzResponse(f *testing.F) {
	f.Add(200, "Cache-Control", "max-age=5", "Vary", "Accept", "body")
	f.Add(304, "Etag", `"x"`, "Age", "1,2", "")
	f.Add(206, "Content-Range", "bytes 0-0/1", "Cache-Groups", `"a"`, "x")
	f.Add(404, "Expires", "0", "Date", "x", "gone")
	f.Fuzz(func(t *testing.T, code int, name1, value1, name2, value2, body string) {
		if code < 200 || code > 999 {
			return
		}
		o := newOrigin(func(*http.Request) *http.Response {
			r := reply(code, body)
			r.Header[http.CanonicalHeaderKey(name1)] = append(r.Header[http.CanonicalHeaderKey(name1)], value1)
			r.Header[http.CanonicalHeaderKey(name2)] = append(r.Header[http.CanonicalHeaderKey(name2)], value2)
			return r
		})
		c := New(o, nil)
		for _, send := range [][]string{nil, nil, {"If-None-Match", value1}, {"Range", value2}, {"Cache-Control", value1}, {"Accept", value2}} {
			req := newRequest(t, http.MethodGet, testURL)
			for i := 0; i < len(send); i += 2 {
				req.Header[send[i]] = []string{send[i+1]}
			}
			resp := fetch(c, req)
			if resp.err == nil && resp.status == code && resp.hit() && resp.body != body {
				t.Errorf("the store serves %q for %q", resp.body, body)
			}
		}
		u, _ := url.Parse(testURL)
		fetch(c, newRequest(t, http.MethodPost, u.String()))
		c.Inspect(testURL)
	})
}
