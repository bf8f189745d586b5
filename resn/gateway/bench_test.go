package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn/gateway"
)

// BenchmarkThrough has one publisher push over HTTP, and one subscriber get
// everything in batches over HTTP: events a second, in and out.
func BenchmarkThrough(b *testing.B) {
	callback := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer callback.Close()
	bus := membus.New(nil)
	g, err := gateway.Open(b.Context(), bus, &gateway.MemoryStore{}, &gateway.Options{RootToken: root, Callbacks: gateway.CallbackOptions{
		AllowHTTP: true, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}})
	if err != nil {
		b.Fatal(err)
	}
	door := httptest.NewServer(g)
	defer door.Close()
	call(g, root, "POST", "/api_tokens", `{"name":"owner","token":"owner-token"}`)
	call(g, root, "POST", "/api_tokens", `{"name":"reader","token":"reader-token"}`)
	call(g, "reader-token", "POST", "/subscription", `{"topics":["widgets"],"callback":"`+callback.URL+`","timeout":20}`)
	n := 0
	for b.Loop() {
		n++
		req, _ := http.NewRequest("POST", door.URL+"/topics/widgets", strings.NewReader(fmt.Sprintf(`{"type":"update","url":"https://api.example/widgets/%d"}`, n)))
		req.SetBasicAuth("owner-token", "x")
		resp, err := door.Client().Do(req)
		if err != nil {
			b.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	for g.Stats().Delivered != uint64(n) {
		<-time.After(time.Millisecond)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(n)/float64(g.Stats().Batches), "events/batch")
	_ = g.Shutdown(b.Context())
	_ = bus.Shutdown(b.Context())
}
