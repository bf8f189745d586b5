package redisadapter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// route has what comes to the front go to the client in force.
type route struct{ c *Client }

func (r route) DialHook(next redis.DialHook) redis.DialHook { return next }

func (r route) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return r.c.run(ctx, func(client *redis.Client) error { return client.Process(ctx, cmd) })
	}
}

// ProcessPipelineHook is given transactions too, between their MULTI and EXEC,
// which the other client's pipeline adds again.
func (r route) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		pipeline := (*redis.Client).Pipeline
		inner := cmds
		if n := len(cmds); n >= 2 && cmds[0].Name() == "multi" && cmds[n-1].Name() == "exec" {
			pipeline, inner = (*redis.Client).TxPipeline, cmds[1:n-1]
		}
		err := r.c.run(ctx, func(client *redis.Client) error {
			p := pipeline(client)
			if err := p.BatchProcess(ctx, inner...); err != nil {
				return err
			}
			_, err := p.Exec(ctx)
			return err
		})
		if errors.Is(err, ErrNoConfig) || errors.Is(err, redis.ErrClosed) {
			for _, cmd := range inner {
				cmd.SetErr(err)
			}
		}
		return err
	}
}

// attempts bounds how many changes of the configuration one command follows.
const attempts = 10

// run has something done by the client in force, and again when it never got there
// and there is another configuration by now.
func (c *Client) run(ctx context.Context, do func(*redis.Client) error) error {
	for range attempts {
		g, err := c.acquire()
		if err != nil {
			return err
		}
		err = do(g.client)
		g.leave()
		if err == nil || !unsent(err) || !c.changed(ctx, g) {
			return err
		}
	}
	return errChanging
}

var errChanging = errors.New("redisadapter: the configuration changes all the time")

// unsent reports whether an error says that nothing was done.
func unsent(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	var said redis.Error
	return errors.As(err, &said) && (strings.HasPrefix(said.Error(), "WRONGPASS") || strings.HasPrefix(said.Error(), "NOAUTH"))
}

// changed asks whether there is another configuration than that of g.
func (c *Client) changed(ctx context.Context, g *generation) bool {
	if c.current.Load() != g {
		return true
	}
	if c.opts.Recheck == nil || ctx.Err() != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(g.config.ConnectTimeout))
	defer cancel()
	_ = c.opts.Recheck(ctx) // what counts is what came of it
	return c.current.Load() != g
}

// Do sends a command.
func (c *Client) Do(ctx context.Context, args ...any) *redis.Cmd { return c.front.Do(ctx, args...) }

// Process sends a command.
func (c *Client) Process(ctx context.Context, cmd redis.Cmder) error {
	return c.front.Process(ctx, cmd)
}

// Watch runs a transaction, which ends at the place where it began.
func (c *Client) Watch(ctx context.Context, fn func(*redis.Tx) error, keys ...string) error {
	g, err := c.acquire()
	if err != nil {
		return err
	}
	defer g.leave()
	return g.client.Watch(ctx, fn, keys...)
}

// AddHook adds a hook to the client of this configuration and of all later ones.
// Subscriptions have none.
func (c *Client) AddHook(h redis.Hook) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hooks = append(c.hooks, h)
	if g := c.current.Load(); g != nil {
		g.client.AddHook(h)
	}
}

// PoolStats returns those of the configuration in force.
func (c *Client) PoolStats() *redis.PoolStats {
	if g := c.current.Load(); g != nil {
		return g.client.PoolStats()
	}
	return &redis.PoolStats{}
}

var errNoAutoPipeline = fmt.Errorf("redisadapter: automatic pipelines don't follow a configuration: %w", errors.ErrUnsupported)

// AutoPipeline returns an error that wraps [errors.ErrUnsupported].
func (c *Client) AutoPipeline() (*redis.AutoPipeliner, error) { return nil, errNoAutoPipeline }

// AutoPipelineWithOptions is like AutoPipeline.
func (c *Client) AutoPipelineWithOptions(*redis.AutoPipelineOptions) (*redis.AutoPipeliner, error) {
	return nil, errNoAutoPipeline
}

// AsyncAutoPipeline is like AutoPipeline.
func (c *Client) AsyncAutoPipeline() (*redis.AutoPipeliner, error) { return nil, errNoAutoPipeline }

// AsyncAutoPipelineWithOptions is like AutoPipeline.
func (c *Client) AsyncAutoPipelineWithOptions(*redis.AutoPipelineOptions) (*redis.AutoPipeliner, error) {
	return nil, errNoAutoPipeline
}
