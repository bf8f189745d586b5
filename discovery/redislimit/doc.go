// Package redislimit shares token buckets between processes through Redis.
//
//	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
//	shared := redislimit.New(client, nil)
//	verdict, err := shared.Take(ctx, "orders 192.0.2.1", throttle.Limit{Rate: 5, Burst: 10})
//
// A bucket is one key that holds when it will be full. One script reads and
// writes it by the server's clock, so the clocks of the processes don't
// matter.
//
// # When Redis is gone
//
// A call that Redis doesn't answer in time is counted by the fallback, in this
// process alone, and for a pause nobody waits for Redis. Stats says how often.
package redislimit
