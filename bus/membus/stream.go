package membus

import (
	"context"
	"io/fs"
	"slices"
	"time"

	"github.com/goswale/swale/bus/driver"
)

// stream is a topic for value objects; the broker's mutex guards it.
type stream struct {
	config    driver.StreamConfig
	log       []entry // oldest first
	bytes     int64
	listeners map[*listener]struct{}
}

type entry struct {
	m    driver.Message
	time time.Time
}

func (r *Broker) stream(name string) *stream {
	s := r.streams[name]
	if s == nil {
		s = &stream{listeners: make(map[*listener]struct{})}
		r.streams[name] = s
	}
	return s
}

// DeclareStream implements driver.Streamer.
func (c *conn) DeclareStream(_ context.Context, name string, config driver.StreamConfig) error {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	s := c.broker.stream(name)
	s.config = config
	s.trim()
	return nil
}

// PublishStream implements driver.Streamer.
func (c *conn) PublishStream(_ context.Context, name string, msgs []driver.Message, done func(int, error)) {
	c.send(msgs, done, func(m driver.Message) {
		s := c.broker.stream(name)
		s.log = append(s.log, entry{m: m, time: time.Now()})
		s.bytes += int64(m.Size())
		if n := 0; s.config.PerKey > 0 {
			for i, e := range slices.Backward(s.log) {
				if e.m.Key != m.Key {
					continue
				}
				if n++; n > s.config.PerKey {
					s.bytes -= int64(e.m.Size())
					s.log = slices.Delete(s.log, i, i+1)
					break
				}
			}
		}
		s.trim()
		for l := range s.listeners {
			l.push(m)
		}
	})
}

// trim drops the oldest until the bounds hold.
func (s *stream) trim() {
	c := &s.config
	for len(s.log) > 0 && (c.MaxEvents > 0 && int64(len(s.log)) > c.MaxEvents ||
		c.MaxBytes > 0 && s.bytes > c.MaxBytes || c.MaxAge > 0 && time.Since(s.log[0].time) >= c.MaxAge) {
		s.bytes -= int64(s.log[0].m.Size())
		s.log = s.log[1:]
	}
}

// BroadcastStream implements driver.Streamer.
func (c *conn) BroadcastStream(_ context.Context, name string, sink driver.Sink) (driver.Subscription, error) {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	s := c.broker.stream(name)
	l, err := c.listen(name, sink, func(l *listener) { delete(s.listeners, l) })
	if err != nil {
		return nil, err
	}
	s.listeners[l] = struct{}{}
	return l, nil
}

// Latest implements driver.Streamer.
func (c *conn) Latest(_ context.Context, name, key string) (driver.Message, error) {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	s := c.broker.stream(name)
	s.trim()
	for _, e := range slices.Backward(s.log) {
		if e.m.Key == key {
			return copyOf(e.m), nil
		}
	}
	return driver.Message{}, fs.ErrNotExist
}

// LatestAll implements driver.Streamer.
func (c *conn) LatestAll(ctx context.Context, name string, fn func(driver.Message) bool) error {
	c.broker.mu.Lock()
	s := c.broker.stream(name)
	s.trim()
	seen := make(map[string]bool)
	var all []driver.Message
	for _, e := range slices.Backward(s.log) {
		if !seen[e.m.Key] {
			seen[e.m.Key] = true
			all = append(all, copyOf(e.m))
		}
	}
	c.broker.mu.Unlock()
	for _, m := range slices.Backward(all) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !fn(m) {
			return nil
		}
	}
	return nil
}
