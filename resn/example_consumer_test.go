package resn_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"

	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

// A search index is filled from the collection and follows what changes.
func ExampleConsumer() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b := membus.New(nil)
	var dish atomic.Value
	dish.Store("dumplings")
	owner := httptest.NewServer(resn.Stamp("menus")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/menus":
			fmt.Fprint(w, `{"_links": {"item": [{"href": "/menus/1"}, {"href": "/menus/2"}]}}`)
		case "/menus/1":
			fmt.Fprintf(w, `{"dish": %q}`, dish.Load())
		default:
			fmt.Fprint(w, `{"dish": "soup"}`)
		}
	})))
	defer owner.Close()
	announce, err := resn.NewPublisher(b, "menus", nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	client, err := resn.NewClient(b, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	changed := make(chan string, 2)
	index := func(_ context.Context, c *resn.Change) error {
		if c.Gone {
			changed <- "remove " + c.Href
			return nil
		}
		changed <- strings.TrimPrefix(c.Href, owner.URL) + " " + string(c.Body)
		return nil
	}
	consumer, err := resn.NewConsumer(client, "menus", "search", index, &resn.ConsumerOptions{
		Collection: owner.URL + "/menus",
		Parallel:   1,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan error, 1)
	go func() { done <- consumer.Run(ctx) }()

	fmt.Println(<-changed)
	fmt.Println(<-changed)
	<-consumer.Filled()
	err = announce.Change(ctx, owner.URL+"/menus/1", func(context.Context) (string, string, error) {
		dish.Store("noodles")
		return resn.Update, "", nil
	})
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(<-changed)

	cancel()
	fmt.Println(<-done)
	ctx = context.Background()
	_ = announce.Close(ctx)
	_ = client.Close(ctx)
	_ = b.Shutdown(ctx)
	// Output:
	// /menus/1 {"dish": "dumplings"}
	// /menus/2 {"dish": "soup"}
	// /menus/1 {"dish": "noodles"}
	// <nil>
}
