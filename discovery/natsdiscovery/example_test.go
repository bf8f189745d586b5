package natsdiscovery_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/natsdiscovery"
)

func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "swale-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	server, err := serve(dir, 0) // a NATS server in the process
	if err != nil {
		log.Fatal(err)
	}
	defer stop(server)

	r, err := natsdiscovery.Open(ctx, server.ClientURL(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = r.Shutdown(ctx) }()
	if _, err := r.Register(ctx, discovery.Instance{
		Service: "restaurants", ID: "r1",
		Endpoints: []discovery.Endpoint{{Scheme: "http", Address: "10.0.0.7:8080"}},
	}, nil); err != nil {
		log.Fatal(err)
	}
	all, err := r.List(ctx, "restaurants")
	fmt.Println(len(all), all[0].Endpoint("http"), err)
	// Output: 1 10.0.0.7:8080 <nil>
}
