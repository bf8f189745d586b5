package discovery_test

import (
	"testing"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/driver"
	"github.com/goswale/swale/discovery/memdiscovery"
)

// FuzzRecord puts anything into the store: it is an instance that names itself
// and could be called, or it is ignored.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"statement":{"service":"restaurants","id":"a","endpoints":[{"scheme":"http","address":"x:1"}]}}`))
	f.Add([]byte(`{"statement":{"service":"restaurants","id":"a","health":"fine","endpoints":[{"scheme":"http","address":"x/y"}]},"proof":"k:x"}`))
	f.Add([]byte(`{"statement":null}`))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, value []byte) {
		store := memdiscovery.NewStore()
		key := driver.Key{Kind: driver.Instances, Service: "restaurants", ID: "a"}
		d := store.Driver(nil)
		for _, kind := range []driver.Kind{driver.Instances, driver.Marks} {
			key.Kind = kind
			if err := d.Put(t.Context(), driver.Record{Key: key, Owner: "o", Value: value, TTL: 1 << 40}); err != nil {
				t.Fatal(err)
			}
		}
		r := store.Connect(nil)
		defer func() { _ = r.Shutdown(t.Context()) }()
		all, err := r.List(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range all {
			if err := i.Validate(); err != nil || i.ID != "a" || i.Service != "restaurants" || i.Health == "" {
				t.Errorf("%q made an instance that nobody can use: %+v, %v", value, i, err)
			}
		}
		key.Kind = driver.Instances
		for _, key := range []driver.Key{key, {Kind: driver.Marks, Service: key.Service, ID: key.ID}} {
			_ = d.Delete(t.Context(), key, "")
		}
	})
}

// FuzzOrigins asks for the service of any URL.
func FuzzOrigins(f *testing.F) {
	f.Add("https://api.example/orders/9")
	f.Add("http://restaurants//")
	f.Add("http://[::1]/x")
	f.Fuzz(func(t *testing.T, target string) {
		r := memdiscovery.New(nil)
		defer func() { _ = r.Shutdown(t.Context()) }()
		res := discovery.NewResolver(r, nil)
		defer func() { _ = res.Shutdown(t.Context()) }()
		tr := discovery.NewTransport(says(204, ""), res, &discovery.TransportOptions{
			Strict: true, Origins: map[string]string{"https://api.example/orders": "orders"},
		})
		req, err := newRequest(target)
		if err != nil {
			return
		}
		if got := roundTrip(tr, req); got.err == nil {
			t.Errorf("nobody is registered, so nothing can be answered: %s by %d", target, got.status)
		}
	})
}
