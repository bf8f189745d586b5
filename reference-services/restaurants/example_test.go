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
	made, err := s.Generate(ctx, 50, 1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("made", made.Created)

	// A client that needs no network, because the handler is in the same process.
	client := hal.NewClient(&hal.ClientOptions{HTTP: &http.Client{Transport: haltest.Serve(s.Handler())}})
	root, err := hal.Get[hal.Any](ctx, client, base+"/")
	if err != nil {
		log.Fatal(err)
	}
	page, err := hal.Follow[hal.Collection[hal.Any]](ctx, client, root, "restaurants", hal.V("size", 10))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(page.Value.Links.Item), "of", page.Value.Total)
	first, err := hal.Get[restaurants.Restaurant](ctx, client, page.Value.Links.Item[0].Href)
	if err != nil {
		log.Fatal(err)
	}
	closed := first.Value
	closed.Status = restaurants.StatusClosed
	after, err := hal.Put(ctx, client, first, closed)
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
	// made 50
	// 10 of 50
	// now closed
}
