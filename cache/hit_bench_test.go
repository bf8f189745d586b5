package cache

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func hitFixture(b *testing.B, more ...string) (*Transport, *http.Request) {
	b.Helper()
	body := `{"name":"` + strings.Repeat("x", 1012) + `"}`
	c := New(newOrigin(func(*http.Request) *http.Response {
		resp := reply(200, body, "Cache-Control", "max-age=3600", "Content-Type", "application/json", "ETag", `"v1"`)
		for i := 0; i < len(more); i += 2 {
			resp.Header.Set(more[i], more[i+1])
		}
		return resp
	}), nil)
	req := newRequest(b, http.MethodGet, testURL, "Accept", "application/json")
	if f := fetch(c, req); f.err != nil {
		b.Fatal(f.err)
	}
	return c, req
}

func BenchmarkHit(b *testing.B) {
	c, req := hitFixture(b)
	benchmarkHit(b, c, req)
}

// BenchmarkHitManyFields is a hit on what a service behind a proxy answers.
func BenchmarkHitManyFields(b *testing.B) {
	c, req := hitFixture(b, "Vary", "Accept", "Last-Modified", "Sun, 22 Nov 2026 07:00:00 GMT",
		"X-Request-Id", "0af7651916cd43dd8448eb211c80319c", "Server", "nginx", "X-Content-Type-Options", "nosniff",
		"Strict-Transport-Security", "max-age=31536000", "Link", "</restaurants>; rel=collection")
	benchmarkHit(b, c, req)
}

func benchmarkHit(b *testing.B, c *Transport, req *http.Request) {
	b.Helper()
	buf := make([]byte, 2048)
	b.ReportAllocs()
	for b.Loop() {
		resp, err := c.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = resp.Body.Read(buf)
		}
		if !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
		_ = resp.Body.Close()
	}
}

func BenchmarkHitParallel(b *testing.B) {
	c, req := hitFixture(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := c.RoundTrip(req)
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	})
}

func BenchmarkTypedHit(b *testing.B) {
	c, req := hitFixture(b)
	resp, err := c.RoundTrip(req)
	if err != nil {
		b.Fatal(err)
	}
	type typ struct{}
	_, err = resp.Body.(interface {
		DecodeOnce(typ any, decode func(body []byte) (any, error)) (any, error)
	}).DecodeOnce(typ{}, func(body []byte) (any, error) { return len(body), nil })
	if err != nil {
		b.Fatal(err)
	}
	_ = resp.Body.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := c.LoadTyped(b.Context(), testURL, req.Header, typ{}); !ok {
			b.Fatal("not there")
		}
	}
}
