package natsconfig_test

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/bus/natsbus/embedded"
	"github.com/goswale/swale/configsvc/driver"
	"github.com/goswale/swale/configsvc/natsconfig"
)

func Example() {
	ctx := context.Background()
	server, err := embedded.Start(ctx, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Shutdown()
	nc, err := nats.Connect(server.URL())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()

	d, err := natsconfig.Open(ctx, nc, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = d.Close() }()
	c, err := d.Commit(ctx, driver.Commit{Author: "ada", Message: "begin", Time: time.Now(), Edits: []driver.Edit{
		{Key: "base", Value: []byte(`{"pool":5}`), Expect: driver.Absent},
	}})
	fmt.Println(c.Revision, err)
	// Output: 1 <nil>
}
