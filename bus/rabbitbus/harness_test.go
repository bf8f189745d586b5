package rabbitbus

import (
	"context"
	"crypto/rand"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"github.com/goswale/swale/bus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serverURL is the broker's, or the test is skipped aloud.
func serverURL(t testing.TB) string {
	t.Helper()
	u := os.Getenv("SWALE_TEST_RABBITMQ")
	if u != "" {
		return u
	}
	const why = "SWALE_TEST_RABBITMQ is not set: nothing was proven against a RabbitMQ server"
	if os.Getenv("SWALE_TEST_REQUIRE_SERVERS") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
	return ""
}

// unhurried are heartbeats for tests of other things: a connection outlives it when
// this process stands still for a while, as on a machine that has much else to do.
const unhurried = 30 * time.Second

// space is a prefix of a test's own, whose exchanges and queues are deleted at
// its end.
type space struct {
	url, prefix string

	mu     sync.Mutex
	queues map[string]struct{}
}

func newSpace(t testing.TB) *space {
	t.Helper()
	return newSpaceAt(t, serverURL(t))
}

// newSpaceAt is newSpace on another broker.
func newSpaceAt(t testing.TB, url string) *space {
	t.Helper()
	s := &space{url: url, prefix: "swaletest-" + strings.ToLower(rand.Text()[:10]), queues: make(map[string]struct{})}
	t.Cleanup(func() {
		raw, err := amqp.Dial(s.url)
		if err != nil {
			t.Errorf("clean up: %v", err)
			return
		}
		defer raw.Close() //nolint:errcheck // ends the clean-up
		ch, err := raw.Channel()
		if err != nil {
			t.Errorf("clean up: %v", err)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for q := range s.queues {
			if _, err := ch.QueueDelete(q, false, false, false); err != nil {
				t.Errorf("clean up queue %s: %v", q, err)
			}
		}
		for _, x := range []string{s.prefix + ".events", s.prefix + ".requests"} {
			if err := ch.ExchangeDelete(x, false, false); err != nil {
				t.Errorf("clean up exchange %s: %v", x, err)
			}
		}
	})
	return s
}

// note remembers a group's queue for the clean-up.
func (s *space) note(queue string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queues[queue] = struct{}{}
}

// open connects a bus, through another address if one is given.
func (s *space) open(t testing.TB, opts Options, via string) *bus.Bus {
	t.Helper()
	b, _ := s.driver(t, opts, via)
	return b
}

func (s *space) driver(t testing.TB, opts Options, via string) (*bus.Bus, *conn) {
	t.Helper()
	opts.Prefix = s.prefix
	if opts.Heartbeat == 0 {
		opts.Heartbeat = unhurried
	}
	opts.declared = s.note
	u := s.url
	if via != "" {
		parsed, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		parsed.Host = via
		u = parsed.String()
	}
	c, err := open(t.Context(), u, &opts)
	if err != nil {
		t.Fatal(err)
	}
	return bus.New(c, &c.opts.Bus), c
}

// bus is open with a shutdown at the test's end.
func (s *space) bus(t testing.TB, opts Options, via string) *bus.Bus {
	t.Helper()
	b := s.open(t, opts, via)
	t.Cleanup(func() {
		if err := b.Shutdown(soon(t)); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return b
}

// enough bounds a wait for what must happen in the end, also on a machine that
// has much else to do.
const enough = 90 * time.Second

func soon(t testing.TB) context.Context {
	t.Helper()
	return within(t, enough)
}

// patient outlasts the start of a broker.
func patient(t testing.TB) context.Context {
	t.Helper()
	return within(t, 2*enough)
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), d)
	t.Cleanup(cancel)
	return ctx
}

// breathe waits between two attempts.
func breathe() { <-time.After(20 * time.Millisecond) }

// proxy is a TCP proxy whose connections a test may cut.
type proxy struct {
	l  net.Listener
	to string
	wg sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	shut  bool // refuses new connections
	mute  bool // swallows what the broker says
	still bool // swallows what both say
}

func newProxy(t testing.TB) *proxy {
	t.Helper()
	u, err := url.Parse(serverURL(t))
	if err != nil {
		t.Fatal(err)
	}
	host := u.Host
	if u.Port() == "" {
		host += ":5672"
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, to: host, conns: make(map[net.Conn]struct{})}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut(true)
		p.wg.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.l.Addr().String() }

func (p *proxy) accept() {
	for {
		in, err := p.l.Accept()
		if err != nil {
			return
		}
		out, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.to)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		if p.shut { // asked here, so that no connection slips past a cut
			p.mu.Unlock()
			_, _ = in.Close(), out.Close()
			continue
		}
		p.conns[in], p.conns[out] = struct{}{}, struct{}{}
		p.mu.Unlock()
		p.wg.Go(func() { p.copy(out, in, false) })
		p.wg.Go(func() { p.copy(in, out, true) })
	}
}

func (p *proxy) copy(to, from net.Conn, broker bool) {
	defer func() {
		_ = to.Close()
		_ = from.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		mute := p.mute && broker || p.still
		p.mu.Unlock()
		if mute {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// cut closes all connections; shut refuses new ones until cut(false).
func (p *proxy) cut(shut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = shut
	for c := range p.conns {
		_ = c.Close()
		delete(p.conns, c)
	}
}

func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut, p.mute, p.still = false, false, false
}

func (p *proxy) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = true
}

// freeze is as if the process at this side had been suspended.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.still = true
}
