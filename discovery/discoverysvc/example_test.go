package discoverysvc_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/discoverysvc"
	"github.com/goswale/swale/discovery/memdiscovery"
)

// A process registers through the service, and another one finds it there.
func Example() {
	ctx := context.Background()
	d := memdiscovery.NewStore().Driver(nil)
	server, err := discoverysvc.New(d, &discoverysvc.Options{Authorise: discoverysvc.AllowAll})
	if err != nil {
		fmt.Println(err)
		return
	}
	web := httptest.NewServer(server)

	here := discovery.New(discoverysvc.Dial(web.URL, nil), nil)
	_, err = here.Register(ctx, discovery.Instance{
		Service: "orders", ID: "a", Version: "v1",
		Endpoints: []discovery.Endpoint{{Scheme: "http", Address: "10.0.0.7:8080"}},
	}, nil)
	fmt.Println(err)
	there := discovery.New(discoverysvc.Dial(web.URL, nil), nil)
	found, err := there.List(ctx, "orders")
	fmt.Println(found[0].ID, found[0].Endpoint("http"), err)

	_ = here.Shutdown(ctx)
	_ = there.Shutdown(ctx)
	_ = server.Close(ctx)
	web.Close()
	_ = d.Close(ctx)
	// Output:
	// <nil>
	// a 10.0.0.7:8080 <nil>
}
