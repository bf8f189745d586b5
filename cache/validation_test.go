package cache

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// What a 304 is about (RFC 9111 section 4.3.4).
func TestWhatA304Selects(t *testing.T) {
	lm := func(ago time.Duration) string { return time.Now().Add(-ago).UTC().Format(http.TimeFormat) }
	type fields = []string
	for _, tt := range []struct {
		rule             string
		stored, confirms func() fields
		again            bool // it is asked for again, without a condition
		kept             bool // what is stored afterwards is fresh
	}{
		{"the same strong validator", func() fields { return fields{"ETag", `"1"`} }, func() fields { return fields{"ETag", `"1"`} }, false, true},
		{"the same weak validator", func() fields { return fields{"ETag", `W/"1"`} }, func() fields { return fields{"ETag", `W/"1"`} }, false, true},
		{"another strong validator", func() fields { return fields{"ETag", `"1"`} }, func() fields { return fields{"ETag", `"2"`} }, true, true},
		{"another weak validator", func() fields { return fields{"ETag", `W/"1"`} }, func() fields { return fields{"ETag", `W/"2"`} }, true, true},
		{"a weak one for a strong one", func() fields { return fields{"ETag", `"1"`} }, func() fields { return fields{"ETag", `W/"1"`} }, false, true},
		{"a strong one for a weak one", func() fields { return fields{"ETag", `W/"1"`} }, func() fields { return fields{"ETag", `"1"`} }, false, true},
		{"no validator", func() fields { return fields{"ETag", `"1"`} }, func() fields { return nil }, false, true},
		{"no validator, by date", func() fields { return fields{"Last-Modified", lm(time.Hour)} }, func() fields { return nil }, false, true},
		{"the same date", func() fields { return fields{"Last-Modified", "Fri, 31 Dec 1999 00:00:00 GMT"} }, func() fields { return fields{"Last-Modified", "Fri, 31 Dec 1999 00:00:00 GMT"} }, false, true},
		{"another date", func() fields { return fields{"Last-Modified", lm(time.Hour)} }, func() fields { return fields{"Last-Modified", lm(2 * time.Hour)} }, true, true},
		{"another date, but the ETag", func() fields { return fields{"ETag", `"1"`, "Last-Modified", lm(time.Hour)} }, func() fields { return fields{"ETag", `"1"`, "Last-Modified", lm(2 * time.Hour)} }, false, true},
		{"the same date, another ETag", func() fields { return fields{"ETag", `"1"`, "Last-Modified", "Fri, 31 Dec 1999 00:00:00 GMT"} }, func() fields { return fields{"ETag", `"2"`, "Last-Modified", "Fri, 31 Dec 1999 00:00:00 GMT"} }, true, true},
		{"a new ETag and the same old date", func() fields { return fields{"Last-Modified", "Fri, 31 Dec 1999 00:00:00 GMT"} }, func() fields { return fields{"ETag", `"1"`, "Last-Modified", "Fri, 31 Dec 1999 00:00:00 GMT"} }, false, true},
		{"a new ETag and no date", func() fields { return fields{"Last-Modified", lm(time.Hour)} }, func() fields { return fields{"ETag", `"1"`} }, true, true},
		{"a date that nobody knows", func() fields { return fields{"ETag", `"1"`} }, func() fields { return fields{"Last-Modified", lm(time.Hour)} }, true, true},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := true
				o := newOrigin(func(req *http.Request) *http.Response {
					switch {
					case first:
						return reply(200, "old", append(tt.stored(), "Cache-Control", "max-age=5", "X", "old")...)
					case len(req.Header["If-None-Match"])+len(req.Header["If-Modified-Since"]) > 0:
						return reply(304, "", append(tt.confirms(), "Cache-Control", "max-age=5", "X", "304")...)
					}
					return reply(200, "new", "ETag", `"3"`, "Cache-Control", "max-age=5", "X", "new")
				})
				c := New(o, nil)
				get(t, c, testURL)
				first = false
				time.Sleep(6 * time.Second)
				want, asked := "old", 2
				if tt.again {
					want, asked = "new", 3
				}
				f := get(t, c, testURL)
				f.expect(t, want, false, tt.rule)
				if o.count() != asked {
					t.Errorf("the origin was asked %d times, want %d", o.count(), asked)
				}
				if tt.again {
					if h := o.last().Header; h.Get("Cache-Control") != "no-cache" || f.header.Get("Etag") != `"3"` {
						t.Errorf("asked again with %v, it got ETag %s: an intermediary that contradicts itself isn't to be asked", h, f.header.Get("Etag"))
					}
				}
				get(t, c, testURL).expect(t, want, tt.kept, "what is stored then")
			})
		})
	}
}

// What a proxy has made of a strong ETag when it compressed the answer comes
// back as it was on a 304. The same version, in other bytes: what is stored is
// confirmed and gets none of the other's fields.
func TestA304OfTheUncompressedVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		confirmed := []string{"ETag", `"1"`, "X", "other", "Cache-Control", "max-age=5"}
		o := newOrigin(func(req *http.Request) *http.Response {
			if req.Header.Get("If-None-Match") != "" {
				return reply(304, "", confirmed...)
			}
			return reply(200, "old", "ETag", `W/"1"`, "Cache-Control", "max-age=5", "X", "old")
		})
		c := New(o, nil)
		get(t, c, testURL)
		time.Sleep(6 * time.Second)
		f := get(t, c, testURL)
		f.expect(t, "old", false, "confirmed")
		if f.header.Get("X") != "old" || f.header.Get("Etag") != `W/"1"` || f.header.Get("Age") != "0" {
			t.Errorf("RFC 9111 section 4.3.4: a strong validator that isn't stored must update nothing: %v", f.header)
		}
		time.Sleep(4 * time.Second)
		get(t, c, testURL).expect(t, "old", true, "RFC 9111 section 4.2.3: the age counts from the validation")
		time.Sleep(2 * time.Second)
		confirmed[5] = "max-age=1"
		get(t, c, testURL)
		if o.last().Header.Get("If-None-Match") != "" {
			t.Error("what may not be updated can't take in another Cache-Control: it must be asked for again")
		}
	})
}

// A reader with a condition of his own gets an answer to that.
func TestA304ForAnotherThanTheReadersVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		version := `"1"`
		o := newOrigin(func(req *http.Request) *http.Response {
			if req.Header.Get("If-None-Match") != "" {
				return reply(304, "", "ETag", version)
			}
			return reply(200, "body of "+version, "ETag", version, "Cache-Control", "max-age=0", "Vary", "Accept")
		})
		c := New(o, nil)
		get(t, c, testURL, "Accept", "a")
		get(t, c, testURL, "Accept", "b")
		version = `"2"`
		if f := get(t, c, testURL, "Accept", "a", "If-None-Match", `"0"`); f.status != 200 || f.body != `body of "2"` || f.header.Get("Etag") != `"2"` {
			t.Errorf("he has another version: got %d %q %v", f.status, f.body, f.header)
		}
		version = `"3"`
		if f := get(t, c, testURL, "Accept", "a", "If-None-Match", `"3"`); f.status != 304 || f.header.Get("Etag") != `"3"` {
			t.Errorf("he has that very version: got %d %v", f.status, f.header)
		}
		version = `"1"`
		if f := get(t, c, testURL, "Accept", "b"); f.body != `body of "1"` || o.last().Header.Get("If-None-Match") != `"1"` {
			t.Errorf("the other variant has been left alone: got %q, asked %v", f.body, o.last().Header)
		}
	})
}

// An origin that answers 304 whatever it is asked isn't asked for ever.
func TestA304WithoutAQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code := 200
		o := newOrigin(func(*http.Request) *http.Response {
			return reply(code, "", "ETag", `"`+http.StatusText(code)+`"`, "Cache-Control", "max-age=0")
		})
		c := New(o, nil)
		get(t, c, testURL)
		code = 304
		if f := get(t, c, testURL); f.status != 304 || o.count() != 3 {
			t.Errorf("got %d after %d requests, want the origin's word after 3", f.status, o.count())
		}
	})
}

// A cookie on a 304 is for who asked, if the origin says that it isn't to be
// used again (RFC 9111 section 5.2.2.4).
func TestCookieOfA304IsForWhoAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const once = `max-age=5, no-cache="Set-Cookie, X-Once"`
		fields := []string{"ETag", `"1"`, "Cache-Control", once, "Set-Cookie", "a=1", "Set-Cookie", "b=1", "X-Once", "1", "X-More", "1"}
		o := newOrigin(func(req *http.Request) *http.Response {
			if req.Header.Get("If-None-Match") != "" {
				return reply(304, "", fields...)
			}
			return reply(200, "body", fields...)
		})
		c := New(o, nil)
		said := func(f fetched) string {
			s := f.header.Get("X-Once") + f.header.Get("X-More")
			for _, cookie := range f.header["Set-Cookie"] {
				s += " " + cookie
			}
			return s
		}
		check := func(f fetched, want, rule string) {
			t.Helper()
			if got := said(f); got != want || f.body != "body" {
				t.Errorf("%s: got %q, want %q", rule, got, want)
			}
		}
		check(get(t, c, testURL), "11 a=1 b=1", "who caused the question")
		check(get(t, c, testURL), "1", "never from the store")
		time.Sleep(6 * time.Second)
		gate := make(chan struct{})
		o.setGate(gate)
		var first, second fetched
		var wg sync.WaitGroup
		wg.Go(func() { first = get(t, c, testURL) })
		synctest.Wait()
		wg.Go(func() { second = get(t, c, testURL) })
		synctest.Wait()
		close(gate)
		wg.Wait()
		check(first, "11 a=1 b=1", "who caused the 304")
		check(second, "1", "who waited beside him")
		check(get(t, c, testURL), "1", "who comes later")
		time.Sleep(6 * time.Second)
		if f := get(t, c, testURL, "If-None-Match", `"1"`); f.status != 304 || said(f) != "11 a=1 b=1" {
			t.Errorf("who has the version himself: got %d %q", f.status, said(f))
		}
		fields[3] = "max-age=5"
		time.Sleep(6 * time.Second)
		get(t, c, testURL)
		check(get(t, c, testURL), "11 a=1 b=1", "without no-cache it is stored as all else")
	})
}

// A 304 that forbids to store is the answer of who asked, and nobody else's
// (RFC 9111 section 5.2.2.5).
func TestA304WithNoStoreIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(func(req *http.Request) *http.Response {
			if req.Header.Get("If-None-Match") != "" {
				return reply(304, "", "ETag", `"1"`, "Cache-Control", "no-store", "X-For", req.Header.Get("X-Who"))
			}
			return reply(200, "body", "ETag", `"1"`, "Cache-Control", "max-age=0", "X-For", req.Header.Get("X-Who"))
		})
		c := New(o, nil)
		get(t, c, testURL)
		gate := make(chan struct{})
		o.setGate(gate)
		var first, second fetched
		var wg sync.WaitGroup
		wg.Go(func() { first = get(t, c, testURL, "X-Who", "first") })
		synctest.Wait()
		wg.Go(func() { second = get(t, c, testURL, "X-Who", "second") })
		synctest.Wait()
		close(gate)
		wg.Wait()
		if first.header.Get("X-For") != "first" || first.body != "body" {
			t.Errorf("who asked got %q for %q", first.body, first.header.Get("X-For"))
		}
		if second.header.Get("X-For") != "second" || second.body != "body" {
			t.Errorf("who waited got %q for %q: no-store answers nobody else's request", second.body, second.header.Get("X-For"))
		}
	})
}

// What belongs to the connection that brought a 304 isn't stored, and takes
// nothing away that is (RFC 9111 sections 3.1 and 3.2).
func TestConnectionFieldsOfA304(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(newOrigin(func(req *http.Request) *http.Response {
			if req.Header.Get("If-None-Match") != "" {
				return reply(304, "", "ETag", `"1"`, "Cache-Control", "max-age=5", "Connection", "X-Hop, close", "X-Hop", "this one")
			}
			return reply(200, "body", "ETag", `"1"`, "Cache-Control", "max-age=0", "X-Hop", "stored")
		}), nil)
		get(t, c, testURL)
		get(t, c, testURL)
		if got := get(t, c, testURL).header.Get("X-Hop"); got != "stored" {
			t.Errorf("X-Hop is %q, want what the 200 said", got)
		}
	})
}

// A 304 without Date was made when it came (RFC 9110 section 6.6.1).
func TestA304WithoutDateIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(newOrigin(func(req *http.Request) *http.Response {
			if req.Header.Get("If-None-Match") != "" {
				r := reply(304, "", "ETag", `"1"`)
				delete(r.Header, "Date")
				return r
			}
			return reply(200, "body", "ETag", `"1"`, "Cache-Control", "max-age=5")
		}), nil)
		get(t, c, testURL)
		time.Sleep(time.Minute)
		get(t, c, testURL).expect(t, "body", false, "stale")
		time.Sleep(4 * time.Second)
		get(t, c, testURL).expect(t, "body", true, "validated four seconds ago")
	})
}
