package cache

import (
	"io"
	"net/http"
	"testing"
)

func TestHitAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	c := New(newOrigin(func(*http.Request) *http.Response {
		return reply(200, `{"a":1}`, "Cache-Control", "max-age=3600", "Content-Type", "application/json", "ETag", `"v1"`, "Vary", "Accept")
	}), nil)
	type key struct{}
	req := newRequest(t, http.MethodGet, testURL, "Accept", "application/json")
	get(t, c, testURL, "Accept", "application/json")
	buf := make([]byte, 2048)
	if n := testing.AllocsPerRun(100, func() {
		resp, err := c.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadFull(resp.Body, buf)
		_ = resp.Body.Close()
	}); n > 3 {
		t.Errorf("a hit takes %.0f allocations, want at most 3", n)
	}
	resp, err := c.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := resp.Body.(*storedBody).DecodeOnce(key{}, func([]byte) (any, error) { return 1, nil }); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, ok := c.LoadTyped(t.Context(), testURL, req.Header, key{}); !ok {
			t.Fatal("not there")
		}
	}); n > 0 {
		t.Errorf("a decoded hit takes %.0f allocations, want none", n)
	}
}
