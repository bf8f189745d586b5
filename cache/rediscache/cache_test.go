package rediscache_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goswale/swale/cache"
	"github.com/goswale/swale/cache/rediscache"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ cache.Backing = (*rediscache.Cache)(nil)

// server is the Redis of the environment, of which this run of a test looks at
// nothing but what is under its own prefix.
type server struct {
	*redis.Client
	prefix string
}

// kept returns the keys under the prefix.
func (s server) kept(t *testing.T) ([]string, error) {
	t.Helper()
	return s.Keys(t.Context(), s.prefix+"*").Result()
}

// open connects to the Redis of the environment, under a prefix of its own.
func open(t *testing.T, opts rediscache.Options) (*rediscache.Cache, server) {
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
	client := redis.NewClient(ro)
	opts.Prefix = "swale-test:" + rand.Text() + ":"
	opts.Timeout = 5 * time.Second // the machine may be busy
	c, err := rediscache.Open(url, &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background()
		if keys, err := client.Keys(ctx, opts.Prefix+"*").Result(); err == nil && len(keys) > 0 {
			client.Del(ctx, keys...)
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, server{client, opts.Prefix}
}

func TestKeepsWhatItIsGiven(t *testing.T) {
	c, _ := open(t, rediscache.Options{})
	if v, ok := c.Get("a"); ok {
		t.Errorf("nothing was stored, and Get returned %q", v)
	}
	binary := []byte("\x00\xff\r\n$3\r\n")
	c.Set("a", binary)
	if v, ok := c.Get("a"); !ok || !bytes.Equal(v, binary) {
		t.Errorf("got %q, %v, want what was stored, byte for byte", v, ok)
	}
	c.Set("a", []byte("other"))
	if v, _ := c.Get("a"); string(v) != "other" {
		t.Errorf("got %q, want what was stored last", v)
	}
	c.Delete("a")
	c.Delete("a")
	if _, ok := c.Get("a"); ok {
		t.Error("a key that was deleted is still there")
	}
	want := rediscache.Stats{Gets: 4, Hits: 2, Sets: 2, Deletes: 2}
	if got := c.Stats(); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

func TestRedisForgetsByItself(t *testing.T) {
	for name, tc := range map[string]struct {
		ttl      time.Duration
		from, to time.Duration
	}{
		"default": {0, 23 * time.Hour, 24 * time.Hour},
		"set":     {time.Minute, 50 * time.Second, time.Minute},
		"never":   {-1, -1, -1}, // what Redis says for a key without
	} {
		t.Run(name, func(t *testing.T) {
			c, client := open(t, rediscache.Options{TTL: tc.ttl})
			c.Set("a", []byte("x"))
			keys, err := client.kept(t)
			if err != nil || len(keys) != 1 {
				t.Fatalf("keys under the prefix: %q, %v, want one", keys, err)
			}
			ttl, err := client.PTTL(t.Context(), keys[0]).Result()
			if err != nil || ttl < tc.from || ttl > tc.to {
				t.Errorf("Redis keeps it for %v (%v), want between %v and %v", ttl, err, tc.from, tc.to)
			}
		})
	}
}

func TestValueOverTheLimit(t *testing.T) {
	c, client := open(t, rediscache.Options{MaxValueBytes: 10})
	c.Set("a", []byte("0123456789"))
	if v, ok := c.Get("a"); !ok || len(v) != 10 {
		t.Errorf("a value of exactly the limit: got %q, %v", v, ok)
	}
	c.Set("a", []byte("0123456789-"))
	if v, ok := c.Get("a"); ok {
		t.Errorf("the value was replaced by one that is too large, and Get still returns %q", v)
	}
	c.Set("b", []byte("x"))
	keys, err := client.kept(t)
	if err != nil || len(keys) != 1 {
		t.Fatalf("keys under the prefix: %q, %v, want one", keys, err)
	}
	if err := client.Set(t.Context(), keys[0], strings.Repeat("y", 1000), 0).Err(); err != nil {
		t.Fatal(err)
	}
	if v, ok := c.Get("b"); ok {
		t.Errorf("somebody stored too much, and Get returned %d bytes of it", len(v))
	}
	if got := c.Stats().TooLarge; got != 2 {
		t.Errorf("counted %d values over the limit, want 2", got)
	}
}

func TestAnotherTypeIsAMiss(t *testing.T) {
	c, client := open(t, rediscache.Options{})
	c.Set("a", []byte("x"))
	keys, err := client.kept(t)
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	client.Del(t.Context(), keys[0])
	if err := client.LPush(t.Context(), keys[0], "list").Err(); err != nil {
		t.Fatal(err)
	}
	if v, ok := c.Get("a"); ok || c.Stats().Errors != 1 {
		t.Errorf("a list under the key: got %q, %v, %d errors", v, ok, c.Stats().Errors)
	}
}

// origin answers every question and counts them.
type origin struct {
	mu    sync.Mutex
	asked int
}

func (o *origin) RoundTrip(req *http.Request) (*http.Response, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked++
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Cache-Control": {"max-age=3600"}, "Date": {time.Now().UTC().Format(http.TimeFormat)}},
		ContentLength: 5, Body: io.NopCloser(strings.NewReader("hello")), Request: req,
	}, nil
}

func read(t *testing.T, rt http.RoundTripper) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example/restaurants/203", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestAnotherProcessFindsIt(t *testing.T) {
	second, client := open(t, rediscache.Options{})
	o := &origin{}
	first := cache.New(o, &cache.Options{Backing: second})
	read(t, first)
	// Nobody waits for the second level but Close.
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	other := cache.New(o, &cache.Options{Backing: second})
	if body := read(t, other); body != "hello" || o.asked != 1 {
		t.Errorf("another cache on this Redis: got %q after %d questions, want one", body, o.asked)
	}

	// Somebody else's bytes under our key are a miss, and not an error.
	keys, err := client.kept(t)
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	if err := client.Set(t.Context(), keys[0], "not a response", 0).Err(); err != nil {
		t.Fatal(err)
	}
	third := cache.New(o, &cache.Options{Backing: second})
	if body := read(t, third); body != "hello" || o.asked != 2 {
		t.Errorf("foreign bytes: got %q after %d questions, want two", body, o.asked)
	}
	for _, c := range []*cache.Transport{other, third} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestRedisThatIsAway(t *testing.T) {
	var log bytes.Buffer
	second, err := rediscache.Open("redis://127.0.0.1:1/0", &rediscache.Options{
		Pause: time.Hour, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	o := &origin{}
	c := cache.New(o, &cache.Options{Backing: second})
	defer func() { _ = c.Close() }()
	if body := read(t, c); body != "hello" {
		t.Errorf("Redis is away, and the reader got %q", body)
	}
	for range 100 {
		second.Get("a")
		second.Set("a", nil)
		second.Delete("a")
	}
	s := second.Stats()
	if s.Errors < 3 || s.Errors > 6 || s.Skipped < 290 {
		t.Errorf("after three failures in a row Redis should be left alone: %+v", s)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("logged %d warnings, want one when it began:\n%s", n, log.String())
	}
}

func TestRedisThatHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, conn) // and never answer
		}
	}()
	defer func() {
		_ = l.Close()
		<-done
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	second, err := rediscache.Open("redis://"+l.Addr().String()+"/0", &rediscache.Options{Timeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	began := time.Now()
	for range 100 {
		second.Get("a")
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("a Redis that hangs cost 100 reads %v", took)
	}
}

func TestRedisThatComesBack(t *testing.T) {
	var log bytes.Buffer
	c, client := open(t, rediscache.Options{Pause: time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	c.Set("a", []byte("x"))
	keys, err := client.kept(t)
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	// A command that fails is as good as a server that does.
	client.Del(t.Context(), keys[0])
	client.LPush(t.Context(), keys[0], "list")
	for c.Stats().Errors < 3 {
		c.Get("a")
	}
	client.Del(t.Context(), keys[0])
	for deadline := time.Now().Add(time.Minute); !strings.Contains(log.String(), "works again"); {
		if time.Now().After(deadline) {
			t.Fatalf("Redis works, and isn't asked any more:\n%s", log.String())
		}
		c.Set("a", []byte("y"))
	}
	if v, ok := c.Get("a"); !ok || string(v) != "y" {
		t.Errorf("got %q, %v", v, ok)
	}
}

func TestOpenRefusesWhatIsNoURL(t *testing.T) {
	if _, err := rediscache.Open("localhost:6379", nil); err == nil || !strings.HasPrefix(err.Error(), "rediscache: ") {
		t.Errorf("got %v", err)
	}
}
