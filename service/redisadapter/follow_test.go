package redisadapter_test

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/service/redisadapter"
)

// load has 50 goroutines send commands and pipelines until stop.
func load(t *testing.T, c *redisadapter.Client) (stop func(), done func() int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	var sent atomic.Int64
	for i := range 50 {
		workers.Go(func() {
			for ctx.Err() == nil {
				var said *redis.StringCmd
				echo := func(p redis.Pipeliner) error { said = p.Echo(t.Context(), "x"); return nil }
				var err error
				switch i % 3 {
				case 0:
					said = c.Echo(t.Context(), "x")
				case 1:
					_, err = c.Pipelined(t.Context(), echo)
				default:
					_, err = c.TxPipelined(t.Context(), echo)
				}
				if got := said.Val(); err == nil && said.Err() == nil && got != "x" {
					t.Errorf("the answer of a command is %q", got)
					return
				}
				err = cmp.Or(err, said.Err())
				if err != nil {
					t.Errorf("a command failed: %v", err)
					return
				}
				sent.Add(1)
			}
		})
	}
	t.Cleanup(workers.Wait)
	t.Cleanup(cancel)
	return func() { cancel(); workers.Wait() }, sent.Load
}

func more(t *testing.T, done func() int64, n int64) {
	t.Helper()
	until := done() + n
	eventually(t, "commands", func() bool { return done() >= until || t.Failed() })
}

func TestAPasswordIsRotatedUnderLoad(t *testing.T) {
	a := newAccount(t, "hunter1")
	p := newAddress(t, a)
	s := newSettings(t)
	const churn = `,"maxLifetime":"5ms"` // new connections all the time
	s.write(config(p, a, 0, "hunter1", churn))
	c := s.open(p)
	stop, done := load(t, c)
	more(t, done, 200)
	for _, password := range []string{"hunter2", "hunter3"} {
		s.write(config(p, a, 0, password, churn))
		eventually(t, "the report that it isn't valid yet", func() bool { return strings.Contains(s.running(), configsvc.ErrNotYet.Error()) })
		a.set(password)
		eventually(t, "the change", func() bool { return !strings.Contains(s.running(), "rejected") })
		more(t, done, 200)
	}
	stop()
}

func TestTheAddressMoves(t *testing.T) {
	a := newAccount(t, "hunter1")
	p, q := newAddress(t, a), newAddress(t, a)
	s := newSettings(t)
	s.write(config(p, a, 1, "hunter1", ""))
	c := s.open(p, q)
	key, channel := a.name+"-where", a.name+"-news"
	for database, name := range map[int]string{1: "first", 2: "second"} {
		opts := *a.admin.Options()
		opts.DB = database
		admin := redis.NewClient(&opts)
		if err := admin.Set(t.Context(), key, name, patience).Err(); err != nil {
			t.Fatal(err)
		}
		_ = admin.Close()
	}
	sub := c.Subscribe(t.Context(), channel)
	defer func() { _ = sub.Close() }()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop, done := load(t, c)
	more(t, done, 100)
	began, release, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- c.Watch(t.Context(), func(tx *redis.Tx) error {
			close(began)
			<-release
			if got, err := tx.Get(t.Context(), key).Result(); err != nil || got != "first" {
				t.Errorf("a transaction ends where it began: %q, %v", got, err)
			}
			return nil
		}, key)
	}()
	<-began
	s.write(config(q, a, 2, "hunter1", ""))
	eventually(t, "the other place", func() bool {
		got, err := c.Get(t.Context(), key).Result()
		return err == nil && got == "second"
	})
	more(t, done, 100)
	stop()
	if p.open() == 0 {
		t.Error("the transaction has lost its connection")
	}
	close(release)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	eventually(t, "the old place to be left, by the subscription too", func() bool { return p.open() == 0 })
	heard := sub.Channel()
	eventually(t, "a message at the new place", func() bool {
		a.admin.Publish(t.Context(), channel, "x")
		select {
		case m := <-heard:
			return m.Payload == "x"
		default:
			return false
		}
	})
}

func TestWhatStillRunsAtTheOldPlaceIsCut(t *testing.T) {
	for _, drain := range []string{"0s", "50ms"} {
		t.Run(drain, func(t *testing.T) {
			a := newAccount(t, "hunter1")
			p, q := newAddress(t, a), newAddress(t, a)
			s := newSettings(t)
			s.write(config(p, a, 1, "hunter1", ""))
			c := s.open(p, q)
			failed := make(chan error, 1)
			go func() { failed <- c.BLPop(t.Context(), 0, a.name+"-nothing").Err() }()
			eventually(t, "the command to be on its way", func() bool { return p.open() > 0 })
			s.write(config(q, a, 1, "hunter1", `,"drain":"`+drain+`"`))
			if err := <-failed; err == nil {
				t.Error("there was nothing to be had")
			}
			eventually(t, "the old place to be left", func() bool { return p.open() == 0 })
			if err := c.Check(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWhatCantBeUsedIsRejectedAndTheGoodOneStays(t *testing.T) {
	a := newAccount(t, "hunter1")
	p, gone := newAddress(t, a), newAddress(t, a)
	gone.close(true)
	s := newSettings(t)
	s.write(config(p, a, 0, "hunter1", ""))
	c := s.open(p, gone)
	for _, bad := range []struct{ what, text, why string }{
		{"removed", "", "/url is required"},
		{"no server there", config(gone, a, 0, "hunter1", ""), configsvc.ErrNotYet.Error()},
		{"not the password", config(p, a, 0, "hunter9", ""), "WRONGPASS"},
		{"not a URL", `{"url":"127.0.0.1:6379"}`, "url is not the URL of a Redis"},
		{"a password in it", `{"url":"redis://orders:hunter1@127.0.0.1:6379"}`, "put it into password"},
		{"no number", config(p, a, 0, "hunter1", `,"poolSize":0`), "/poolSize must be at least 1"},
	} {
		s.write(bad.text)
		if err := c.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), bad.why) || strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", bad.what, err)
		}
		eventually(t, bad.what+" to be reported", func() bool { return strings.Contains(s.running(), bad.why) })
		if err := c.Check(t.Context()); err != nil {
			t.Errorf("%s: the good one stays: %v", bad.what, err)
		}
	}
	s.write(config(p, a, 0, "hunter1", `,"poolSize":3`))
	if err := c.Refresh(t.Context()); err != nil {
		t.Errorf("a good one: %v", err)
	}
}

func TestWithoutAConfiguration(t *testing.T) {
	c := redisadapter.New(nil)
	pipelined := func(p redis.Pipeliner) error { p.Ping(t.Context()); return nil }
	cmds, err := c.Pipelined(t.Context(), pipelined)
	if !errors.Is(err, redisadapter.ErrNoConfig) || len(cmds) != 1 || !errors.Is(cmds[0].Err(), redisadapter.ErrNoConfig) {
		t.Errorf("a pipeline: %v, %v", err, cmds)
	}
	for what, err := range map[string]error{
		"a command":     c.Check(t.Context()),
		"a transaction": c.Watch(t.Context(), func(*redis.Tx) error { return nil }),
		"Do":            c.Do(t.Context(), "PING").Err(),
	} {
		if !errors.Is(err, redisadapter.ErrNoConfig) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := c.AutoPipeline(); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	if err := c.Refresh(t.Context()); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Use(redisadapter.Config{URL: "redis://h"}); !errors.Is(err, redis.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
