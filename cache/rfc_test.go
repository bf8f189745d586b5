package cache

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
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

// RFC 9110 section 6.6.1: who passes a response without a Date says when it came.
func TestDateIsAdded(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions} {
		c := New(newOrigin(func(*http.Request) *http.Response {
			resp := reply(200, "x", "Cache-Control", "no-store")
			resp.Header.Del("Date")
			return resp
		}), nil)
		f := fetch(c, newRequest(t, method, testURL))
		if _, ok := singleDate(f.header["Date"], time.Now()); !ok {
			t.Errorf("%s: Date is %q", method, f.header["Date"])
		}
	}
}

// Transports of programs may leave out what net/http's never does.
func TestResponsesWithLittleInThem(t *testing.T) {
	for name, resp := range map[string]*http.Response{
		"a failure without a header":  {StatusCode: 503, Body: http.NoBody},
		"a success without a header":  {StatusCode: 200, Body: http.NoBody},
		"a body without its length":   {StatusCode: 200, Header: http.Header{"Cache-Control": {"max-age=60"}}, Body: io.NopCloser(strings.NewReader("hello"))},
		"a header without any fields": {StatusCode: 503, Header: http.Header{}, Body: http.NoBody},
	} {
		c := New(newOrigin(func(*http.Request) *http.Response { r := *resp; return &r }), nil)
		if f := get(t, c, testURL); f.status != resp.StatusCode || len(f.header["Date"]) != 1 {
			t.Errorf("%s: got %d with %v", name, f.status, f.header)
		}
		if resp.StatusCode == 200 && resp.Header != nil {
			get(t, c, testURL).expect(t, "hello", true, name+": the whole body came")
		}
	}
}

// Who has seen that a newer version is too long to be kept isn't given the old one.
func TestTooLongTakesTheOldAlong(t *testing.T) {
	n := 0
	c := New(newOrigin(func(*http.Request) *http.Response {
		n++
		resp := reply(200, strings.Repeat("x", n*600), "Cache-Control", "max-age=60")
		resp.ContentLength = -1
		resp.Header.Del("Content-Length")
		return resp
	}), &Options{MaxEntryBytes: 1000})
	get(t, c, testURL)
	if f := get(t, c, testURL, "Cache-Control", "no-cache"); len(f.body) != 1200 {
		t.Fatalf("got %d bytes", len(f.body))
	}
	if f := get(t, c, testURL); f.hit() {
		t.Errorf("got %d bytes (%s): 1200 were seen, which are too many to keep", len(f.body), f.how())
	}
}

// A voucher adds to how long something is fresh; it takes nothing away.
func TestVouchedIsFreshForAsLongAsItSays(t *testing.T) { // RFC 9111 section 5.2.1.3
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", `max-age=3600, resn="restaurants"`}}
		c := New(newOrigin(doc.handle), nil)
		c.Scope("restaurants").Vouch(time.Now().Add(2 * time.Second))
		get(t, c, testURL)
		f := get(t, c, testURL, "Cache-Control", "min-fresh=60")
		f.expect(t, "version 1", true, "it is fresh for an hour, whoever vouches")
		if f.how() != "Swale; hit; ttl=3600; detail=vouched" {
			t.Errorf("got Cache-Status %q", f.how())
		}
	})
}

// What an intermediary says of a resource that a notice was about may be from
// before the notice, so it isn't asked: its word would be good for one reader
// only, and the next would have to ask again.
func TestLifetimesAfterANoticeAreOneQuestionEach(t *testing.T) { // G4
	for name, end := range map[string]func(c *Transport){
		"notice": func(c *Transport) { c.Apply(Change{URL: testURL, Scope: "restaurants"}) },
		"write":  func(c *Transport) { fetch(c, newRequest(t, http.MethodPost, testURL)) },
		"group":  func(c *Transport) { c.InvalidateGroup("https://api.example", "g") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=10", "Cache-Groups", `"g"`}}
				o := newOrigin(doc.handle)
				c := New(o, nil)
				get(t, c, testURL)
				end(c)
				time.Sleep(10 * time.Second) // what was written has surely been announced
				for v := 2; v < 6; v++ {
					doc.set(v)
					before := o.count()
					get(t, c, testURL)
					if !slices.Contains(o.last().Header["Cache-Control"], "no-cache") {
						t.Errorf("version %d was asked for with %v, want no-cache", v, o.last().Header)
					}
					get(t, c, testURL)
					if n := o.count() - before; n != 1 {
						t.Errorf("%d questions about version %d, want one", n, v)
					}
					time.Sleep(10 * time.Second)
				}
			})
		})
	}
}
