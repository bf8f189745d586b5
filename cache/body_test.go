package cache

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pieces is a body that comes in pieces, each at its time.
type pieces struct {
	list   []string
	pause  time.Duration
	end    error
	ctx    context.Context
	closed atomic.Bool
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.list) == 0 {
		return 0, p.end
	}
	if p.pause > 0 {
		select {
		case <-time.After(p.pause):
		case <-p.ctx.Done():
			return 0, p.ctx.Err()
		}
	}
	n := copy(b, p.list[0])
	if p.list[0] = p.list[0][n:]; p.list[0] == "" {
		p.list = p.list[1:]
	}
	return n, nil
}

func (p *pieces) Close() error {
	p.closed.Store(true)
	return nil
}

// piecewise serves bodies without a length, a piece a second.
func piecewise(bodies *[]*pieces, end error, list ...string) *fakeOrigin {
	return newOrigin(func(req *http.Request) *http.Response {
		r := reply(200, "", "Cache-Control", "max-age=3600")
		r.Header.Del("Content-Length")
		r.ContentLength = -1
		b := &pieces{list: append([]string(nil), list...), pause: time.Second, end: end, ctx: req.Context()}
		*bodies = append(*bodies, b)
		r.Body = b
		return r
	})
}

func TestBodyStreamsOnAMiss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bodies []*pieces
		c := New(piecewise(&bodies, io.EOF, "one ", "two ", "three"), nil)
		start := time.Now()
		resp, err := c.RoundTrip(newRequest(t, http.MethodGet, testURL))
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 10)
		n, err := resp.Body.Read(b)
		if string(b[:n]) != "one " || err != nil || time.Since(start) != time.Second {
			t.Errorf("after %s: %q, %v, want the first piece as soon as it is there", time.Since(start), b[:n], err)
		}
		rest, err := io.ReadAll(resp.Body)
		if string(rest) != "two three" || err != nil {
			t.Errorf("then %q, %v", rest, err)
		}
		_ = resp.Body.Close()
		get(t, c, testURL).expect(t, "one two three", true, "kept")
	})
}

func TestReaderThatStopsDoesNotStopTheStore(t *testing.T) {
	for name, stop := range map[string]func(resp *http.Response, cancel func()){
		"closes":        func(resp *http.Response, _ func()) { _ = resp.Body.Close() },
		"is cancelled":  func(_ *http.Response, cancel func()) { cancel() },
		"reads no more": func(*http.Response, func()) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var bodies []*pieces
				c := New(piecewise(&bodies, io.EOF, "one ", "two ", "three"), nil)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				resp, err := c.RoundTrip(newRequest(t, http.MethodGet, testURL).WithContext(ctx))
				if err != nil {
					t.Fatal(err)
				}
				_, _ = resp.Body.Read(make([]byte, 1))
				stop(resp, cancel)
				time.Sleep(5 * time.Second)
				get(t, c, testURL).expect(t, "one two three", true, "all bytes came, so it is kept")
				if name == "is cancelled" {
					if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
						t.Errorf("the cancelled reader reads on: %v", err)
					}
				}
				_ = resp.Body.Close()
			})
		})
	}
}

func TestAbandonedBodyIsGivenUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bodies []*pieces
		c := New(piecewise(&bodies, io.EOF, strings.Split(strings.Repeat("x ", 100), " ")...), nil)
		resp, err := c.RoundTrip(newRequest(t, http.MethodGet, testURL))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		time.Sleep(finishTime + time.Second)
		synctest.Wait()
		if !bodies[0].closed.Load() {
			t.Error("a body that nobody reads is taken in for ever")
		}
		get(t, c, testURL).expect(t, strings.Repeat("x", 100), false, "what was cut short isn't kept")
	})
}

func TestBodyCutShortIsNeverKept(t *testing.T) {
	for name, origin := range map[string]func() *fakeOrigin{
		"error": func() *fakeOrigin {
			var bodies []*pieces
			return piecewise(&bodies, errors.New("connection reset"), "one ", "two ")
		},
		"length": func() *fakeOrigin {
			return newOrigin(func(*http.Request) *http.Response {
				r := reply(200, "one two", "Cache-Control", "max-age=3600")
				r.ContentLength = 100
				return r
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := origin()
				c := New(o, nil)
				for range 2 {
					f := fetch(c, newRequest(t, http.MethodGet, testURL))
					if f.err == nil || !strings.HasPrefix(f.body, "one two") {
						t.Errorf("the reader got %q, %v, want what came and the error", f.body, f.err)
					}
				}
				if o.count() != 2 {
					t.Error("a body cut short was kept")
				}
			})
		})
	}
}

func TestBodyOverTheLimitIsPassedOn(t *testing.T) {
	for _, known := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			long := strings.Repeat("x", 100_000)
			o := newOrigin(func(*http.Request) *http.Response {
				r := reply(200, long, "Cache-Control", "max-age=3600")
				if !known {
					r.ContentLength = -1
				}
				return r
			})
			c := New(o, &Options{MaxEntryBytes: 10_000})
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					if f := get(t, c, testURL); f.body != long {
						t.Errorf("got %d bytes", len(f.body))
					}
				})
			}
			wg.Wait()
			get(t, c, testURL).expect(t, long, false, "too long to be kept")
			if n := c.Stats().Entries; n != 0 {
				t.Errorf("%d entries", n)
			}
			resp, err := c.RoundTrip(newRequest(t, http.MethodGet, testURL))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
		})
	}
}

// What can't be shared is asked for by each reader himself, at once.
func TestUncacheableReadersDoNotQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(func(*http.Request) *http.Response {
			time.Sleep(time.Second)
			return reply(200, "x", "Cache-Control", "no-store")
		})
		c := New(o, nil)
		get(t, c, testURL)
		start := time.Now()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { get(t, c, testURL) })
		}
		wg.Wait()
		if d := time.Since(start); d != time.Second {
			t.Errorf("ten readers of an uncacheable response took %s, want the time of one", d)
		}
	})
}

func TestFailureIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(nil)
		o.handle = func(*http.Request) *http.Response {
			return reply(200, "x", "Cache-Control", "max-age=1, stale-if-error=60")
		}
		c := New(o, nil)
		get(t, c, testURL)
		time.Sleep(2 * time.Second)
		o.setFail(errDown)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { get(t, c, testURL).expect(t, "x", false, "stale-if-error serves everybody who waited") })
		}
		wg.Wait()
	})
}

func TestRefreshOutlivesItsReaderAndIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=1, stale-while-revalidate=60"}}
		o := newOrigin(doc.handle)
		c := New(o, nil)
		get(t, c, testURL)
		doc.set(2)
		time.Sleep(2 * time.Second)
		gate := make(chan struct{})
		o.setGate(gate)
		ctx, cancel := context.WithCancel(t.Context())
		for range 10 {
			if f := fetch(c, newRequest(t, http.MethodGet, testURL).WithContext(ctx)); f.body != "version 1" {
				t.Errorf("got %q, %v", f.body, f.err)
			}
		}
		cancel()
		synctest.Wait()
		close(gate)
		synctest.Wait()
		get(t, c, testURL).expect(t, "version 2", true, "refreshed although its reader was cancelled")
		if o.count() != 2 {
			t.Errorf("%d questions for ten stale hits, want one refresh", o.count()-1)
		}
		// An invalidation ends stale-while-revalidate.
		time.Sleep(2 * time.Second)
		doc.set(3)
		c.Invalidate(testURL)
		get(t, c, testURL).expect(t, "version 3", false, "G1: stale-while-revalidate yields to an invalidation")
	})
}

func TestCloseEndsWhatNobodyWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=1, stale-while-revalidate=60"}}
		o := newOrigin(doc.handle)
		c := New(o, nil)
		get(t, c, testURL)
		time.Sleep(2 * time.Second)
		o.setGate(make(chan struct{}))
		get(t, c, testURL)
		synctest.Wait()
		for range 2 {
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if o.last().Context().Err() == nil {
			t.Error("a refresh survives Close")
		}
		before := o.count()
		get(t, c, testURL).expect(t, "version 1", true, "after Close it still answers")
		synctest.Wait()
		if o.count() != before {
			t.Error("after Close a refresh was started")
		}
	})
}

// The real transport: gzip, chunked, a decoder that doesn't look at the end.
func TestDecoderThatStopsEarlyCausesAHit(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Vary", "Accept-Encoding")
		var out io.Writer = w
		if r.URL.Path == "/gzip" {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			defer func() { _ = z.Close() }()
			out = z
		}
		_, _ = io.WriteString(out, `{"name": "x"}`+"\n")
		if r.URL.Path != "/plain" {
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(out, strings.Repeat(" ", 10))
		}
	}))
	defer server.Close()
	inner := &http.Transport{}
	defer inner.CloseIdleConnections()
	c := New(inner, nil)
	client := &http.Client{Transport: c, Timeout: time.Minute}
	for _, path := range []string{"/plain", "/chunked", "/gzip"} {
		for i := range 2 {
			req := newRequest(t, http.MethodGet, server.URL+path)
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			var v struct{ Name string }
			if err := json.NewDecoder(resp.Body).Decode(&v); err != nil || v.Name != "x" {
				t.Fatalf("%s: %v, %v", path, v, err)
			}
			_ = resp.Body.Close()
			if hit := strings.Contains(resp.Header.Get("Cache-Status"), "hit"); hit != (i == 1) {
				t.Errorf("%s: request %d: %s", path, i, resp.Header.Get("Cache-Status"))
			}
			waitIdle(t, c)
		}
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("%d questions, want 3", n)
	}
}

// waitIdle waits until nothing is under way.
func waitIdle(t *testing.T, c *Transport) {
	t.Helper()
	c.flying.mu.Lock()
	var all []*flight
	for fl := range c.flying.set {
		all = append(all, fl)
	}
	c.flying.mu.Unlock()
	for _, fl := range all {
		select {
		case <-fl.ended:
		case <-t.Context().Done():
		}
	}
}

func TestDecodeOnceAndLoadTyped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=60", "Vary", "Accept"}}
		c := New(newOrigin(doc.handle), nil)
		h := http.Header{"Accept": {"x"}}
		type key struct{}
		load := func() (any, bool) {
			v, ok := c.LoadTyped(t.Context(), testURL, h, key{})
			var all any
			c.LoadTypedAll(t.Context(), h, key{}, 2, func(i int) string { return []string{testURL, ""}[i] }, func(_ int, v any) { all = v })
			if all != v {
				t.Errorf("of many %v is loaded, alone %v", all, v)
			}
			return v, ok
		}
		get(t, c, testURL, "Accept", "x")
		if _, ok := load(); ok {
			t.Error("nothing was decoded yet")
		}
		decoded := 0
		for range 3 {
			resp, err := c.RoundTrip(newRequest(t, http.MethodGet, testURL, "Accept", "x"))
			if err != nil {
				t.Fatal(err)
			}
			v, err := resp.Body.(interface {
				DecodeOnce(typ any, decode func(body []byte) (any, error)) (any, error)
			}).DecodeOnce(key{}, func(body []byte) (any, error) { decoded++; return string(body), nil })
			if v != "version 1" || err != nil {
				t.Errorf("got %v, %v", v, err)
			}
			_ = resp.Body.Close()
		}
		if decoded != 1 {
			t.Errorf("decoded %d times, want once for each stored version", decoded)
		}
		if v, ok := load(); !ok || v != "version 1" {
			t.Errorf("LoadTyped: %v, %v", v, ok)
		}
		if _, ok := c.LoadTyped(t.Context(), "HTTPS://api.EXAMPLE/restaurants/203", h, key{}); !ok {
			t.Error("LoadTyped doesn't normalise")
		}
		for name, h := range map[string]http.Header{
			"variant":       {"Accept": {"y"}},
			"no-cache":      {"Accept": {"x"}, "Cache-Control": {"no-cache"}},
			"authorization": {"Accept": {"x"}, "Authorization": {"y"}},
		} {
			if _, ok := c.LoadTyped(t.Context(), testURL, h, key{}); ok {
				t.Errorf("LoadTyped ignores %s", name)
			}
		}
		time.Sleep(time.Minute)
		if _, ok := load(); ok {
			t.Error("LoadTyped ignores freshness")
		}
		get(t, c, testURL, "Accept", "x")
		if v, ok := load(); !ok || v != "version 1" {
			t.Error("a 304 confirms what was decoded")
		}
		c.Invalidate(testURL)
		if _, ok := load(); ok {
			t.Error("G1: LoadTyped ignores a notice")
		}
	})
}
