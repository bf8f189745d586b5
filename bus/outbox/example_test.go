package outbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/bus/outbox"
)

func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	dir, err := os.MkdirTemp("", "outbox")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sql.Open("sqlite", filepath.Join(dir, "orders.db")+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(ctx, `CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT)`); err != nil {
		log.Fatal(err)
	}

	b := membus.New(nil)
	heard := make(chan bus.Event, 1)
	if _, err := b.Broadcast(ctx, "orders", bus.BroadcastHandler{Event: func(e bus.Event) { heard <- e }}, nil); err != nil {
		log.Fatal(err)
	}

	box := outbox.New(db, outbox.SQLite, nil)
	if err := box.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	relay, done := outbox.NewRelay(box, b, nil), make(chan error)
	go func() { done <- relay.Run(ctx) }()

	place := func(id int, fail error) error {
		return box.InTx(ctx, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, `INSERT INTO orders (id, status) VALUES (?, 'placed')`, id); err != nil {
				return err
			}
			event := bus.Event{Source: "/orders", Type: "order.placed", Subject: fmt.Sprint("/orders/", id)}
			if err := box.Append(ctx, tx, "orders", event); err != nil {
				return err
			}
			return fail // rolls back order and event
		})
	}
	fmt.Println(place(1, nil))
	fmt.Println(place(2, fmt.Errorf("the card was refused")))
	fmt.Println(place(3, nil))
	for range 2 {
		e := <-heard
		fmt.Println(e.Type, e.Subject, e.Extension(outbox.ExtSequence))
	}

	cancel()
	fmt.Println(<-done)
	if err := b.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// <nil>
	// the card was refused
	// <nil>
	// order.placed /orders/1 00000000000000000001
	// order.placed /orders/3 00000000000000000002
	// <nil>
}
