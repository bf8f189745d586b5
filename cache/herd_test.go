package cache

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// herd lets readers ask at one moment. Each answer takes the origin a second.
// It returns how many requests that caused, and how long the last one waited.
func herd(t *testing.T, c *Transport, o *fakeOrigin, readers int, fields func(i int) []string, check func(f fetched)) (requests int, took time.Duration) {
	t.Helper()
	before, start := o.count(), time.Now()
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() { check(get(t, c, testURL, fields(i)...)) })
	}
	wg.Wait()
	return o.count() - before, time.Since(start)
}

func alike(int) []string { return nil }

// What a hundred readers who come at once cost, by what the answer says.
func TestHundredReaders(t *testing.T) { // G5
	for _, tt := range []struct {
		rule        string
		status      int
		fields      []string
		cold, again int // requests: with nothing stored, and ten seconds later
		took        time.Duration
	}{
		{"an answer that may be stored is one question", 200, []string{"Cache-Control", "max-age=5"}, 1, 1, time.Second},
		{"also if it is never fresh", 200, []string{"Cache-Control", "max-age=0"}, 1, 1, time.Second},
		{"also if it has to be asked for each time", 200, []string{"Cache-Control", "no-cache", "ETag", `"1"`}, 1, 1, time.Second},
		{"also if it is private", 200, []string{"Cache-Control", "private, max-age=5"}, 1, 1, time.Second},
		{"also if it is negative", 404, []string{"Cache-Control", "max-age=5"}, 1, 1, time.Second},
		{"a failure is everybody's who waits, and nobody's who comes later", 503, nil, 1, 1, time.Second},
		{"a failure that may not be stored is for one, and nobody waits twice", 503, []string{"Cache-Control", "no-store"}, 100, 100, 2 * time.Second},
		{"what may not be stored is for one, and nobody waits twice", 200, []string{"Cache-Control", "no-store"}, 100, 100, 2 * time.Second},
		{"nor what says nothing at all: it may be another one each time", 200, nil, 100, 100, 2 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			o := newOrigin(func(*http.Request) *http.Response {
				time.Sleep(time.Second)
				return reply(tt.status, "body", tt.fields...)
			})
			c := New(o, nil)
			check := func(f fetched) {
				if f.status != tt.status || f.body != "body" {
					t.Errorf("%s: got %d %q (%s)", tt.rule, f.status, f.body, f.how())
				}
			}
			for _, want := range []int{tt.cold, tt.again} {
				if n, took := herd(t, c, o, 100, alike, check); n != want || took > tt.took {
					t.Errorf("%s: %d requests, the last reader waited %s; want %d, %s", tt.rule, n, took, want, tt.took)
				}
				time.Sleep(10 * time.Second)
			}
		})
	}
}

// Who learns that the answer is another variant than his asks for that, once for
// all who want it.
func TestHundredReadersOfTenVariants(t *testing.T) { // G5
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(func(req *http.Request) *http.Response {
			time.Sleep(time.Second)
			return reply(200, req.Header.Get("Accept-Language"), "Cache-Control", "max-age=5", "Vary", "Accept-Language")
		})
		c := New(o, nil)
		for _, want := range []int{11, 10} { // one more to learn that it varies
			n, _ := herd(t, c, o, 100, func(i int) []string { return []string{"Accept-Language", fmt.Sprint(i % 10)} }, func(fetched) {})
			if n > want {
				t.Errorf("G5: 100 readers of ten variants caused %d requests, want %d at most", n, want)
			}
			time.Sleep(10 * time.Second)
		}
	})
}

// A failure isn't kept, and stands aside for what may be served stale.
func TestSharedFailureIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status := 503
		o := newOrigin(func(*http.Request) *http.Response {
			time.Sleep(time.Second)
			return reply(status, "body", "ETag", `"1"`)
		})
		c := New(o, nil)
		herd(t, c, o, 10, alike, func(f fetched) {
			if f.status != 503 {
				t.Errorf("got %d", f.status)
			}
		})
		if s := c.Stats(); s.Entries != 0 || s.Bytes != 0 || s.Records != 0 {
			t.Errorf("a failure left something behind: %+v", s)
		}
		status = 200
		if f := get(t, c, testURL); f.status != 200 {
			t.Errorf("got %d (%s) after the failure", f.status, f.how())
		}
	})
}

// Readers who wish for the same wait for one another, too.
func TestHundredReadersWithWishes(t *testing.T) { // G5
	for _, tt := range []struct {
		rule   string
		wish   func(i int) string
		answer []string
		want   int
	}{
		{"a max-age is no reason to ask alone", func(int) string { return "max-age=60" }, []string{"Cache-Control", "max-age=5"}, 1},
		{"nor is a max-stale", func(int) string { return "max-stale=60" }, []string{"Cache-Control", "max-age=0"}, 1},
		{"nor a min-fresh", func(int) string { return "min-fresh=2" }, []string{"Cache-Control", "max-age=5"}, 1},
		{"also of what is vouched for", func(int) string { return "min-fresh=9" }, []string{"Cache-Control", `max-age=5, resn="restaurants"`}, 1},
		{"nor a stale-if-error", func(int) string { return "stale-if-error=60" }, []string{"Cache-Control", "max-age=5"}, 1},
		{"who wishes for something else asks for that", func(i int) string { return []string{"", "max-age=60"}[i%2] }, []string{"Cache-Control", "max-age=5"}, 2},
		{"what is too old for them isn't theirs", func(int) string { return "max-age=3" }, []string{"Cache-Control", "max-age=60", "Age", "3"}, 100},
		{"nor what isn't fresh for long enough", func(int) string { return "min-fresh=9" }, []string{"Cache-Control", "max-age=5"}, 100},
		{"who wants to be sure asks himself", func(int) string { return "no-cache" }, []string{"Cache-Control", "max-age=5"}, 100},
		{"also by a max-age", func(int) string { return "max-age=0" }, []string{"Cache-Control", "max-age=5"}, 100},
	} {
		synctest.Test(t, func(t *testing.T) {
			o := newOrigin(func(*http.Request) *http.Response {
				time.Sleep(time.Second)
				return reply(200, "body", tt.answer...)
			})
			c := New(o, nil)
			c.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
			n, _ := herd(t, c, o, 100, func(i int) []string { return []string{"Cache-Control", tt.wish(i)} }, func(f fetched) {
				if f.body != "body" {
					t.Errorf("%s: got %q (%s)", tt.rule, f.body, f.how())
				}
			})
			if n != tt.want {
				t.Errorf("%s: %d requests, want %d", tt.rule, n, tt.want)
			}
		})
	}
}
