package configsvc

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/goswale/swale/bus"
)

// listen subscribes to notices, once for all watchers. Where the bus isn't
// there, polling finds changes, and every poll tries again.
func (c *Client) listen(ctx context.Context) {
	c.mu.Lock()
	if c.opts.Bus == nil || c.closed || c.sub != nil || c.joining {
		c.mu.Unlock()
		return
	}
	c.joining = true
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	sub, err := c.opts.Bus.Broadcast(ctx, c.opts.Topic, bus.BroadcastHandler{Event: c.noticed, State: c.heard}, nil)
	c.mu.Lock()
	c.joining = false
	closed := c.closed
	if err == nil && !closed {
		c.sub = sub
	}
	c.mu.Unlock()
	switch {
	case err != nil:
		c.opts.Logger.WarnContext(ctx, "config: no notices for now, changes are found by polling", "error", err)
	case closed:
		_ = sub.Close(context.WithoutCancel(ctx)) // it was never used
	}
}

// noticed wakes the watchers that a notice concerns. A notice never says what
// changed, so it can't be wrong about it.
func (c *Client) noticed(e bus.Event) {
	if !strings.HasPrefix(e.Type, "resn.") || e.Type == "resn.watermark" {
		return
	}
	rollout := strings.Contains(e.Subject, "/keys/_rollouts/")
	c.wake(func(f *feed) bool {
		return rollout || slices.ContainsFunc(f.keys, func(key string) bool { return strings.HasSuffix(e.Subject, "/keys/"+key) })
	})
}

// heard wakes everybody when notices may have been missed.
func (c *Client) heard(s bus.State) {
	if s.Kind == bus.Resumed {
		c.wake(func(*feed) bool { return true })
	}
}

func (c *Client) wake(concerns func(*feed) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for f := range c.feeds {
		if concerns(f) {
			f.poke()
		}
	}
}
