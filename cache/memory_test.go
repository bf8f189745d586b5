package cache

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

// perEntry fills a cache with n documents of 1 KB and returns the heap bytes
// per payload byte.
func perEntry(tb testing.TB, n int) float64 {
	tb.Helper()
	filler := strings.Repeat("x", 1024)
	o := newOrigin(func(req *http.Request) *http.Response {
		body := fmt.Sprintf("%-20s%s", req.URL.Path, filler)[:1024]
		return reply(200, body, "Cache-Control", "max-age=3600", "Content-Type", "application/hal+json",
			"ETag", fmt.Sprintf("%q", req.URL.Path[len(req.URL.Path)-6:]))
	})
	c := New(o, &Options{MaxBytes: 1 << 30})
	before := heap()
	for i := range n {
		get(tb, c, fmt.Sprintf("https://api.example/restaurants/%06d", i))
		o.requests = o.requests[:0]
	}
	after := heap()
	stats := c.Stats()
	if stats.Entries != n {
		tb.Fatalf("%d of %d entries are stored", stats.Entries, n)
	}
	grown := float64(after - before)
	if accounted := float64(stats.Bytes); accounted < 0.95*grown || accounted > 1.15*grown {
		tb.Errorf("the bound counts %.0f bytes where the heap has grown by %.0f", accounted, grown)
	}
	return grown / float64(n*1024)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestEntriesAreSmall(t *testing.T) {
	n := 100_000
	if testing.Short() || raceEnabled {
		n = 30_000 // fewer, or a table that has just doubled, are dearer each
	}
	if ratio := perEntry(t, n); ratio > 1.35 {
		t.Errorf("%d entries of 1 KB take %.3f times their bytes, want at most 1.35", n, ratio)
	} else {
		t.Logf("%d entries of 1 KB take %.3f times their bytes", n, ratio)
	}
}

// A scan through many documents that nobody asks for again leaves alone what
// is in use, and the bound holds all the time.
func TestEvictionBoundAndScan(t *testing.T) {
	const maxBytes = 1 << 20
	body := strings.Repeat("x", 1000)
	o := newOrigin(func(*http.Request) *http.Response { return reply(200, body, "Cache-Control", "max-age=3600") })
	c := New(o, &Options{MaxBytes: maxBytes})
	hot := func(i int) string { return fmt.Sprintf("https://api.example/hot/%d", i) }
	for range 3 {
		for i := range 200 {
			get(t, c, hot(i))
		}
	}
	for i := range 5000 {
		get(t, c, fmt.Sprintf("https://api.example/scan/%d", i))
		if n := c.Stats().Bytes; n > maxBytes {
			t.Fatalf("G7: %d bytes are held, the bound is %d", n, maxBytes)
		}
	}
	hits := 0
	for i := range 200 {
		if get(t, c, hot(i)).hit() {
			hits++
		}
	}
	if hits < 190 {
		t.Errorf("after a scan %d of 200 entries in use are still there, want nearly all", hits)
	}
	if s := c.Stats(); s.Evictions == 0 || s.Records > s.Entries+10 {
		t.Errorf("%d evictions, %d records for %d entries: a record that was never noticed goes with its entry", s.Evictions, s.Records, s.Entries)
	}
}

// An origin may make a shape of its own for every response.
func TestBoundHoldsForHeadersThatNeverRepeat(t *testing.T) {
	const maxBytes = 4 << 20
	n := 0
	o := newOrigin(func(*http.Request) *http.Response {
		n++
		return reply(200, "x", "Cache-Control", fmt.Sprintf("max-age=%d", 1000+n), "Server", strings.Repeat("s", 200), fmt.Sprintf("X-%d", n), "x")
	})
	c := New(o, &Options{MaxBytes: maxBytes})
	before := heap()
	for i := range 20000 {
		get(t, c, fmt.Sprintf("https://api.example/%d", i))
		o.requests = o.requests[:0]
	}
	// The table of shapes keeps up to maxShapes of them besides.
	if grown := int64(heap() - before); grown > maxBytes*3/2+maxShapes*2048 {
		t.Errorf("G7: the heap has grown by %d bytes, the bound is %d", grown, maxBytes)
	}
	if c.Stats().Entries == 0 {
		t.Error("nothing is kept")
	}
}

// What is decoded from an entry counts, goes with it, and stays counted when a
// 304 makes a new entry of the same body.
func TestDecodedValuesCount(t *testing.T) {
	const size = 10_000
	body := strings.Repeat("x", size)
	o := newOrigin(func(req *http.Request) *http.Response {
		if req.Header.Get("If-None-Match") != "" {
			return reply(304, "", "ETag", `"v1"`, "Cache-Control", "max-age=3600")
		}
		return reply(200, body, "ETag", `"v1"`, "Cache-Control", "max-age=3600")
	})
	c := New(o, &Options{MaxBytes: 1 << 20})
	type typ struct{ n int }
	decode := func(url string, n int) {
		t.Helper()
		resp, err := c.RoundTrip(newRequest(t, http.MethodGet, url))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		_, err = resp.Body.(interface {
			DecodeOnce(typ any, decode func(body []byte) (any, error)) (any, error)
		}).DecodeOnce(typ{n}, func(body []byte) (any, error) { return string(body), nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	get(t, c, testURL)
	plain := c.Stats().Bytes
	for n := range 3 {
		decode(testURL, n)
		decode(testURL, n)
	}
	decoded := c.Stats().Bytes
	if grown := decoded - plain; grown < 3*size || grown > 4*size {
		t.Errorf("three decoded values of %d bytes count for %d", size, grown)
	}
	c.Invalidate(testURL)
	get(t, c, testURL)
	if now := c.Stats().Bytes; now < decoded-size || now > decoded+size {
		t.Errorf("after a 304 %d bytes are counted, before it %d", now, decoded)
	}
	for i := range 200 {
		url := fmt.Sprintf("https://api.example/%d", i)
		get(t, c, url)
		decode(url, 0)
		if n := c.Stats().Bytes; n > 1<<20 {
			t.Fatalf("G7: %d bytes are held, the bound is %d", n, 1<<20)
		}
	}
	if n := c.Stats().Entries; n > (1<<20)/(2*size) {
		t.Errorf("%d entries are held, each with a decoded value, in %d bytes", n, 1<<20)
	}
}
