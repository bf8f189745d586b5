package etcddiscovery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/goswale/swale/discovery/driver"
)

// List implements [driver.Driver].
func (c *conn) List(ctx context.Context, service string) ([]driver.Record, error) {
	records, _, err := c.list(ctx, service)
	return records, explain(ctx, err)
}

// list returns a service's records, and the store's revision at that moment.
func (c *conn) list(ctx context.Context, service string) ([]driver.Record, int64, error) {
	resp, err := c.client.Get(ctx, c.prefix(service), clientv3.WithPrefix())
	if err != nil {
		return nil, 0, err
	}
	records := make([]driver.Record, 0, len(resp.Kvs))
	for _, kv := range resp.Kvs {
		if r, ok := c.record(kv); ok {
			records = append(records, r)
		}
	}
	return records, resp.Header.Revision, nil
}

// record reads a record; ok is false for what isn't ours.
func (c *conn) record(kv *mvccpb.KeyValue) (r driver.Record, ok bool) {
	key, err := c.key(string(kv.Key))
	if err != nil {
		return r, false
	}
	r, err = driver.Unmarshal(key, kv.Value)
	return r, err == nil
}

// Watch implements [driver.Driver].
func (c *conn) Watch(ctx context.Context, service string, sink driver.Sink) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	bound, done := context.WithTimeout(ctx, 2*c.opts.Heartbeat)
	records, rev, err := c.list(bound, service)
	done()
	if err != nil {
		return explain(ctx, err)
	}
	// A member without a leader ends the watch instead of falling silent.
	inner := clientv3.WithRequireLeader(ctx)
	changes := c.client.Watch(inner, c.prefix(service), clientv3.WithPrefix(), clientv3.WithRev(rev+1))
	sink.Reset(records)
	return c.follow(inner, changes, sink)
}

// follow hands on changes until the watch breaks.
func (c *conn) follow(ctx context.Context, changes clientv3.WatchChan, sink driver.Sink) error {
	beat := time.NewTicker(c.opts.Heartbeat)
	defer beat.Stop()
	heard := time.Now()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-beat.C:
			if silence := now.Sub(heard); silence > 2*c.opts.Heartbeat+c.opts.Heartbeat/2 {
				return fmt.Errorf("etcddiscovery: %w: nothing heard for %v", driver.ErrLost, silence.Round(time.Millisecond))
			}
			if err := c.ask(ctx); err != nil {
				return errors.Join(driver.ErrLost, explain(ctx, err))
			}
		case resp, open := <-changes:
			if err := resp.Err(); err != nil || !open {
				return errors.Join(driver.ErrLost, ctx.Err(), explain(ctx, err))
			}
			heard = time.Now()
			for _, e := range resp.Events {
				c.hand(e, sink)
			}
			if resp.IsProgressNotify() {
				sink.Current()
			}
		}
	}
}

// ask asks the server for a sign of life. Without a connection the client doesn't
// take the question, which is no error: the silence will tell.
func (c *conn) ask(ctx context.Context) error {
	bound, cancel := context.WithTimeout(ctx, c.opts.Heartbeat/2)
	defer cancel()
	if err := c.client.RequestProgress(bound); err != nil && bound.Err() == nil {
		return err
	}
	return nil
}

// hand hands on one event.
func (c *conn) hand(e *clientv3.Event, sink driver.Sink) {
	if e.Type == clientv3.EventTypePut {
		if r, ok := c.record(e.Kv); ok {
			sink.Put(r)
			return
		}
	}
	if key, err := c.key(string(e.Kv.Key)); err == nil {
		sink.Delete(key)
	}
}
