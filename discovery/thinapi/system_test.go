package thinapi_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/binding"
	"github.com/goswale/swale/discovery/memdiscovery"
	"github.com/goswale/swale/discovery/thinapi"
)

// counting answers for instances, and counts those of v2, which are at port 82.
type counting struct{ all, v2 atomic.Int64 }

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.all.Add(1)
	if strings.HasSuffix(r.URL.Host, ":82") {
		c.v2.Add(1)
	}
	return ok(), nil
}

// Door, bindings, resolver and transport together: a rule's shares come before
// a binding's, and both hold whatever the number of instances.
func TestHailoWeightsHoldAtTheDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := memdiscovery.New(nil)
		for i := range 10 {
			version, port := "v1", 81
			if i == 0 {
				version, port = "v2", 82
			}
			_, err := registry.Register(t.Context(), discovery.Instance{
				Service: "orders", Version: version, ID: fmt.Sprint("i", i),
				Endpoints: []discovery.Endpoint{{Scheme: "http", Address: fmt.Sprintf("10.0.0.%d:%d", i, port)}},
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
		}
		resolver := discovery.NewResolver(registry, &discovery.ResolverOptions{SlowStart: -1})
		table := binding.NewTable(binding.NewMemory(), nil)
		defer func() {
			ctx := context.Background()
			if err := errors.Join(table.Close(ctx), resolver.Shutdown(ctx), registry.Shutdown(ctx)); err != nil {
				t.Error(err)
			}
		}()
		_, err := table.Put(t.Context(), binding.Binding{
			Service: "orders", Shares: []binding.Share{{Version: "v2", Percent: 50}}, Rest: "v1", By: "attr:customer",
		}, binding.Change{Author: "ada"})
		if err != nil {
			t.Fatal(err)
		}
		next := &counting{}
		transport := discovery.NewTransport(next, resolver, &discovery.TransportOptions{Splitter: thinapi.Splitter(table)})
		h := open(t, transport, `{"rules": [
			{"id": "bound", "match": {"path": "/bound"}, "route": {"service": "orders"}},
			{"id": "ruled", "match": {"path": "/ruled"}, "route": {"service": "orders", "by": "attr:customer",
				"versions": [{"version": "v1", "weight": 90}, {"version": "v2", "weight": 10}]}}
		]}`, &thinapi.Options{Attributes: func(r *http.Request) map[string]string {
			return map[string]string{"customer": r.Header.Get("Customer")}
		}})
		synctest.Wait()
		for path, want := range map[string]float64{"/bound": 0.5, "/ruled": 0.1} {
			next.all.Store(0)
			next.v2.Store(0)
			const n = 20_000
			for i := range n {
				if got := ask(h, "GET", path, "", "Customer", fmt.Sprint("c", i)); got.status != http.StatusOK {
					t.Fatalf("%s: %d %s", path, got.status, got.body)
				}
			}
			if p := float64(next.v2.Load()) / n; math.Abs(p-want) > 0.01 {
				t.Errorf("%s: v2 got %.3f of the requests instead of %.1f, with one instance of ten", path, p, want)
			}
			next.v2.Store(0)
			for range 100 {
				ask(h, "GET", path, "", "Customer", "c7")
			}
			if v2 := next.v2.Load(); v2 != 0 && v2 != 100 {
				t.Errorf("%s: a customer went to both versions, %d of 100 to v2", path, v2)
			}
		}
	})
}
