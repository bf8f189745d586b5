package embedded_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/goswale/swale/bus/natsbus/embedded"
)

func ExampleStart() {
	server, err := embedded.Start(context.Background(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Shutdown()
	fmt.Println(strings.HasPrefix(server.URL(), "nats://127.0.0.1:"))
	// Output: true
}
