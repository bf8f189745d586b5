package redisadapter

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/redis/go-redis/v9"
)

// socket is the connection of a subscription, which is closed to have it made anew.
type socket struct {
	net.Conn
	of *Client
}

// Close closes it and has the client forget it.
func (s *socket) Close() error {
	s.of.mu.Lock()
	delete(s.of.subscriptions, s)
	s.of.mu.Unlock()
	return s.Conn.Close()
}

// dial connects a subscription to the place in force. One that the place changes
// under is closed at once, and made anew by whoever reads from it.
func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	g := c.current.Load()
	if g == nil {
		return nil, ErrNoConfig
	}
	ctx, cancel := context.WithTimeout(ctx, g.opts.DialTimeout)
	defer cancel()
	dialer := &net.Dialer{}
	var conn net.Conn
	var err error
	if g.opts.TLSConfig != nil {
		conn, err = (&tls.Dialer{NetDialer: dialer, Config: g.opts.TLSConfig}).DialContext(ctx, g.opts.Network, g.opts.Addr)
	} else {
		conn, err = dialer.DialContext(ctx, g.opts.Network, g.opts.Addr)
	}
	if err != nil {
		return nil, err
	}
	s := &socket{conn, c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.current.Load(); c.closed || !now.config.samePlace(g.config) {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	c.subscriptions[s] = true
	return s, nil
}

// credentials are those in force.
func (c *Client) credentials(context.Context) (user, password string, err error) {
	g := c.current.Load()
	if g == nil {
		return "", "", ErrNoConfig
	}
	return g.opts.Username, g.opts.Password, nil
}

// Subscribe subscribes at the place in force, and at each later one anew: what is
// published between the two is missed, as with any reconnect of a redis.PubSub.
func (c *Client) Subscribe(ctx context.Context, channels ...string) *redis.PubSub {
	return c.front.Subscribe(ctx, channels...)
}

// PSubscribe is Subscribe by patterns.
func (c *Client) PSubscribe(ctx context.Context, patterns ...string) *redis.PubSub {
	return c.front.PSubscribe(ctx, patterns...)
}

// SSubscribe is Subscribe to shard channels.
func (c *Client) SSubscribe(ctx context.Context, channels ...string) *redis.PubSub {
	return c.front.SSubscribe(ctx, channels...)
}
