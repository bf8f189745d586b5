package cache

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// What TestOracle has found, each as the shortest history that showed it.

// RFC 9111 sections 5.2.1.1 and 5.2.1.2: the client says how stale it may be.
func TestRevalidatingIsNotStalerThanAsked(t *testing.T) {
	for _, wish := range []string{"max-stale=15", "max-age=60"} {
		synctest.Test(t, func(t *testing.T) {
			doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=10, stale-while-revalidate=30"}}
			c := New(newOrigin(doc.handle), nil)
			get(t, c, testURL)
			time.Sleep(30 * time.Second)
			doc.set(2)
			get(t, c, testURL, "Cache-Control", wish).expect(t, "version 2", false, wish+": who says so doesn't want it stale by 20 seconds")
		})
	}
}

// max-stale loosens max-age by so much, and no more.
func TestMaxAgeWithMaxStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=3600"}}
		c := New(newOrigin(doc.handle), nil)
		get(t, c, testURL)
		time.Sleep(20 * time.Second)
		get(t, c, testURL, "Cache-Control", "max-age=10, max-stale=15").expect(t, "version 1", true, "ten seconds over, fifteen allowed")
		time.Sleep(20 * time.Second)
		doc.set(2)
		get(t, c, testURL, "Cache-Control", "max-age=10, max-stale=15").expect(t, "version 2", false, "thirty seconds over, fifteen allowed")
	})
}

// RFC 9211 section 2.2: fwd has a reason, and what the cache had was fresh.
func TestDirectSaysWhy(t *testing.T) {
	c := New(newOrigin((&versioned{version: 1, fields: []string{"Cache-Control", "max-age=60"}}).handle), nil)
	get(t, c, testURL)
	if f := get(t, c, testURL, "If-Match", `"v1"`); f.how() != "Swale; fwd=request; fwd-status=200" {
		t.Errorf("got Cache-Status %q, want fwd=request: something fresh is stored, and the request's semantics don't allow its use", f.how())
	}
}

// The second answer's age begins when it is asked for (RFC 9111 section 4.2.3).
func TestAgeAfterUselessNotModified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := New(newOrigin(func(req *http.Request) *http.Response {
			if n++; n == 2 {
				time.Sleep(9 * time.Second)
				return reply(304, "", "ETag", `"other"`)
			}
			return reply(200, "x", "ETag", `"1"`, "Cache-Control", "max-age=5")
		}), nil)
		get(t, c, testURL)
		time.Sleep(6 * time.Second)
		get(t, c, testURL)
		if f := get(t, c, testURL); f.header.Get("Age") != "0" || !f.hit() {
			t.Errorf("Age %s (%s): it was asked for and answered this second", f.header.Get("Age"), f.how())
		}
	})
}

// RFC 9110 section 13.2.1: conditions are about every success.
func TestConditionOnOtherSuccess(t *testing.T) {
	c := New(newOrigin(func(*http.Request) *http.Response {
		return reply(203, "x", "ETag", `"1"`, "Cache-Control", "max-age=60")
	}), nil)
	get(t, c, testURL)
	if f := get(t, c, testURL, "If-None-Match", `"1"`); f.status != 304 {
		t.Errorf("got %d with %q, want 304", f.status, f.body)
	}
}

// RFC 9111 section 5.2.1.5: no-store in a HEAD means its answer, too.
func TestHeadWithNoStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin((&versioned{version: 1, fields: []string{"Cache-Control", "max-age=10"}}).handle)
		c := New(o, nil)
		get(t, c, testURL)
		time.Sleep(11 * time.Second)
		fetch(c, newRequest(t, http.MethodHead, testURL, "Cache-Control", "no-store"))
		get(t, c, testURL).expect(t, "version 1", false, "what a no-store question brought has freshened what is stored")
	})
}

// Whoever has seen another version isn't given the old one again.
func TestSeenByWhatIsNotStored(t *testing.T) {
	for _, own := range [][]string{{"Cache-Control", "no-store, no-cache"}, {"If-Match", `"v2"`}} {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=60"}}
		c := New(newOrigin(doc.handle), nil)
		get(t, c, testURL)
		doc.set(2)
		get(t, c, testURL, own...)
		get(t, c, testURL).expect(t, "version 2", false, own[0]+": version 2 was seen")
	}
}

// What would have answered a request gives way to what does, also if it varies by
// other fields: or it would answer again once that is gone.
func TestOlderOfOtherVaryStaysGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := New(newOrigin(func(req *http.Request) *http.Response {
			switch n++; n {
			case 1:
				return reply(200, "old", "ETag", `"1"`, "Cache-Control", "max-age=60", "Vary", "X-Variant")
			case 2:
				return reply(200, "newer", "ETag", `"2"`, "Cache-Control", "max-age=60")
			}
			return reply(200, "newest", "ETag", `"3"`)
		}), nil)
		get(t, c, testURL)
		time.Sleep(time.Second)
		get(t, c, testURL, "Cache-Control", "no-cache")
		fetch(c, newRequest(t, http.MethodHead, testURL, "Cache-Control", "no-cache"))
		get(t, c, testURL).expect(t, "newest", false, "RFC 9111 section 4.3.5: each response that could have been chosen is stale")
	})
}

// A resource without validators that a write has once ended is fresh again, and
// not every other time only.
func TestRefillsAfterAnInvalidation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(func(*http.Request) *http.Response { return reply(200, "x", "Cache-Control", "max-age=10") })
		c := New(o, nil)
		c.Invalidate(testURL)
		for i := range 4 {
			get(t, c, testURL)
			get(t, c, testURL).expect(t, "x", true, "it is fresh")
			if o.count() != i+1 {
				t.Fatalf("%d questions for %d lifetimes", o.count(), i+1)
			}
			time.Sleep(10 * time.Second)
		}
	})
}

// A 304 may name by an ETag what Last-Modified has confirmed (RFC 9111 section
// 3.2).
func TestNotModifiedAddsETag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		modified := time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)
		c := New(newOrigin(func(req *http.Request) *http.Response {
			if req.Header.Get("If-Modified-Since") != "" {
				return reply(304, "", "ETag", `"1"`, "Last-Modified", modified, "Cache-Control", "max-age=60")
			}
			return reply(200, "x", "Last-Modified", modified, "Cache-Control", "max-age=1")
		}), nil)
		get(t, c, testURL)
		time.Sleep(2 * time.Second)
		get(t, c, testURL)
		if f := get(t, c, testURL); f.header.Get("ETag") != `"1"` || !f.hit() {
			t.Errorf("ETag %q (%s), want what the 304 said", f.header.Get("ETag"), f.how())
		}
	})
}
