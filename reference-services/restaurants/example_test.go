package restaurants_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/hal/haltest"
	"github.com/goswale/swale/reference-services/restaurants"
)

func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	dir, err := os.MkdirTemp("", "restaurants")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := restaurants.OpenDB(filepath.Join(dir, "restaurants.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	b := membus.New(nil)

	const base = "http://restaurants.example"
	s, err := restaurants.New(ctx, db, b, &restaurants.Options{BaseURL: base})
	if err != nil {
		log.Fatal(err)
	}
	relayed := make(chan error)
	go func() { relayed <- s.Run(ctx) }()

	// A client that needs no network, because the handler is in the same process.
	client := hal.NewClient(&hal.ClientOptions{HTTP: &http.Client{Transport: haltest.Serve(s.Handler())}})
	root, err := hal.Get[hal.Any](ctx, client, base+"/")
	if err != nil {
		log.Fatal(err)
	}
	all, err := hal.Follow[hal.Any](ctx, client, root, "restaurants")
	if err != nil {
		log.Fatal(err)
	}
	made, err := hal.Submit[restaurants.Restaurant](ctx, client, all, "default", map[string]any{
		"name": "Alder", "location": map[string]any{"lat": 40.71, "lon": -74.0},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(made.Value.Name, "is", made.Value.Status)
	closed := made.Value
	closed.Status = restaurants.StatusClosed
	after, err := hal.Put(ctx, client, made, closed)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("now", after.Value.Status)

	cancel()
	if err := <-relayed; err != nil {
		log.Fatal(err)
	}
	if err := b.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// Alder is open
	// now closed
}
