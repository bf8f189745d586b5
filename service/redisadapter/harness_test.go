package redisadapter_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/server/servertest"
	"github.com/goswale/swale/service/redisadapter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds a wait for what must happen in the end.
const patience = 2 * time.Minute

// eventually waits for what nothing announces.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatal("timed out waiting for " + what)
		}
	}
}

// word is in all passwords of the tests, and must be nowhere else.
const word = "hunter"

// account is a user of the real server.
type account struct {
	t     *testing.T
	admin *redis.Client
	name  string
}

func newAccount(t *testing.T, password string) *account {
	t.Helper()
	at := os.Getenv("SWALE_TEST_REDIS")
	if at == "" {
		const missing = "SWALE_TEST_REDIS is not set: needs the URL of a Redis"
		if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") != "" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	opts, err := redis.ParseURL(at)
	if err != nil {
		t.Fatal(err)
	}
	a := &account{t, redis.NewClient(opts), "t_" + strings.ToLower(rand.Text())}
	t.Cleanup(func() {
		if err := a.admin.Do(context.Background(), "ACL", "DELUSER", a.name).Err(); err != nil {
			t.Error(err)
		}
		_ = a.admin.Close()
	})
	a.set(password)
	return a
}

// set gives the user one password, and takes all others away.
func (a *account) set(password string) {
	a.t.Helper()
	if err := a.admin.Do(a.t.Context(), "ACL", "SETUSER", a.name, "on", "resetpass", ">"+password, "~*", "&*", "+@all").Err(); err != nil {
		a.t.Fatal(err)
	}
}

// address is a way to the server at an address of its own, which counts, and can be
// shut.
type address struct {
	listener net.Listener
	to       string
	work     sync.WaitGroup

	mu    sync.Mutex
	shut  bool
	conns map[net.Conn]bool
}

func newAddress(t *testing.T, a *account) *address {
	t.Helper()
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &address{listener: l, to: a.admin.Options().Addr, conns: map[net.Conn]bool{}}
	p.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.work.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.close(true)
		p.work.Wait()
	})
	return p
}

func (p *address) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	p.mu.Lock()
	if p.shut {
		p.mu.Unlock()
		return
	}
	p.conns[c] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, c)
	}()
	var dialer net.Dialer
	server, err := dialer.DialContext(context.Background(), "tcp", p.to)
	if err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(c, server)
		_ = c.Close()
	})
	_, _ = io.Copy(server, c)
	_ = server.Close()
	back.Wait()
}

func (p *address) close(shut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = shut
	if shut {
		for c := range p.conns {
			_ = c.Close()
		}
	}
}

func (p *address) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// settings is a configuration service and what reads it.
type settings struct {
	*servertest.Service
	t *testing.T
}

func newSettings(t *testing.T) *settings {
	t.Helper()
	s := &settings{servertest.Start(t), t}
	t.Cleanup(func() {
		if all := s.Log() + s.running(); strings.Contains(all, word) {
			t.Errorf("no log and no report tells a password: %s", all)
		}
	})
	return s
}

// write overwrites the configuration; "" deletes it.
func (s *settings) write(text string) {
	s.t.Helper()
	s.Write("base/orders/redis", text)
}

// running is what the service knows about who runs what.
func (s *settings) running() string {
	_, answer := s.Request("GET", "/instances", "")
	return answer
}

// config is a configuration of a database at an address.
func config(p *address, a *account, database int, password, more string) string {
	return fmt.Sprintf(`{"url":"redis://%s/%d","user":%q,"password":{"$secret":%q}%s}`, p.listener.Addr(), database, a.name, password, more)
}

// open opens the client. After the test nothing is connected to the addresses.
func (s *settings) open(addresses ...*address) *redisadapter.Client {
	s.t.Helper()
	watching := s.Client("trusted", func(o *configsvc.ClientOptions) {
		o.Service, o.Instance, o.Secrets = "orders", "orders-1", true
	})
	c, err := redisadapter.Open(s.t.Context(), watching, []string{"base/orders/redis"}, &redisadapter.Options{Logger: s.Logger()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			s.t.Error(err)
		}
		for _, p := range addresses {
			eventually(s.t, "all connections to be closed", func() bool { return p.open() == 0 })
		}
	})
	return c
}
