package sqladapter

import (
	"context"
	"database/sql/driver"
	"fmt"
	"net"
	"sync"
	"time"
)

// generation is the connections of one configuration.
type generation struct {
	number    int
	config    Config
	connector driver.Connector
	since     time.Time
	end       *time.Timer // cuts it; nil while it is the current one, or for good

	mu      sync.Mutex
	open    int // connections of the driver
	sockets map[*socket]bool
	isCut   bool
}

// socket is a connection that its generation can cut.
type socket struct {
	net.Conn
	of *generation
}

// Close closes it and has the generation forget it.
func (s *socket) Close() error {
	s.of.mu.Lock()
	delete(s.of.sockets, s)
	s.of.mu.Unlock()
	return s.Conn.Close()
}

func (g *generation) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	s := &socket{c, g}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isCut {
		_ = c.Close()
		return nil, fmt.Errorf("the database's address is another one by now: %w", net.ErrClosed)
	}
	g.sockets[s] = true
	return s, nil
}

// cut closes whatever is open, also under a statement that runs: a socket may be
// closed while it is used, a driver's connection may not.
func (g *generation) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.isCut = true
	for s := range g.sockets {
		_ = s.Conn.Close()
	}
}

// cutAfter cuts in that time, or sooner if that is said already.
func (g *generation) cutAfter(drain time.Duration) {
	switch {
	case drain <= 0:
		g.cut()
	case g.end == nil:
		g.end = time.AfterFunc(drain, g.cut)
	}
}

// connect opens a connection, in the time that the configuration gives.
func (g *generation) connect(ctx context.Context) (driver.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(g.config.ConnectTimeout))
	defer cancel()
	c, err := g.connector.Connect(ctx)
	if err != nil {
		return nil, g.config.Password.Hide(err)
	}
	return c, nil
}

func (g *generation) count(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open += n
}

func (g *generation) inUse() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}
