package natsbus_test

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/natsbus"
)

// patience bounds a wait for what must happen in the end, also on a machine that
// has much else to do.
const patience = 2 * time.Minute

// record is what a broadcast or group saw, in order: ids of events and states.
type record struct {
	mu      sync.Mutex
	lines   []string
	changed chan struct{}
}

func (r *record) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

func (r *record) handler() bus.BroadcastHandler {
	return bus.BroadcastHandler{
		Event: func(e bus.Event) { r.add(e.ID) },
		State: func(s bus.State) {
			s.Reason = nil
			r.add(s.String())
		},
	}
}

// until waits until the lines satisfy the condition.
func (r *record) until(t *testing.T, what string, ok func(lines []string) bool) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		r.mu.Lock()
		lines := append([]string(nil), r.lines...)
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed := r.changed
		r.mu.Unlock()
		if ok(lines) {
			return lines
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%s: saw %d lines, last %q", what, len(lines), lines[max(0, len(lines)-5):])
		}
	}
}

func has(line string) func([]string) bool {
	return func(lines []string) bool { return slices.Contains(lines, line) }
}

// events counts the different events among the lines.
func events(lines []string) int {
	seen := make(map[string]bool)
	for _, l := range lines {
		if _, err := strconv.Atoi(l); err == nil {
			seen[l] = true
		}
	}
	return len(seen)
}

// whole checks that the numbers 0 to n-1 were seen in order; repeats are allowed
// when the publisher had to send again.
func whole(t *testing.T, lines []string, n int) {
	t.Helper()
	next := 0
	for _, l := range lines {
		i, err := strconv.Atoi(l)
		if err != nil {
			continue
		}
		if i > next {
			t.Fatalf("event %d was seen before %d: nothing may be missed or overtaken", i, next)
		}
		if i == next {
			next++
		}
	}
	if next < n {
		t.Fatalf("only events before %d of %d were seen", next, n)
	}
}

func event(i int) bus.Event {
	return bus.Event{ID: strconv.Itoa(i), Type: "t", Subject: "key" + strconv.Itoa(i%3)}
}

// unhurried is the test's context with a deadline, without which a server has 5 s
// for each answer and 10 s to start.
func unhurried(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func openBus(t *testing.T, url string, opts *natsbus.Options) *bus.Bus {
	t.Helper()
	b, err := natsbus.Open(unhurried(t), url, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return b
}

// publishAll publishes the events one by one, for as long as it takes.
func publishAll(t *testing.T, b *bus.Bus, topic string, from, to int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i := from; i < to; i++ {
		if err := b.Publish(ctx, topic, event(i)); err != nil {
			t.Errorf("a broker that comes back within the publisher's patience costs time, not events: event %d: %v", i, err)
			return
		}
	}
}

// proxy stands between a bus and the server and can misbehave.
type proxy struct {
	l      net.Listener
	target string

	mu    sync.Mutex
	conns map[net.Conn]bool
	cut   bool          // refuse and close
	mute  bool          // keep open, pass nothing on
	still chan struct{} // open while nothing is read
	wg    sync.WaitGroup
}

func startProxy(t *testing.T, url string) *proxy {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, target: strings.TrimPrefix(url, "nats://"), conns: make(map[net.Conn]bool)}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.stall(false)
		p.set(true, false)
		p.wg.Wait()
	})
	return p
}

func (p *proxy) url() string { return "nats://" + p.l.Addr().String() }

func (p *proxy) set(cut, mute bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut, p.mute = cut, mute
	if cut {
		for c := range p.conns {
			_ = c.Close()
		}
	}
}

// stall stops reading, so that the peers' buffers fill.
func (p *proxy) stall(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if on {
		p.still = make(chan struct{})
	} else if p.still != nil {
		close(p.still)
		p.still = nil
	}
}

func (p *proxy) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	var d net.Dialer
	s, err := d.DialContext(context.Background(), "tcp", p.target)
	if err != nil {
		return
	}
	defer func() { _ = s.Close() }()
	p.mu.Lock()
	if p.cut {
		p.mu.Unlock()
		return
	}
	p.conns[c], p.conns[s] = true, true
	p.mu.Unlock()
	var wg sync.WaitGroup
	pass := func(to, from net.Conn) {
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			p.mu.Lock()
			mute, still := p.mute, p.still
			p.mu.Unlock()
			if still != nil {
				<-still
			}
			if err != nil {
				break
			}
			if mute {
				continue
			}
			if _, err := to.Write(buf[:n]); err != nil {
				break
			}
		}
		_ = to.Close()
		_ = from.Close()
	}
	wg.Go(func() { pass(s, c) })
	wg.Go(func() { pass(c, s) })
	wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	delete(p.conns, s)
}
