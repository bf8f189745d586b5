package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
)

func ExampleEvent_MarshalJSON() {
	e := bus.Event{
		ID: "1", Source: "/restaurants", Type: "resn.update", Subject: "/restaurants/203",
		Time: time.Date(2026, 11, 21, 9, 25, 0, 0, time.UTC), Extensions: map[string]string{"sequence": "42"},
	}
	b, err := json.Marshal(e)
	fmt.Println(string(b), err)
	// Output: {"specversion":"1.0","id":"1","source":"/restaurants","type":"resn.update","subject":"/restaurants/203","time":"2026-11-21T09:25:00Z","sequence":"42"} <nil>
}

func ExampleBus_Group() {
	ctx := context.Background()
	b := membus.New(nil)
	done := make(chan struct{})
	_, err := b.Group(ctx, "orders", "kitchen", func(_ context.Context, d *bus.Delivery) error {
		fmt.Println("attempt", d.Attempt, "at", d.Event.Subject)
		if d.Attempt < 3 {
			return errors.New("the oven is cold")
		}
		close(done)
		return nil
	}, &bus.GroupOptions{Backoff: bus.Backoff{Min: time.Millisecond}})
	if err != nil {
		log.Fatal(err)
	}
	if err := b.Publish(ctx, "orders", bus.Event{Type: "order.placed", Subject: "/orders/9"}); err != nil {
		log.Fatal(err)
	}
	<-done
	fmt.Println(b.Shutdown(ctx))
	// Output:
	// attempt 1 at /orders/9
	// attempt 2 at /orders/9
	// attempt 3 at /orders/9
	// <nil>
}

func ExampleBus_Broadcast() {
	ctx := context.Background()
	b := membus.New(nil)
	done := make(chan struct{})
	_, err := b.Broadcast(ctx, "restaurants", bus.BroadcastHandler{
		State: func(s bus.State) { fmt.Println(s) },
		Event: func(e bus.Event) { fmt.Println(e.Subject); close(done) },
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := b.Publish(ctx, "restaurants", bus.Event{Type: "resn.update", Subject: "/restaurants/203"}); err != nil {
		log.Fatal(err)
	}
	<-done
	fmt.Println(b.Shutdown(ctx))
	// Output:
	// live
	// /restaurants/203
	// <nil>
}

func ExampleStream() {
	ctx := context.Background()
	b := membus.New(nil)
	positions, err := b.Stream(ctx, "positions", &bus.StreamOptions{MaxAge: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	for _, where := range []string{`[51.50,-0.12]`, `[51.51,-0.13]`} {
		if err := positions.Publish(ctx, bus.Event{Type: "rider.position", Subject: "/riders/7", Data: []byte(where)}); err != nil {
			log.Fatal(err)
		}
	}
	latest, err := positions.Latest(ctx, "/riders/7")
	fmt.Println(string(latest.Data), err)
	// Output: [51.51,-0.13] <nil>
}

func ExampleBus_Redrive() {
	ctx := context.Background()
	b := membus.New(nil)
	fixed := false
	handled := make(chan string, 1)
	_, err := b.Group(ctx, "orders", "kitchen", func(_ context.Context, d *bus.Delivery) error {
		if !fixed {
			return bus.Reject(errors.New("no recipe"))
		}
		handled <- d.Event.Subject
		return nil
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := b.Publish(ctx, "orders", bus.Event{Type: "order.placed", Subject: "/orders/9"}); err != nil {
		log.Fatal(err)
	}
	var dead []bus.DeadLetter
	for len(dead) == 0 {
		if dead, err = b.DeadLetters(ctx, "orders", "kitchen", 10); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(dead[0].Original.Subject, dead[0].Reason)
	fixed = true
	n, err := b.Redrive(ctx, "orders", "kitchen", nil)
	fmt.Println(n, err, <-handled)
	fmt.Println(b.Shutdown(ctx))
	// Output:
	// /orders/9 no recipe
	// 1 <nil> /orders/9
	// <nil>
}

func ExampleBus_Request() {
	ctx := context.Background()
	b := membus.New(nil)
	_, err := b.Request(ctx, "menus", bus.Event{Type: "menu.get"})
	fmt.Println(errors.Is(err, bus.ErrNoResponders))
	// Output: true
}

func ExampleBus_Ask() {
	ctx := context.Background()
	b := membus.New(nil)
	_, err := b.Questions(ctx, "clock", "clocks", func(q *bus.Question) {
		go q.Answer(append(q.Data, " o'clock"...)) // by whoever knows it, whenever
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	answer, err := b.Ask(ctx, "clock", []byte("nine"))
	fmt.Println(string(answer), err, b.Shutdown(ctx))
	// Output: nine o'clock <nil> <nil>
}
