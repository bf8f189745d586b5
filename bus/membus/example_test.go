package membus_test

import (
	"context"
	"fmt"
	"log"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
)

func ExampleNew() {
	ctx := context.Background()
	b := membus.New(nil)

	done := make(chan struct{})
	_, err := b.Group(ctx, "orders", "kitchen", func(_ context.Context, d *bus.Delivery) error {
		fmt.Println("cook", d.Event.Subject)
		close(done)
		return nil
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := b.Publish(ctx, "orders", bus.Event{Type: "order.placed", Subject: "/orders/9"}); err != nil {
		log.Fatal(err)
	}
	<-done
	if err := b.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: cook /orders/9
}

func ExampleBroker() {
	ctx := context.Background()
	broker := membus.NewBroker()
	here, there := broker.Connect(nil), broker.Connect(nil)

	_, err := there.Serve(ctx, "menus", "menus", func(_ context.Context, e bus.Event) (bus.Event, error) {
		return bus.Event{Type: "menu", Subject: e.Subject, Data: []byte(`["soup"]`)}, nil
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	menu, err := here.Request(ctx, "menus", bus.Event{Type: "menu.get", Subject: "/restaurants/203"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(menu.Subject, string(menu.Data))
	// Output: /restaurants/203 ["soup"]
}
