package rules_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/goswale/swale/discovery/rules"
)

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{10, 100, 10_000} {
		for _, kind := range []struct {
			name string
			set  *rules.Set
		}{{"paths", byPath(n)}, {"regions", byRegion(n)}} {
			e, err := rules.Compile(kind.set)
			if err != nil {
				b.Fatal(err)
			}
			r := &rules.Request{
				Method: http.MethodGet, Host: "api.example", Path: "/service-7/orders/9", Header: http.Header{"Accept": {"*/*"}},
				Attributes: map[string]string{"region": "city-7"},
			}
			if kind.name == "regions" {
				r.Path = "/v1/orders/9"
			}
			b.Run(fmt.Sprintf("%s/%d", kind.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					e.Decide(r)
				}
			})
		}
	}
}
