package cache

import (
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// What steers a cache isn't taken away by naming it where only fields of the
// connection, or of a body, may be named (RFC 9110 section 7.6.1).
func TestFieldsThatSteerStay(t *testing.T) {
	for _, by := range [][]string{
		{"Connection", "Cache-Control, Vary, Cache-Groups, Swale-Cache-Control"},
		{"Cache-Control", `no-cache="Cache-Control, Vary, Cache-Groups, Swale-Cache-Control"`},
	} {
		t.Run(by[0], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fields := []string{}
				o := newOrigin(func(req *http.Request) *http.Response {
					return reply(200, req.Header.Get("Accept")+req.Header.Get("Accept-Language"), append(append([]string{}, by...), fields...)...)
				})
				b := &memoryBacking{}
				c := New(o, &Options{Backing: b, Target: "Swale-Cache-Control"})
				fields = []string{"Cache-Control", "max-age=60", "Vary", "Accept"}
				get(t, c, testURL+"/1", "Accept", "a")
				fields = []string{"Cache-Control", "max-age=60", "Vary", "Accept-Language"}
				get(t, c, testURL+"/2", "Accept-Language", "a")
				get(t, c, testURL+"/2", "Accept-Language", "b").expect(t, "b", false, "it varies by its own Vary, not by one of another response")
				fields = []string{"Cache-Control", "no-cache, max-age=60"}
				get(t, c, testURL+"/3")
				get(t, c, testURL+"/3").expect(t, "", false, "no-cache counts, whatever another response says")
				fields = []string{"Cache-Control", "max-age=60", "Cache-Groups", `"g"`}
				get(t, c, testURL+"/4")
				synctest.Wait()
				next := New(o, &Options{Backing: b, Target: "Swale-Cache-Control"})
				next.InvalidateGroup("https://api.example", "g")
				if get(t, next, testURL+"/4").hit() {
					t.Error("G1: it is in a group that was invalidated, also in the second level")
				}
			})
		})
	}
}

// An origin that formats a time it hasn't set says that it is the year 1.
func TestAgeOfAges(t *testing.T) {
	for _, fields := range [][]string{
		{"Cache-Control", "max-age=0"}, {"Cache-Control", "max-age=31536000"}, {"Expires", "Mon, 01 Jan 0001 00:00:00 GMT"}, {"Expires", "Fri, 31 Dec 9999 23:59:59 GMT"},
		{"Cache-Control", "max-age=99999999999", "Age", "99999999999"}, {"Cache-Control", "max-age=0", "Age", "99999999999999999999999"},
	} {
		for _, date := range []string{"Mon, 01 Jan 0001 00:00:00 GMT", "Sat, 01 Jan 0000 00:00:00 GMT", "Fri, 01 Jan 1700 00:00:00 GMT"} {
			synctest.Test(t, func(t *testing.T) {
				c := New(newOrigin(func(*http.Request) *http.Response {
					r := reply(200, "x", fields...)
					r.Header["Date"] = []string{date}
					return r
				}), nil)
				get(t, c, testURL)
				forever := fields[1] == "Fri, 31 Dec 9999 23:59:59 GMT"
				for _, wait := range []time.Duration{0, time.Second, time.Hour, 300 * 24 * time.Hour} {
					time.Sleep(wait)
					if f := get(t, c, testURL); f.hit() && !forever {
						t.Errorf("%v, Date %s: %s", fields, date, f.how())
					}
				}
			})
		}
	}
}

// Who vouches until the end of time vouches.
func TestVouchForEver(t *testing.T) {
	for _, until := range []time.Time{time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(math.MaxInt64/2, 0)} {
		synctest.Test(t, func(t *testing.T) {
			doc := &versioned{version: 1, fields: []string{"Cache-Control", `max-age=0, resn="restaurants"`}}
			c := New(newOrigin(doc.handle), &Options{VouchLimit: math.MaxInt64})
			s := c.Scope("restaurants")
			s.Vouch(until)
			if !s.Live() {
				t.Errorf("vouched for until %v it isn't live", until)
			}
			get(t, c, testURL)
			time.Sleep(24 * time.Hour)
			get(t, c, testURL).expect(t, "version 1", true, "vouched for")
			s.Heard(until)
			s.Vouch(time.Time{})
			if !s.Live() {
				t.Error("a promise isn't shortened")
			}
		})
	}
}

// If-Match wants the origin's word: what is stored can't stand in for it.
func TestIfMatchIsNotAnsweredStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code := 200
		c := New(newOrigin(func(*http.Request) *http.Response {
			return reply(code, "old", "ETag", `"1"`, "Cache-Control", "max-age=1, stale-if-error=60")
		}), nil)
		get(t, c, testURL)
		code = 503
		time.Sleep(2 * time.Second)
		if f := get(t, c, testURL, "If-Match", `"2"`); f.status != 503 {
			t.Errorf("who wants version 2 or nothing got %d with ETag %s", f.status, f.header.Get("Etag"))
		}
		get(t, c, testURL).expect(t, "old", false, "stale-if-error for everybody else")
	})
}

// What another life of the program stored by a clock that was ahead has no age.
func TestSecondLevelFromTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &memoryBacking{}
		doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=60"}}
		o := newOrigin(func(req *http.Request) *http.Response {
			r := doc.handle(req)
			delete(r.Header, "Date")
			return r
		})
		ahead := New(o, &Options{Backing: b, Clock: func() time.Time { return time.Now().Add(24 * time.Hour) }})
		get(t, ahead, testURL)
		synctest.Wait()
		c := New(o, &Options{Backing: b})
		time.Sleep(time.Hour)
		doc.set(2)
		get(t, c, testURL).expect(t, "version 2", false, "it is an hour old at least")
	})
}
