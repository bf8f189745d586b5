package rabbitbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/driver"
)

// conn is the driver. Publishing and consuming have a connection each, so that a
// broker that holds up publishers doesn't hold up acks.
type conn struct {
	opts  Options
	names names
	log   *slog.Logger
	out   *link
	in    *link
	pub   *publisher
	calls *caller
	held  held

	joining chan struct{} // held while a server of this process joins its group

	mu      sync.Mutex
	streams map[string]*stream // declared here, by queue
}

// Open connects to a broker by its URL, amqp://user:password@host:5672/vhost or
// amqps://. For a cluster url holds one for each node, separated by commas; each
// attempt to connect goes to the next one. Open fails when no node can be reached
// within ctx; later the connections come back by themselves.
func Open(ctx context.Context, url string, opts *Options) (*bus.Bus, error) {
	c, err := open(ctx, url, opts)
	if err != nil {
		return nil, fmt.Errorf("rabbitbus: %w", err)
	}
	return bus.New(c, &c.opts.Bus), nil
}

func open(ctx context.Context, url string, opts *Options) (*conn, error) {
	c := &conn{joining: make(chan struct{}, 1)}
	if opts != nil {
		c.opts = *opts
	}
	c.opts.fill()
	c.names = names{c.opts.Prefix}
	c.log = c.opts.Bus.Logger
	urls := addresses(url)
	var turn atomic.Uint64
	connect := func(ctx context.Context) (connection, error) {
		var errs error
		for range urls {
			url := urls[int(turn.Add(1)-1)%len(urls)]
			conn, err := dial(ctx, url, c.opts.TLS, c.opts.Heartbeat, c.opts.Name)
			if err == nil {
				return conn, nil
			}
			errs = errors.Join(errs, fmt.Errorf("connect to %s: %w", redacted(url), err))
		}
		return nil, errs
	}
	return c, c.start(ctx, connect)
}

// redacted is a URL without its password, and without the name: a log needs
// neither.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "a URL that isn't such as amqp://name:password@127.0.0.1:5672/"
	}
	u.User = nil
	return u.String()
}

// addresses splits a list of URLs. A comma is part of a URL unless another begins
// behind it: passwords have them.
func addresses(list string) (urls []string) {
	for from, at := 0, 0; ; {
		comma := strings.IndexByte(list[at:], ',')
		if comma < 0 {
			return append(urls, list[from:])
		}
		at += comma + 1
		if rest := list[at:]; strings.HasPrefix(rest, "amqp://") || strings.HasPrefix(rest, "amqps://") {
			urls = append(urls, list[from:at-1])
			from = at
		}
	}
}

// start connects and declares the exchanges.
func (c *conn) start(ctx context.Context, connect func(context.Context) (connection, error)) error {
	var err error
	if c.out, err = newLink(ctx, c.log, connect); err != nil {
		return err
	}
	if c.in, err = newLink(ctx, c.log, connect); err != nil {
		return errors.Join(err, c.out.close(ctx))
	}
	c.pub = newPublisher(c)
	c.calls = newCaller(c)
	err = c.do(ctx, c.in, func(ch channel) error { return c.declareExchanges(ch) })
	if err != nil {
		return errors.Join(err, c.Close(ctx))
	}
	return nil
}

func (c *conn) declareExchanges(ch channel) error {
	if err := ch.ExchangeDeclare(c.names.events(), "topic", true, false, false, false, nil); err != nil {
		return err
	}
	return ch.ExchangeDeclare(c.names.requests(), "direct", true, false, false, false, nil)
}

// do calls fn with a channel of its own, and returns when ctx ends even if the
// broker doesn't answer.
func (c *conn) do(ctx context.Context, l *link, fn func(channel) error) error {
	done := make(chan error, 1)
	l.wg.Go(func() {
		ch, _, err := l.channel(ctx)
		if err == nil {
			err = fn(ch)
			_ = ch.Close() // an error above closed it already
		}
		done <- err
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Info implements driver.Driver.
func (c *conn) Info() driver.Info {
	return driver.Info{
		Name:            "rabbitmq",
		Durability:      driver.Durability{Level: driver.Synced, Replicas: c.opts.Replicas},
		MaxPayload:      c.opts.MaxPayload,
		ExclusiveGroups: true,
	}
}

// Close implements driver.Driver.
func (c *conn) Close(ctx context.Context) error {
	c.mu.Lock()
	for _, s := range c.streams {
		if s.latest != nil {
			s.latest.end()
			defer s.latest.wait()
		}
	}
	c.mu.Unlock()
	c.calls.end()
	c.pub.end()
	err := errors.Join(c.out.close(ctx), c.in.close(ctx))
	c.pub.wg.Wait()
	c.calls.wg.Wait()
	return err
}
