package cache_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gregjones/httpcache"
	"github.com/gregjones/httpcache/diskcache"

	"github.com/goswale/swale/cache"
)

// TestStoresOfOthers plugs stores that were written for gregjones/httpcache in
// as the second level: a second cache, as after a restart, answers from them.
func TestStoresOfOthers(t *testing.T) {
	for name, store := range map[string]cache.Backing{
		"memory": httpcache.NewMemoryCache(),
		"disk":   diskcache.New(t.TempDir()),
	} {
		asked := 0
		origin := roundTripper(func(req *http.Request) (*http.Response, error) {
			asked++
			return &http.Response{
				StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
				Header: http.Header{"Cache-Control": {"max-age=3600"}, "Date": {time.Now().UTC().Format(http.TimeFormat)}},
				Body:   io.NopCloser(strings.NewReader("kept")), ContentLength: 4,
			}, nil
		})
		for range 2 {
			c := cache.New(origin, &cache.Options{Backing: store})
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example/1", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil || string(body) != "kept" {
				t.Errorf("%s: read %q, %v", name, body, err)
			}
			_ = resp.Body.Close()
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if asked != 1 {
			t.Errorf("%s: the origin was asked %d times; a store that has the response answers the second cache", name, asked)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
