package cache

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// What isn't stored may be read by somebody who needs the owner's word as much.
func TestUnstoredQuestionsGoThroughAfterANotice(t *testing.T) { // G4
	for _, own := range [][]string{{"Cache-Control", "no-store"}, {"If-Match", `"v1"`}, {"Range", "bytes=0-1"}} {
		synctest.Test(t, func(t *testing.T) {
			c, o, _, _ := live(t)
			get(t, c, testURL)
			c.Apply(Change{URL: testURL})
			get(t, c, testURL, append([]string{"If-None-Match", `"v0"`}, own...)...)
			asked := o.last().Header
			if !slices.Contains(asked["Cache-Control"], "no-cache") || asked.Get(own[0]) != own[1] || asked.Get("If-None-Match") != `"v0"` {
				t.Errorf("G4: with %v it asks %v, want the caller's own fields and no-cache", own, asked)
			}
		})
	}
}

// What was only good for who asked isn't believed by another life of the
// process.
func TestBackingRemembersDoubt(t *testing.T) { // G4
	synctest.Test(t, func(t *testing.T) {
		d := &written{version: 1, fields: []string{"Cache-Control", `max-age=3600, resn="restaurants"`}}
		b := &memoryBacking{}
		c := New(newOrigin(d.handle), &Options{Backing: b})
		c.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
		fetch(c, newRequest(t, http.MethodPut, testURL))
		d.shows = 1
		get(t, c, testURL)
		synctest.Wait()
		next := New(newOrigin(d.handle), &Options{Backing: b})
		d.shows = 0
		get(t, next, testURL).expect(t, "version 2", false, "G6: a replica said it that may not have seen the write")
	})
}

// A trailer that wasn't announced is in the response once its body was read.
// gRPC ends every answer so.
func TestTrailersPass(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", r.Header.Get("X-Policy"))
		_, _ = w.Write([]byte("body"))
		w.(http.Flusher).Flush()
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	}))
	defer s.Close()
	next := &http.Transport{}
	defer next.CloseIdleConnections()
	for _, tt := range [][2]string{{"POST", ""}, {"OPTIONS", ""}, {"GET", "no-store"}, {"GET", "max-age=5"}} {
		c := New(next, nil)
		resp, err := c.RoundTrip(newRequest(t, tt[0], s.URL, "X-Policy", tt[1]))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if got := resp.Trailer.Get("Grpc-Status"); got != "0" {
			t.Errorf("%v: the trailer that wasn't announced is %q: RFC 9110 section 6.5.1 allows to drop it, but then nothing that relies on it works", tt, got)
		}
	}
}

// What a HEAD says that isn't about what is stored (RFC 9111 section 4.3.5).
func TestHeadThatSaysNothingOfTheEntry(t *testing.T) {
	for _, code := range []int{304, 401, 429, 503} {
		synctest.Test(t, func(t *testing.T) {
			o := newOrigin(func(req *http.Request) *http.Response {
				if req.Method == http.MethodHead {
					return reply(code, "", "ETag", `"v1"`)
				}
				return reply(200, "version 1", "ETag", `"v1"`, "Cache-Control", "max-age=60")
			})
			c := New(o, nil)
			get(t, c, testURL)
			fetch(c, newRequest(t, http.MethodHead, testURL, "Cache-Control", "no-cache", "If-None-Match", `"v1"`))
			get(t, c, testURL).expect(t, "version 1", true, "what a GET stored stays")
		})
	}
}

// RFC 9110 section 13.1.5: a date is a validator for ranges only if it is a
// strong one.
func TestIfRangeByDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		modified := time.Now()
		c := New(newOrigin(func(*http.Request) *http.Response {
			return reply(200, "0123456789", "Last-Modified", modified.UTC().Format(http.TimeFormat), "Cache-Control", "max-age=60")
		}), nil)
		part := func() int {
			return get(t, c, testURL, "Range", "bytes=0-4", "If-Range", modified.UTC().Format(http.TimeFormat)).status
		}
		get(t, c, testURL)
		if got := part(); got != 200 {
			t.Errorf("it may have changed again in the second in which it was made: got %d, want the whole", got)
		}
		time.Sleep(time.Minute)
		modified = time.Now().Add(-time.Second)
		get(t, c, testURL)
		if got := part(); got != 206 {
			t.Errorf("it was made a second after its last change: got %d, want a part", got)
		}
	})
}

// An href that names a user speaks for him.
func TestTypedOfAUserIsHis(t *testing.T) {
	c := New(newOrigin(func(*http.Request) *http.Response { return reply(200, "anybody's", "Cache-Control", "max-age=60") }), nil)
	get(t, c, testURL)
	resp, err := c.RoundTrip(newRequest(t, http.MethodGet, testURL))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	type key struct{}
	if _, err := resp.Body.(interface {
		DecodeOnce(any, func([]byte) (any, error)) (any, error)
	}).DecodeOnce(key{}, func(b []byte) (any, error) { return string(b), nil }); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.LoadTyped(t.Context(), testURL, nil, key{}); !ok {
		t.Fatal("the value isn't there for anybody")
	}
	if v, ok := c.LoadTyped(t.Context(), "https://ada:pw@api.example/restaurants/203", nil, key{}); ok {
		t.Errorf("ada got %v, which is what is said to nobody in particular", v)
	}
}

// Hosts that no host has aren't cached: they would be keys of other resources.
func TestForgedHostIsNotCached(t *testing.T) {
	c := New(newOrigin(func(*http.Request) *http.Response { return reply(200, "x", "Cache-Control", "max-age=60") }), nil)
	for _, host := range []string{"api.example/restaurants", "api.example?", "ada@api.example", `api.example\`, "api.example#"} {
		req := newRequest(t, http.MethodGet, "https://evil.example/203")
		req.Host = host
		for range 2 {
			if f := fetch(c, req); f.hit() {
				t.Errorf("Host %q was cached", host)
			}
		}
	}
}

// An origin that makes up names of fields can't fill the memory with them.
func TestManyFieldNames(t *testing.T) {
	n := 0
	c := New(newOrigin(func(*http.Request) *http.Response {
		resp := reply(200, "x", "Cache-Control", "max-age=60")
		for i := range 1000 {
			resp.Header[fmt.Sprintf("X-%d-%d", n, i)] = []string{"x"}
		}
		return resp
	}), &Options{MaxBytes: 1 << 20})
	for n = range 50 {
		get(t, c, fmt.Sprintf("%s/%d", testURL, n))
	}
	if kept := len(c.shapes.byKey); kept > 0 {
		t.Errorf("G7: %d shapes of a thousand fields each are kept beside MaxBytes", kept)
	}
	if f := get(t, c, fmt.Sprintf("%s/%d", testURL, n)); f.header.Get(fmt.Sprintf("X-%d-999", n)) != "x" {
		t.Errorf("such a response is stored all the same: got %s", f.how())
	}
}

// What net/http's Transport answers with an error is no reason to panic.
func TestRequestsThatAreNone(t *testing.T) {
	c := New(newOrigin(func(*http.Request) *http.Response {
		return reply(200, "x", "Cache-Control", "max-age=0", "ETag", `"1"`)
	}), nil)
	u := newRequest(t, http.MethodGet, testURL).URL
	for range 2 {
		fetch(c, (&http.Request{Method: http.MethodGet, URL: u}).WithContext(t.Context()))
	}
	fetch(c, (&http.Request{Method: http.MethodGet}).WithContext(t.Context()))
}

// A HEAD tells nothing of what intermediaries keep for GET.
func TestFoundHeadIsNoRefill(t *testing.T) { // G4
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=1"}}
		o := newOrigin(doc.handle)
		c := New(o, nil)
		get(t, c, testURL)
		c.Apply(Change{URL: testURL})
		fetch(c, newRequest(t, http.MethodHead, testURL))
		time.Sleep(time.Minute)
		get(t, c, testURL)
		if got := o.last().Header.Get("Cache-Control"); got != "no-cache" {
			t.Errorf("G4: the first refill after a notice says Cache-Control %q, want no-cache", got)
		}
	})
}
