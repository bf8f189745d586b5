package natsbus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// errApart says that a broadcast hears nothing that others publish.
var errApart = errors.New("the stream has no leader that answers: this server may be cut off from its cluster")

// A node that is cut off from its cluster goes on to send the heartbeats of the
// consumers that it has, as though nothing were published. So the leader of each
// stream that somebody follows is asked now and then, once for all who follow it.
const (
	leaderEvery    = 5 * time.Second
	leaderPatience = 5 * time.Second
	leaderFailures = 2 // in a row: to elect another takes a moment
)

// leaders asks until the connection is closed.
func (c *conn) leaders() {
	ctx, cancel := context.WithCancel(context.Background())
	c.wg.Go(func() { // whoever closes the connection doesn't wait for an answer
		<-c.stop
		cancel()
	})
	ticker := time.NewTicker(leaderEvery)
	defer ticker.Stop()
	failed := map[string]int{}
	for {
		select {
		case <-c.stop:
			return
		case <-ticker.C:
		}
		followed := c.followed()
		for stream := range failed {
			if followed[stream] == nil {
				delete(failed, stream)
			}
		}
		for stream, tails := range followed {
			if failed[stream]++; c.answers(ctx, stream) {
				failed[stream] = 0
			}
			if failed[stream] >= leaderFailures {
				for _, t := range tails {
					t.cutOff()
				}
			}
		}
	}
}

// followed returns the streams that broadcasts follow, and who follows them.
func (c *conn) followed() map[string][]*tail {
	streams := map[string][]*tail{}
	if !c.nc.IsConnected() {
		return streams // they know
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for f := range c.tails {
		if t, ok := f.(*tail); ok {
			streams[t.stream] = append(streams[t.stream], t)
		}
	}
	return streams
}

// answers reports whether the stream has a leader that can be reached.
func (c *conn) answers(ctx context.Context, stream string) bool {
	ctx, cancel := context.WithTimeout(ctx, leaderPatience)
	defer cancel()
	s, err := c.js.Stream(ctx, stream)
	return err == nil && led(s.CachedInfo())
}

// led reports whether the stream has a leader: one that has none is still told of
// by the nodes that keep it.
func led(info *jetstream.StreamInfo) bool { return info.Cluster == nil || info.Cluster.Leader != "" }

// cutOff has the tail say that it is lost, and begin again when it can.
func (t *tail) cutOff() {
	select {
	case t.apart <- struct{}{}:
	default:
	}
}
