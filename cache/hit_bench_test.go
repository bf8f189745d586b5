package cache

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func hitFixture(b *testing.B) (*Transport, *http.Request) {
	b.Helper()
	body := `{"name":"` + strings.Repeat("x", 1012) + `"}`
	c := New(newOrigin(func(*http.Request) *http.Response {
		return reply(200, body, "Cache-Control", "max-age=3600", "Content-Type", "application/json", "ETag", `"v1"`)
	}), nil)
	req := newRequest(b, http.MethodGet, testURL, "Accept", "application/json")
	if f := fetch(c, req); f.err != nil {
		b.Fatal(f.err)
	}
	return c, req
}

func BenchmarkHit(b *testing.B) {
	c, req := hitFixture(b)
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
