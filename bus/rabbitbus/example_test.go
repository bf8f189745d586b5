package rabbitbus_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/rabbitbus"
)

// Open fails when there is no broker; after it succeeded the connection comes back
// by itself.
func ExampleOpen() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b, err := rabbitbus.Open(ctx, "amqp://guest:guest@127.0.0.1:1/", &rabbitbus.Options{
		Bus: bus.Options{Source: "/orders"},
	})
	if errors.Is(err, syscall.ECONNREFUSED) {
		fmt.Println("no broker there")
		return
	}
	defer b.Shutdown(ctx) //nolint:errcheck // ends the example
	fmt.Println(b.Durability())
	// Output: no broker there
}
