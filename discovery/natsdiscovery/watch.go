package natsdiscovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/goswale/swale/discovery/driver"
)

// filter are the bucket's keys of a service, or of all.
func filter(service string) string {
	if service == "" {
		return ">"
	}
	return "*." + service + ".*"
}

// watching is one Watch or List under way.
type watching struct {
	bucket  *bucket
	watcher jetstream.KeyWatcher
	cancel  context.CancelFunc
	ends    map[driver.Key]time.Time // when leases end, if the server doesn't end them
}

// watch begins to read a service's records.
func (c *conn) watch(ctx context.Context, service string) (*watching, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b := c.current()
	if _, err := b.stream.Info(ctx); err != nil {
		// The server may have come back without its files.
		if b, err = c.open(ctx); err != nil {
			return nil, err
		}
	}
	inner, cancel := context.WithCancel(ctx)
	watcher, err := b.kv.Watch(inner, filter(service))
	if err != nil {
		cancel()
		return nil, err
	}
	return &watching{bucket: b, watcher: watcher, cancel: cancel, ends: make(map[driver.Key]time.Time)}, nil
}

// stop ends the subscription and waits until it has.
func (w *watching) stop() {
	w.cancel()
	_ = w.watcher.Stop()
	for range w.watcher.Updates() { // closed when the subscription is
	}
}

// entry reads one of the bucket's messages; ok is false for what isn't ours.
func (w *watching) entry(e jetstream.KeyValueEntry) (r driver.Record, alive, ok bool) {
	parts := strings.Split(e.Key(), ".")
	if len(parts) != 3 {
		return r, false, false
	}
	key, err := driver.ParseKey(parts[0], parts[1], parts[2])
	if err != nil {
		return r, false, false
	}
	r.Key = key
	delete(w.ends, key)
	if e.Operation() != jetstream.KeyValuePut {
		return r, false, true
	}
	full, err := driver.Unmarshal(key, e.Value())
	if err != nil {
		return r, false, true
	}
	left := w.bucket.left(full, e.Created())
	if left <= 0 {
		return r, false, true
	}
	if !w.bucket.ends {
		w.ends[key] = time.Now().Add(left)
	}
	return full, true, true
}

// initial reads the records that are there when it begins.
func (w *watching) initial(ctx context.Context) (map[driver.Key]driver.Record, error) {
	records := make(map[driver.Key]driver.Record)
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case e, open := <-w.watcher.Updates():
			if !open {
				return nil, driver.ErrLost
			}
			if e == nil {
				return records, nil
			}
			r, alive, ok := w.entry(e)
			if ok && alive {
				records[r.Key] = r
			} else if ok {
				delete(records, r.Key)
			}
		}
	}
}

// List implements [driver.Driver].
func (c *conn) List(ctx context.Context, service string) ([]driver.Record, error) {
	w, err := c.watch(ctx, service)
	if err != nil {
		return nil, c.explain(ctx, driver.Key{}, err)
	}
	defer w.stop()
	records, err := w.initial(ctx)
	if err != nil {
		return nil, c.explain(ctx, driver.Key{}, err)
	}
	return values(records), nil
}

func values(records map[driver.Key]driver.Record) []driver.Record {
	all := make([]driver.Record, 0, len(records))
	for _, r := range records {
		all = append(all, r)
	}
	return all
}

// Watch implements [driver.Driver].
func (c *conn) Watch(ctx context.Context, service string, sink driver.Sink) error {
	// Before the subscription begins, so that no disconnect is missed.
	status := c.nc.StatusChanged(nats.DISCONNECTED, nats.RECONNECTING, nats.CLOSED)
	defer c.nc.RemoveStatusListener(status)
	w, err := c.watch(ctx, service)
	if err != nil {
		return c.explain(ctx, driver.Key{}, err)
	}
	defer w.stop()
	first, cancel := context.WithTimeout(ctx, 2*c.opts.Heartbeat)
	records, err := w.initial(first)
	cancel()
	if err != nil {
		return c.explain(ctx, driver.Key{}, err)
	}
	sink.Reset(values(records))
	err = c.follow(ctx, w, sink, status)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// follow hands on changes until the watch breaks.
func (c *conn) follow(ctx context.Context, w *watching, sink driver.Sink, status <-chan nats.Status) error {
	beat := time.NewTicker(c.opts.Heartbeat)
	defer beat.Stop()
	var expiry <-chan time.Time
	if !w.bucket.ends {
		ticker := time.NewTicker(250 * time.Millisecond)
		defer ticker.Stop()
		expiry = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s := <-status:
			return fmt.Errorf("natsdiscovery: %w: the connection is %s", driver.ErrLost, strings.ToLower(s.String()))
		case now := <-expiry:
			w.expire(now, sink)
		case <-beat.C:
			if err := c.answers(ctx); err != nil {
				return err
			}
			sink.Current()
		case e, open := <-w.watcher.Updates():
			if !open {
				return fmt.Errorf("natsdiscovery: %w: the subscription ended", driver.ErrLost)
			}
			if e == nil {
				continue
			}
			if r, alive, ok := w.entry(e); ok && alive {
				sink.Put(r)
			} else if ok {
				sink.Delete(r.Key)
			}
		}
	}
}

// expire ends leases that an old server doesn't end.
func (w *watching) expire(now time.Time, sink driver.Sink) {
	for key, end := range w.ends {
		if !now.Before(end) {
			delete(w.ends, key)
			sink.Delete(key)
		}
	}
}

// answers asks the server for a sign of life.
func (c *conn) answers(ctx context.Context) error {
	bound, cancel := context.WithTimeout(ctx, c.opts.Heartbeat)
	defer cancel()
	if err := c.nc.FlushWithContext(bound); err != nil {
		return errors.Join(driver.ErrLost, fmt.Errorf("natsdiscovery: the server doesn't answer: %w", err))
	}
	return nil
}
