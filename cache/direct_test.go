package cache

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What an answer that isn't stored says of what is: the origin is asked by HEAD
// or for a part, past what is fresh or because it isn't.
func TestWhatOthersThanGetTell(t *testing.T) {
	const modified = "Fri, 31 Dec 1999 00:00:00 GMT"
	type said struct {
		status int
		body   string
		fields []string
	}
	head := func(status int, fields ...string) said { return said{status, "", fields} }
	part := func(fields ...string) said {
		return said{206, "01234", append(fields, "Content-Range", "bytes 0-4/10")}
	}
	tagged := []string{"ETag", `"1"`}
	for _, tt := range []struct {
		rule   string
		stored []string
		method string
		wish   string
		answer said
		asks   bool // a GET has to ask afterwards
	}{
		{"a HEAD of the same version freshens", tagged, "HEAD", "", head(200, tagged...), false},
		{"unless it says no-store", tagged, "HEAD", "no-cache", head(200, "ETag", `"1"`, "Cache-Control", "no-store"), true},
		{"one of the same date but another ETag is of another version", []string{"ETag", `"1"`, "Last-Modified", modified}, "HEAD", "no-cache", head(200, "ETag", `"2"`, "Last-Modified", modified), true},
		{"it is gone, says a 404", nil, "HEAD", "no-cache", head(404), true},
		{"or a 410", nil, "HEAD", "no-cache", head(410), true},
		{"a part of the same version freshens (RFC 9111 section 3.4)", tagged, "GET", "", part(tagged...), false},
		{"but not by a weak ETag", []string{"ETag", `W/"1"`}, "GET", "", part("ETag", `W/"1"`), true},
		{"nor by a date", []string{"Last-Modified", modified}, "GET", "", part("Last-Modified", modified), true},
		{"nor if the reader forbids to store", tagged, "GET", "no-store", part(tagged...), true},
		{"nor if it is of several parts", tagged, "GET", "", said{206, "...", []string{"ETag", `"1"`, "Content-Type", "multipart/byteranges; boundary=x"}}, true},
		{"a part of another version ends it", tagged, "GET", "no-cache", part("ETag", `"2"`), true},
		{"as the whole does", tagged, "GET", "no-cache", said{200, "other", []string{"ETag", `"2"`}}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			answer := func() *http.Response { return reply(200, "0123456789", append(tt.stored, "Content-Type", "a/b")...) }
			o := newOrigin(func(*http.Request) *http.Response {
				resp := answer()
				if resp.Header.Get("Cache-Control") == "" {
					resp.Header.Set("Cache-Control", "max-age=5")
				}
				if resp.ContentLength == 0 {
					resp.Header.Del("Content-Length") // a HEAD needn't say it
				}
				return resp
			})
			c := New(o, nil)
			get(t, c, testURL)
			if tt.wish != "no-cache" {
				time.Sleep(6 * time.Second)
			}
			whole := answer
			answer = func() *http.Response { return reply(tt.answer.status, tt.answer.body, tt.answer.fields...) }
			fields := []string{"Cache-Control", tt.wish}
			if tt.method == http.MethodGet {
				fields = append(fields, "Range", "bytes=0-4")
			}
			fetch(c, newRequest(t, tt.method, testURL, fields...))
			answer = whole
			asked := o.count()
			f := get(t, c, testURL)
			if f.body != "0123456789" || f.status != 200 || f.header.Get("Content-Type") != "a/b" || f.header.Get("Content-Range") != "" || (o.count() > asked) != tt.asks {
				t.Errorf("%s: got %d %q %v, asked %d times, want %v", tt.rule, f.status, f.body, f.header, o.count()-asked, tt.asks)
			}
		})
	}
}

// Who reads what is stored in parts lets it be validated as well as others.
func TestPartsOfWhatIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(func(req *http.Request) *http.Response {
			if req.Header.Get("Range") != "" {
				return reply(206, "01", "ETag", `"1"`, "Content-Range", "bytes 0-1/10", "Cache-Control", `max-age=5, resn="restaurants"`)
			}
			return reply(200, "0123456789", "ETag", `"1"`, "Cache-Control", `max-age=5, resn="restaurants"`)
		})
		c := New(o, nil)
		c.Scope("restaurants").Vouch(time.Now().Add(time.Hour))
		get(t, c, testURL)
		for range 3 {
			c.Apply(Change{URL: testURL, Scope: "restaurants"})
			before := o.count()
			for range 10 {
				if f := get(t, c, testURL, "Range", "bytes=0-1"); f.status != 206 || f.body != "01" {
					t.Fatalf("got %d %q", f.status, f.body)
				}
			}
			if n := o.count() - before; n != 1 {
				t.Errorf("ten parts after a notice asked %d times, want once", n)
			}
		}
	})
}

// closes tells when a body is closed.
type closes struct {
	io.Reader
	closed bool
}

func (c *closes) Close() error { c.closed = true; return nil }

// RFC 5861 section 4: for whoever asks, and nobody reads the failure.
func TestStaleIfErrorForAll(t *testing.T) {
	for _, fields := range [][]string{{"GET"}, {"HEAD"}, {"GET", "Range", "bytes=0-4"}} {
		for _, code := range []int{503, 0} {
			synctest.Test(t, func(t *testing.T) {
				failure := &closes{Reader: strings.NewReader("sorry")}
				stored := false
				o := newOrigin(func(*http.Request) *http.Response {
					if !stored {
						stored = true
						return reply(200, "0123456789", "Cache-Control", "max-age=5, stale-if-error=60")
					}
					resp := reply(code, "")
					resp.Body = failure
					return resp
				})
				c := New(o, nil)
				get(t, c, testURL)
				time.Sleep(6 * time.Second)
				if code == 0 {
					o.setFail(errors.New("refused"))
				}
				f := fetch(c, newRequest(t, fields[0], testURL, fields[1:]...))
				if f.err != nil || f.status/100 != 2 || f.hit() {
					t.Errorf("%v, the origin says %d: got %d (%s), %v", fields, code, f.status, f.how(), f.err)
				}
				synctest.Wait()
				if code != 0 && !failure.closed {
					t.Errorf("%v: the failure's body was left open", fields)
				}
			})
		}
	}
}

// What isn't a plain question isn't the cache's.
func TestWhatIsBypassed(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"a body":          func(req *http.Request) { req.Body = io.NopCloser(strings.NewReader("x")) },
		"an upgrade":      func(req *http.Request) { req.Header.Set("Upgrade", "websocket") },
		"a very long URI": func(req *http.Request) { req.URL.RawQuery = strings.Repeat("x", maxKey) },
	} {
		o := newOrigin(func(*http.Request) *http.Response { return reply(200, "x", "Cache-Control", "max-age=60") })
		c := New(o, nil)
		for range 2 {
			req := newRequest(t, http.MethodGet, testURL)
			change(req)
			if f := fetch(c, req); f.err != nil || !strings.Contains(f.how(), "fwd=bypass") {
				t.Errorf("%s: %s, %v", name, f.how(), f.err)
			}
		}
	}
}

// A refresh is nobody's own question: it has no range, no wishes and no end but its own.
func TestRefreshIsNobodysOwn(t *testing.T) { // RFC 5861 section 3
	for _, fields := range [][]string{
		{"HEAD"},
		{"GET", "Range", "bytes=0-1", "If-Range", `"1"`},
		{"GET", "Cache-Control", "stale-if-error=5"},
		{"GET", "If-None-Match", `"1"`},
		{"GET", "Pragma", "x"},
	} {
		synctest.Test(t, func(t *testing.T) {
			version := `"1"`
			o := newOrigin(func(*http.Request) *http.Response {
				return reply(200, "of "+version, "ETag", version, "Cache-Control", "max-age=5, stale-while-revalidate=60")
			})
			c := New(o, nil)
			get(t, c, testURL)
			time.Sleep(6 * time.Second)
			version = `"2"`
			gate := make(chan struct{})
			o.setGate(gate)
			ctx, cancel := context.WithCancel(t.Context())
			fetch(c, newRequest(t, fields[0], testURL, fields[1:]...).WithContext(ctx))
			fetch(c, newRequest(t, http.MethodGet, testURL)) // one refresh is enough
			synctest.Wait()
			cancel()
			close(gate)
			synctest.Wait()
			req := o.last()
			if len(req.Header) != 1 || req.Header.Get("If-None-Match") != `"1"` || req.Method != http.MethodGet || o.count() != 2 {
				t.Errorf("%v is refreshed by %s %v, in %d questions", fields, req.Method, req.Header, o.count()-1)
			}
			get(t, c, testURL).expect(t, `of "2"`, true, "refreshed")
		})
	}
}

// What a reader's own condition or a failure brings takes nothing from others.
func TestWhatPassesLeavesOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer func(req *http.Request) *http.Response
		o := newOrigin(func(req *http.Request) *http.Response { return answer(req) })
		c := New(o, nil)
		answer = func(*http.Request) *http.Response {
			return reply(200, "x", "Cache-Control", "max-age=5, stale-if-error=600")
		}
		get(t, c, testURL)
		time.Sleep(6 * time.Second)
		answer = func(*http.Request) *http.Response { return reply(304, "") }
		if f := get(t, c, testURL, "If-None-Match", `"mine"`); f.status != 304 {
			t.Errorf("his own condition was answered with %d", f.status)
		}
		answer = func(*http.Request) *http.Response { return reply(503, "") }
		get(t, c, testURL).expect(t, "x", false, "what is stored still stands in for a failure")
		answer = func(*http.Request) *http.Response {
			time.Sleep(time.Second)
			return reply(200, "y", "Cache-Control", "max-age=5")
		}
		if n, _ := herd(t, c, o, 10, alike, func(fetched) {}); n != 1 {
			t.Errorf("G5: ten readers asked %d times after a 304 to somebody else", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		failing := false
		doc := &versioned{version: 1, fields: []string{"Cache-Control", "max-age=5"}}
		o := newOrigin(func(req *http.Request) *http.Response {
			if failing {
				return reply(500, "", "Cache-Control", "no-store")
			}
			time.Sleep(time.Second)
			return doc.handle(req)
		})
		c := New(o, nil)
		get(t, c, testURL)
		time.Sleep(6 * time.Second)
		failing = true
		get(t, c, testURL)
		failing = false
		n, _ := herd(t, c, o, 10, func(int) []string { return []string{"If-None-Match", `"v1"`} }, func(f fetched) {
			if f.status != 304 {
				t.Errorf("his version is the one there is: got %d", f.status)
			}
		})
		if n != 1 || o.last().Header.Get("If-None-Match") == "" {
			t.Errorf("G5: ten readers with a condition asked %d times after a failure, with %v", n, o.last().Header)
		}
	})
}

// A decoded value is loaded for whom it is, and not while its refresh is due.
func TestTypedForWhoAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(newOrigin(func(*http.Request) *http.Response {
			return reply(200, "x", "Cache-Control", "max-age=5, stale-while-revalidate=60")
		}), nil)
		type key struct{}
		header := http.Header{"Authorization": {"a"}}
		for range 2 {
			resp, err := c.RoundTrip(newRequest(t, http.MethodGet, testURL, "Authorization", "a"))
			if err != nil {
				t.Fatal(err)
			}
			if body, ok := resp.Body.(*storedBody); ok {
				_, _ = body.DecodeOnce(key{}, func([]byte) (any, error) { return 1, nil })
			}
			_, _ = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
		}
		before := c.Stats().Hits
		if _, ok := c.LoadTyped(t.Context(), testURL, header, key{}); !ok || c.Stats().Hits != before+1 {
			t.Error("what was decoded for him is his, and a hit")
		}
		more := http.Header{"Authorization": {"a"}, "Accept": {"b"}, "User-Agent": {"c"}, "X": {"d"}, "Y": {"e"}, "Range": {"bytes=0-1"}}
		if _, ok := c.LoadTyped(t.Context(), testURL, more, key{}); ok {
			t.Error("a part isn't what was decoded")
		}
		time.Sleep(6 * time.Second)
		if _, ok := c.LoadTyped(t.Context(), testURL, header, key{}); ok {
			t.Error("nobody would refresh it")
		}
	})
}

// A reader who is gone before the origin had to be asked asks nothing.
func TestWhoIsGoneAsksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(func(*http.Request) *http.Response { return reply(200, "text", "Cache-Control", "max-age=60") })
		b := &stuckBacking{}
		gate := make(chan struct{})
		b.gate.set(gate)
		c := New(o, &Options{Backing: b})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		for _, when := range []string{"while the second level is asked", "before"} {
			if f := fetch(c, newRequest(t, http.MethodGet, testURL).WithContext(ctx)); !errors.Is(f.err, context.DeadlineExceeded) {
				t.Errorf("gone %s: got %v", when, f.err)
			}
			synctest.Wait()
			if n := o.count(); n != 0 {
				t.Errorf("gone %s: asked %d times", when, n)
			}
		}
		close(gate)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
