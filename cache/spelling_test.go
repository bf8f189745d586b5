package cache

import (
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"
)

// spelled asks for a request target as it stands.
func spelled(t *testing.T, c http.RoundTripper, target string) fetched {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	req := newRequest(t, http.MethodGet, "https://api.example/")
	req.URL, req.Host = u, u.Host
	f := fetch(c, req)
	if f.err != nil {
		t.Fatal(f.err)
	}
	return f
}

// byTarget answers with the request target that it was sent.
func byTarget(fields ...string) *fakeOrigin {
	return newOrigin(func(req *http.Request) *http.Response {
		return reply(200, req.URL.RequestURI(), append([]string{"Cache-Control", "max-age=60"}, fields...)...)
	})
}

// What is sent to the origin as two targets it may answer in two ways: many
// redirect from a path with dot segments to the one without.
func TestSpellingsAreKeptApart(t *testing.T) {
	spellings := []string{
		"https://api.example/b", "https://api.example/a/../b", "https://api.example/./b", "https://api.example/%62",
		"https://api.example/a/..%2Fb", "https://api.example/a/..%2fb", "https://api.example/b?", "https://api.example/b?x=~", "https://api.example/b?x=%7e",
		"https://api.example/b?x=%7E", "https://api.example//b", "https://api.example/b/",
	}
	c := New(byTarget(), nil)
	for range 2 {
		for i, target := range spellings {
			u, _ := url.Parse(target)
			if f := spelled(t, c, target); f.body != u.RequestURI() {
				t.Errorf("%s (%d) got the answer for %s", target, i, f.body)
			}
		}
	}
}

// What is sent in one form is one (RFC 9110 section 4.2.3).
func TestSpellingsThatAreOne(t *testing.T) {
	for _, same := range [][]string{
		{"https://api.example/b", "HTTPS://API.Example/b", "https://api.example:443/b", "https://api.example:/b", "https://api.example/b#part"},
		{"http://api.example", "http://api.example/", "http://api.example:80"},
		{"https://api.example:8443/b", "https://API.example:8443/b"},
	} {
		c := New(byTarget(), nil)
		for i, target := range same {
			if f := spelled(t, c, target); f.hit() != (i > 0) {
				t.Errorf("%s after %s: %s", target, same[0], f.how())
			}
		}
	}
}

// A URL of which net/http sends what is opaque to it names a resource like any
// other (RFC 9112 section 3.2.2), or none.
func TestOpaqueURLs(t *testing.T) {
	send := func(c *Transport, method string, u *url.URL) fetched {
		req := newRequest(t, method, "https://api.example/")
		req.URL, req.Host = u, "proxy.example"
		return fetch(c, req)
	}
	opaque := &url.URL{Scheme: "https", Host: "proxy.example", Opaque: "//api.example/a%2Fb", RawQuery: "x=1"}
	c := New(byTarget(), nil)
	spelled(t, c, "https://api.example/a%2Fb?x=1").expect(t, "/a%2Fb?x=1", false, "nothing is stored")
	send(c, http.MethodGet, opaque).expect(t, "/a%2Fb?x=1", true, "the same resource")
	send(c, http.MethodPut, opaque)
	if spelled(t, c, "https://api.example/a%2Fb?x=1").hit() {
		t.Error("G6: a write to it left its resource as it was")
	}
	for _, o := range []string{"a/b", "/a/b", "*", "//", "//api.example/a b", `//api.example/"`, "//api.example/a#b", "//api.example/a?b", "//[/a"} {
		for range 2 {
			if f := send(c, http.MethodGet, &url.URL{Scheme: "https", Host: "proxy.example", Opaque: o}); f.hit() {
				t.Errorf("%q names nothing that can be kept, and is a hit", o)
			}
		}
	}
}

// A notice, a write or a call reaches every spelling, whichever it uses itself.
func TestInvalidationReachesEverySpelling(t *testing.T) { // G1
	spellings := []string{
		"https://api.example/b/c", "https://api.example/a/../b/c", "https://api.example/./b/%63", "https://api.example/%62/c?q=%7e/.",
	}
	for name, end := range map[string]func(c *Transport, target string){
		"notice":     func(c *Transport, target string) { c.Apply(Change{URL: target}) },
		"invalidate": func(c *Transport, target string) { c.Invalidate(target) },
		"prefix":     func(c *Transport, target string) { c.InvalidatePrefix(target) },
		"write":      func(c *Transport, target string) { fetch(c, newRequest(t, http.MethodPut, target)) },
		"group":      func(c *Transport, _ string) { c.InvalidateGroup("https://API.example:443", "g") },
	} {
		for _, by := range spellings {
			c := New(byTarget("Cache-Groups", `"g"`), nil)
			for _, target := range spellings {
				spelled(t, c, target)
			}
			end(c, by)
			for _, target := range spellings {
				if f := spelled(t, c, target); f.hit() {
					t.Errorf("G1: after a %s of %s, %s is a hit", name, by, target)
				}
			}
			if n := len(c.Inspect(by).Entries); n != len(spellings) {
				t.Errorf("Inspect(%s) shows %d of %d spellings", by, n, len(spellings))
			}
		}
	}
	// What embeds it by its path, however that is spelled.
	c := New(byTarget("Cache-Groups", `"/b/c"`), nil)
	spelled(t, c, "https://api.example/order")
	c.Apply(Change{URL: "https://api.example/a/../b/%63"})
	if f := spelled(t, c, "https://api.example/order"); f.hit() {
		t.Error("G1: what embeds the resource is a hit")
	}
}

// The second level keeps spellings apart and falls to the same notices.
func TestSpellingsInTheSecondLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &memoryBacking{}
		o := byTarget()
		c := New(o, &Options{Backing: b})
		const odd = "https://api.example/a/../b"
		spelled(t, c, odd)
		synctest.Wait()
		next := New(o, &Options{Backing: b})
		if f := spelled(t, next, "https://api.example/b"); f.body != "/b" {
			t.Errorf("got the answer for %s", f.body)
		}
		if f := spelled(t, next, odd); !f.hit() || f.body != "/a/../b" {
			t.Errorf("got %s %s", f.body, f.how())
		}
		last := New(o, &Options{Backing: b})
		last.Apply(Change{URL: "https://api.example/b"})
		if f := spelled(t, last, odd); f.hit() {
			t.Error("G1: the second level brings back what a notice has ended")
		}
	})
}

// A notice's ETag is about the resource, however the query is spelled.
func TestNamedVersionBySpelling(t *testing.T) { // G4
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", `max-age=0, resn="restaurants"`}}
		c := New(newOrigin(doc.handle), nil)
		c.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
		const odd = "https://api.example/restaurants/./203?by=%7e"
		spelled(t, c, odd)
		c.Apply(Change{URL: testURL + "?by=~", ETag: `"v2"`})
		spelled(t, c, odd)
		spelled(t, c, odd).expect(t, "version 1", false, "G4: it isn't the version that was named")
		synctest.Wait()
		doc.set(2)
		spelled(t, c, odd)
		spelled(t, c, odd).expect(t, "version 2", true, "the version that was named")
	})
}

// A decoded value is found by the target that it was asked with.
func TestTypedBySpelling(t *testing.T) {
	type key struct{}
	c := New(byTarget(), nil)
	const odd = "https://api.example/a/../b"
	spelled(t, c, odd)
	resp, err := c.RoundTrip(newRequest(t, http.MethodGet, odd))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := resp.Body.(interface {
		DecodeOnce(any, func([]byte) (any, error)) (any, error)
	}).DecodeOnce(key{}, func(b []byte) (any, error) { return string(b), nil }); err != nil {
		t.Fatal(err)
	}
	if v, ok := c.LoadTyped(t.Context(), "HTTPS://api.example:443/a/../b", nil, key{}); !ok || v != "/a/../b" {
		t.Errorf("the same target: %v, %v", v, ok)
	}
	if v, ok := c.LoadTyped(t.Context(), "https://api.example/b", nil, key{}); ok {
		t.Errorf("another target found %v", v)
	}
	req := newRequest(t, http.MethodGet, testURL)
	req.URL.RawQuery = "a#b"
	for range 2 {
		if f := fetch(c, req); f.hit() {
			t.Error("a query that no href has is cached: an href with a fragment would find it")
		}
	}
}
