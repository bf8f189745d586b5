package redislimit_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/goswale/swale/discovery/redislimit"
	"github.com/goswale/swale/discovery/rules/throttle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect opens the Redis of the environment; keys begin with the prefix.
func connect(t *testing.T) (client *redis.Client, prefix string) {
	t.Helper()
	url := os.Getenv("SWALE_TEST_REDIS")
	if url == "" {
		if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") == "1" {
			t.Fatal("SWALE_TEST_REDIS is not set, but SWALE_TEST_REQUIRE_SERVERS is")
		}
		t.Skip("SWALE_TEST_REDIS is not set: this test needs a Redis, for example redis://127.0.0.1:6379/0")
	}
	ro, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	ro.ContextTimeoutEnabled = true
	client, prefix = redis.NewClient(ro), "swale-test:"+rand.Text()+":"
	t.Cleanup(func() {
		ctx := context.Background()
		if keys, err := client.Keys(ctx, prefix+"*").Result(); err == nil && len(keys) > 0 {
			client.Del(ctx, keys...)
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client, prefix
}

func open(client *redis.Client, prefix string) *redislimit.Limiter {
	return redislimit.New(client, &redislimit.Options{Prefix: prefix, Timeout: 5 * time.Second}) // the machine may be busy
}

// Any number of processes pass together what one bucket has.
func TestProcessesShareABucket(t *testing.T) {
	client, prefix := connect(t)
	var passed atomic.Int64
	var group sync.WaitGroup
	for range 4 {
		l := open(client, prefix)
		group.Go(func() {
			for range 25 {
				v, err := l.Take(t.Context(), "k", throttle.Limit{Rate: 0.001, Burst: 20})
				if err != nil {
					t.Error(err)
				}
				if v.OK {
					passed.Add(1)
				} else if v.Retry <= 0 {
					t.Error("who is refused is told when to come again")
				}
			}
			if s := l.Stats(); s.Asked != 25 || s.FellBack != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
	group.Wait()
	if n := passed.Load(); n != 20 {
		t.Errorf("the bucket has 20 tokens, and %d requests passed", n)
	}
	if v, err := open(client, prefix).Take(t.Context(), "other", throttle.Limit{Rate: 0.001, Burst: 20}); err != nil || !v.OK {
		t.Errorf("another key has a bucket of its own: %+v, %v", v, err)
	}
}

func TestRefills(t *testing.T) {
	client, prefix := connect(t)
	l := open(client, prefix)
	limit := throttle.Limit{Rate: 20, Burst: 1}
	took, passed := time.Now(), 0
	for passed < 5 {
		v, err := l.Take(t.Context(), "k", limit)
		if err != nil {
			t.Fatal(err)
		}
		if v.OK {
			passed++
			continue
		}
		<-time.After(v.Retry)
	}
	if d := time.Since(took); d < 4*50*time.Millisecond {
		t.Errorf("a token takes 50 ms, and four came within %v", d)
	}
}

func TestBucketsExpire(t *testing.T) {
	client, prefix := connect(t)
	l := open(client, prefix)
	if _, err := l.Take(t.Context(), "k", throttle.Limit{Rate: 0.01, Burst: 3}); err != nil {
		t.Fatal(err)
	}
	left, err := client.PTTL(t.Context(), prefix+"k").Result()
	if err != nil || left <= 0 || left > 101*time.Second {
		t.Errorf("a bucket that is full in 100 s is kept for %v: %v", left, err)
	}
}

// deaf accepts connections, counts them, and says nothing.
func deaf(t *testing.T) (address string, called *atomic.Int64) {
	t.Helper()
	called = new(atomic.Int64)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			called.Add(1)
			t.Cleanup(func() { conn.Close() })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		group.Wait()
	})
	return ln.Addr().String(), called
}

func TestFallsBack(t *testing.T) {
	address, called := deaf(t)
	client := redis.NewClient(&redis.Options{Addr: address, MaxRetries: -1, ContextTimeoutEnabled: true})
	defer func() { _ = client.Close() }()
	l := redislimit.New(client, &redislimit.Options{Timeout: 20 * time.Millisecond, Pause: time.Hour})
	passed := 0
	for range 50 {
		v, err := l.Take(t.Context(), "k", throttle.Limit{Rate: 0.001, Burst: 7})
		if err != nil {
			t.Fatal(err)
		}
		if v.OK {
			passed++
		}
	}
	if s := l.Stats(); passed != 7 || s.FellBack != 50 || s.Asked != 0 {
		t.Errorf("the fallback has 7 tokens, %d passed: %+v", passed, s)
	}
	if n := called.Load(); n > 2 {
		t.Errorf("for a pause Redis is left alone, and it was called %d times", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	fresh := redislimit.New(client, nil)
	if _, err := fresh.Take(ctx, "k", throttle.Limit{Rate: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that gave up is no failure of Redis: %v", err)
	}
	if fresh.Stats().FellBack != 0 {
		t.Error("and nothing falls back")
	}
}

func Example() {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	defer func() { _ = client.Close() }()
	shared := redislimit.New(client, nil) // nobody listens there, so the fallback counts
	for range 2 {
		v, err := shared.Take(context.Background(), "orders 192.0.2.1", throttle.Limit{Rate: 1, Burst: 1})
		fmt.Println(v.OK, err)
	}
	fmt.Println(shared.Stats().FellBack)
	// Output:
	// true <nil>
	// false <nil>
	// 2
}
