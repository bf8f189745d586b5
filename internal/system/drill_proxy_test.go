package system

import (
	"net"
	"sync"
	"testing"
)

// proxy is a TCP proxy in front of a broker, whose connections can be cut, or
// made to stand still without a word.
type proxy struct {
	target   string
	listener net.Listener
	work     sync.WaitGroup

	mu    sync.Mutex
	open  map[net.Conn]struct{}
	cut   bool
	going chan struct{} // closed while bytes pass
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{target: target, listener: ln, open: map[net.Conn]struct{}{}, going: make(chan struct{})}
	close(p.going)
	p.work.Go(p.accept)
	t.Cleanup(func() {
		_ = ln.Close()
		p.stall(false)
		p.sever(true)
		p.work.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", p.target)
		if err != nil || !p.keep(from, to) {
			_ = from.Close()
			if err == nil {
				_ = to.Close()
			}
			continue
		}
		p.work.Go(func() { p.pass(from, to) })
		p.work.Go(func() { p.pass(to, from) })
	}
}

// keep notes two connections, unless they are to be cut.
func (p *proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if !p.cut {
			p.open[c] = struct{}{}
		}
	}
	return !p.cut
}

func (p *proxy) pass(from, to net.Conn) {
	defer func() {
		_ = from.Close()
		_ = to.Close()
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		going := p.going
		p.mu.Unlock()
		<-going
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// sever cuts every connection, and lets no new one come about until it is healed.
func (p *proxy) sever(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = on
	if on {
		for c := range p.open {
			_ = c.Close()
		}
		clear(p.open)
	}
}

// stall lets nothing pass any more, and tells nobody.
func (p *proxy) stall(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.going:
		if on {
			p.going = make(chan struct{})
		}
	default:
		if !on {
			close(p.going)
		}
	}
}
