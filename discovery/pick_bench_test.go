package discovery_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/memdiscovery"
)

func benchResolver(b *testing.B, n int) *discovery.Resolver {
	b.Helper()
	r := memdiscovery.New(nil)
	b.Cleanup(func() { _ = r.Shutdown(b.Context()) })
	for i := range n {
		in := restaurant(fmt.Sprintf("i%03d", i))
		in.Zone, in.Version = fmt.Sprintf("z%d", i%3), fmt.Sprintf("v%d", i%2)
		if _, err := r.Register(b.Context(), in, nil); err != nil {
			b.Fatal(err)
		}
	}
	res := discovery.NewResolver(r, &discovery.ResolverOptions{Zone: "z1", SlowStart: -1})
	b.Cleanup(func() { _ = res.Shutdown(b.Context()) })
	return res
}

func BenchmarkPick(b *testing.B) {
	res, ctx := benchResolver(b, 200), b.Context()
	b.ReportAllocs()
	for b.Loop() {
		p, err := res.Pick(ctx, "restaurants", nil, "")
		if err != nil {
			b.Fatal(err)
		}
		p.Done(discovery.Outcome{})
	}
}

func BenchmarkPickSplit(b *testing.B) {
	res, ctx := benchResolver(b, 200), b.Context()
	split := &discovery.Split{Versions: []discovery.VersionWeight{{Version: "v0", Weight: 90}, {Version: "v1", Weight: 10}}}
	for _, key := range []string{"", "customer-17"} {
		b.Run("key="+key, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p, err := res.Pick(ctx, "restaurants", split, key)
				if err != nil {
					b.Fatal(err)
				}
				p.Done(discovery.Outcome{})
			}
		})
	}
}

// BenchmarkTransport is what a request costs beyond the one below it.
func BenchmarkTransport(b *testing.B) {
	res := benchResolver(b, 200)
	tr := discovery.NewTransport(says(200, "fine"), res, nil)
	for name, rt := range map[string]http.RoundTripper{"below": says(200, "fine"), "transport": tr} {
		b.Run(name, func(b *testing.B) {
			req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://restaurants/restaurants/203", nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				resp, err := rt.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		})
	}
}
