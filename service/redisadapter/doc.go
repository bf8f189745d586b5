// Package redisadapter is a redis.UniversalClient of go-redis that follows its
// configuration: address, credentials, time-outs and the pool's size change while
// the program runs.
//
//	c, err := redisadapter.Open(ctx, client, configsvc.Layers("orders/redis", "eu-west-1", "live"), nil)
//	if err != nil {
//		return err
//	}
//	s.Defer("redis", func(context.Context) error { return c.Close() })
//	s.Check("redis", c.Check)
//	limits := redislimit.New(c, nil) // wherever a redis.UniversalClient is taken
//
// Shutdown is a command that ends the server, as with every client of go-redis.
//
// # What changes how
//
// With each change new commands, pipelines and transactions go through a new client;
// the one before is closed when the last of its own has ended, or, where the URL or
// the user is another one, after Config.Drain. Subscriptions then leave the old place
// at once and are made again at the new one; what is published between is missed.
//
// # What doesn't work
//
// A configuration that connects to nothing is rejected before it comes into force:
// the one before stays, the configuration service shows who rejects what and why,
// and it is tried again with every poll. When a connection can't be opened, the
// service is asked whether there is something newer, at most once a second, and a
// command that was never sent is sent once more by that.
//
// # Limits
//
// One server at a time, or what looks like one: no cluster, no sentinels. A password
// may be rotated as package sqladapter says; Redis takes two passwords of a user at
// a time, which is simplest.
package redisadapter
