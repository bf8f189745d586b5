package discovery_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/memdiscovery"
)

func ExampleRegistry_Register() {
	ctx := context.Background()
	r := memdiscovery.New(nil)
	defer func() { _ = r.Shutdown(ctx) }()
	reg, err := r.Register(ctx, discovery.Instance{
		Service: "restaurants", Version: "1.4.0", ID: "r1",
		Endpoints: []discovery.Endpoint{{Scheme: "http", Address: "10.0.0.7:8080"}},
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	all, err := r.List(ctx, "restaurants")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(all[0].ID, all[0].Version, all[0].Endpoint("http"), all[0].Health)
	if err := reg.Deregister(ctx); err != nil {
		log.Fatal(err)
	}
	all, err = r.List(ctx, "restaurants")
	fmt.Println(len(all), err)
	// Output:
	// r1 1.4.0 10.0.0.7:8080 serving
	// 0 <nil>
}

func ExampleNewTransport() {
	ctx := context.Background()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		fmt.Fprintln(w, "restaurant 203, asked for at", req.Host)
	}))
	defer server.Close()

	r := memdiscovery.New(nil)
	defer func() { _ = r.Shutdown(ctx) }()
	_, err := r.Register(ctx, discovery.Instance{
		Service:   "restaurants",
		Endpoints: []discovery.Endpoint{{Scheme: "http", Address: server.Listener.Addr().String()}},
	}, nil)
	if err != nil {
		log.Fatal(err)
	}

	resolver := discovery.NewResolver(r, &discovery.ResolverOptions{Zone: "eu-west-1a"})
	defer func() { _ = resolver.Shutdown(ctx) }()
	client := &http.Client{Transport: discovery.NewTransport(nil, resolver, nil)}
	defer client.CloseIdleConnections()

	resp, err := client.Get("http://restaurants/restaurants/203")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	fmt.Print(string(body), err)
	// Output:
	// restaurant 203, asked for at restaurants
	// <nil>
}
