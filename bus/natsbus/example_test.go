package natsbus_test

import (
	"context"
	"fmt"
	"log"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/natsbus"
	"github.com/goswale/swale/bus/natsbus/embedded"
)

func ExampleOpen() {
	ctx := context.Background()
	server, err := embedded.Start(ctx, &embedded.Options{NoListen: true})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Shutdown()
	b, err := natsbus.Open(ctx, server.URL(), &natsbus.Options{Conn: server.InProcess()})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = b.Shutdown(ctx) }()

	done := make(chan struct{})
	_, err = b.Broadcast(ctx, "restaurants", bus.BroadcastHandler{
		Event: func(e bus.Event) {
			fmt.Println(e.Type, e.Subject)
			close(done)
		},
		State: func(s bus.State) { fmt.Println(s) },
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := b.Publish(ctx, "restaurants", bus.Event{Type: "resn.update", Subject: "/restaurants/203"}); err != nil {
		log.Fatal(err)
	}
	<-done
	fmt.Println(b.Durability())
	// Output:
	// live
	// resn.update /restaurants/203
	// disk, not fsynced
}
