package cache

import (
	"context"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// The answer to an earlier question doesn't take the place of a later one's.
func TestLateAnswerDoesNotReplaceALaterQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		o := newOrigin(func(*http.Request) *http.Response {
			n++
			version := strconv.Itoa(n)
			if n == 1 {
				time.Sleep(10 * time.Second)
			}
			return reply(200, version, "Cache-Control", "max-age=60", "ETag", `"`+version+`"`)
		})
		c := New(o, nil)
		go fetch(c, newRequest(t, http.MethodGet, testURL, "Cache-Control", "no-cache"))
		synctest.Wait()
		get(t, c, testURL, "Cache-Control", "no-cache").expect(t, "2", false, "it asks the origin")
		time.Sleep(time.Minute / 2)
		get(t, c, testURL).expect(t, "2", true, "what was asked for later is what there is")
		if s := c.Stats(); s.Rejected != 1 || s.Entries != 1 {
			t.Errorf("%d rejected, %d stored, want one each", s.Rejected, s.Entries)
		}
	})
}

// What a notice has overtaken and what can't be validated isn't worth keeping.
func TestOvertakenWithoutAValidatorIsNotKept(t *testing.T) { // G2
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		o := newOrigin(func(*http.Request) *http.Response { return reply(200, "x", "Cache-Control", "max-age=60") })
		o.setGate(gate)
		c := New(o, nil)
		go fetch(c, newRequest(t, http.MethodGet, testURL))
		synctest.Wait()
		c.Invalidate(testURL)
		close(gate)
		synctest.Wait()
		if s := c.Stats(); s.Rejected != 1 || s.Entries != 0 {
			t.Errorf("%d rejected, %d stored, want one and none", s.Rejected, s.Entries)
		}
	})
}

// Variants of one URI are bounded, whatever origins vary by.
func TestVariantsAreBounded(t *testing.T) { // G7
	c := New(newOrigin((&versioned{version: 1, fields: []string{"Cache-Control", "max-age=60", "Vary", "X"}}).handle), nil)
	for i := range 3 * maxVariants {
		get(t, c, testURL, "X", strconv.Itoa(i))
	}
	if n := c.Stats().Entries; n > maxVariants {
		t.Errorf("%d variants are stored, want at most %d", n, maxVariants)
	}
	get(t, c, testURL, "X", strconv.Itoa(3*maxVariants-1)).expect(t, "version 1", true, "the newest are those that stay")
}

// Who has seen another version takes with it what else would answer his request.
func TestForsakenWithWhatLiesBelow(t *testing.T) {
	n := 0
	o := newOrigin(func(req *http.Request) *http.Response {
		switch n++; n {
		case 1:
			return reply(200, "old", "ETag", `"1"`, "Cache-Control", "max-age=60", "Vary", "X")
		case 2:
			return reply(200, "newer", "ETag", `"2"`, "Cache-Control", "max-age=60")
		}
		return reply(200, "newest", "ETag", `"3"`)
	})
	c := New(o, nil)
	get(t, c, testURL, "X", "a")
	get(t, c, testURL, "X", "b") // doesn't vary any more, and so answers both
	get(t, c, testURL, "X", "a").expect(t, "newer", true, "the newest that matches")
	fetch(c, newRequest(t, http.MethodHead, testURL, "X", "a", "Cache-Control", "no-cache"))
	get(t, c, testURL, "X", "a").expect(t, "newest", false, "RFC 9111 section 4.3.5: each response that could have been chosen is stale")
}

// A response replaces what would have answered its request, by whatever that
// varied, or it would come back once the newer one is evicted.
func TestOlderOfOtherVaryDoesNotComeBack(t *testing.T) {
	n := 0
	o := newOrigin(func(req *http.Request) *http.Response {
		if n++; n == 1 {
			return reply(200, "old", "ETag", `"1"`, "Cache-Control", "max-age=60", "Vary", "X")
		}
		return reply(200, "newer", "ETag", `"2"`, "Cache-Control", "max-age=60")
	})
	c := New(o, nil)
	get(t, c, testURL)
	get(t, c, testURL, "Cache-Control", "no-cache")
	if n := c.Stats().Entries; n != 1 {
		t.Errorf("%d responses are stored, want the newer one only", n)
	}
}

// But not what was asked for after his question.
func TestForsakesNothingLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=60"}}
		o := newOrigin(func(req *http.Request) *http.Response {
			resp := doc.handle(req)
			if req.Method == http.MethodHead {
				time.Sleep(10 * time.Second)
			}
			return resp
		})
		c := New(o, nil)
		get(t, c, testURL)
		doc.set(2)
		go fetch(c, newRequest(t, http.MethodHead, testURL, "Cache-Control", "no-cache"))
		synctest.Wait()
		doc.set(3)
		get(t, c, testURL, "Cache-Control", "no-cache")
		time.Sleep(20 * time.Second)
		get(t, c, testURL).expect(t, "version 3", true, "it was asked for after the HEAD that has seen version 2")
	})
}

// A reader that was cancelled may reuse his request, also if others wait for the
// answer to his question.
func TestRequestIsItsReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		o := newOrigin(func(req *http.Request) *http.Response {
			return reply(200, req.Header.Get("X"), "Cache-Control", "max-age=60", "Vary", "X")
		})
		o.setGate(gate)
		c := New(o, nil)
		ctx, cancel := context.WithCancel(t.Context())
		mine := newRequest(t, http.MethodGet, testURL, "X", "a").WithContext(ctx)
		left := make(chan struct{})
		go func() { defer close(left); fetch(c, mine) }()
		synctest.Wait()
		go fetch(c, newRequest(t, http.MethodGet, testURL, "X", "a"))
		synctest.Wait()
		cancel()
		<-left
		mine.Header.Set("X", "b")
		close(gate)
		synctest.Wait()
		get(t, c, testURL, "X", "a").expect(t, "a", true, "it answers what was asked")
		get(t, c, testURL, "X", "b").expect(t, "b", false, "and nothing else")
	})
}

// One authority at two addresses is two.
func TestHostAtAnotherAddress(t *testing.T) {
	c := New(newOrigin(func(req *http.Request) *http.Response {
		return reply(200, req.URL.Host, "Cache-Control", "max-age=60")
	}), nil)
	for _, address := range []string{"10.0.0.1", "10.0.0.2"} {
		req := newRequest(t, http.MethodGet, "https://"+address+"/x")
		req.Host = "api.example"
		if f := fetch(c, req); f.body != address {
			t.Errorf("asked at %s, got what %s says (%s)", address, f.body, f.how())
		}
	}
}
