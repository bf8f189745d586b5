package redisadapter_test

import (
	"context"
	"fmt"

	"github.com/goswale/swale/service/redisadapter"
)

// Who watches a larger configuration gives the client its part of it.
func ExampleNew() {
	ctx := context.Background()
	c := redisadapter.New(nil)
	defer func() { _ = c.Close() }()
	fmt.Println(c.Ping(ctx).Err())
	fmt.Println(c.Try(ctx, redisadapter.Config{URL: "redis://:hunter2@cache.example"}))
	// Output:
	// redisadapter: there is no configuration of the Redis yet
	// url has a password in it; put it into password, as a secret
}
