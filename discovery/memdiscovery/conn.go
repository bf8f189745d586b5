package memdiscovery

import (
	"context"
	"errors"
	"time"

	"github.com/goswale/swale/discovery/driver"
)

// conn is one connection, the driver of one registry.
type conn struct {
	store     *Store
	authorise func(Op, driver.Record) error
}

// Info implements [driver.Driver].
func (c *conn) Info() driver.Info {
	return driver.Info{Name: "memory", MinTTL: time.Millisecond, Authorises: "Options.Authorise of the connection is asked before each write"}
}

func (c *conn) allowed(op Op, r driver.Record) error {
	if c.authorise == nil {
		return nil
	}
	if err := c.authorise(op, r); err != nil {
		return errors.Join(driver.ErrDenied, err)
	}
	return nil
}

// Put implements [driver.Driver].
func (c *conn) Put(ctx context.Context, r driver.Record) error {
	if err := c.allowed(Put, r); err != nil {
		return err
	}
	s := c.store
	if err := s.use(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	old := s.records[r.Key]
	if old != nil && !old.record.OwnedBy(r.Owner) {
		return driver.ErrTaken
	}
	if old != nil {
		old.lease.Stop()
	}
	h := &held{record: r}
	s.records[r.Key] = h
	s.lease(h)
	s.tell(change{key: r.Key, record: &h.record})
	return nil
}

// Renew implements [driver.Driver].
func (c *conn) Renew(ctx context.Context, key driver.Key, owner string) error {
	if err := c.allowed(Renew, driver.Record{Key: key, Owner: owner}); err != nil {
		return err
	}
	s := c.store
	if err := s.use(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	h := s.records[key]
	if h == nil || !h.record.OwnedBy(owner) {
		return driver.ErrGone
	}
	s.lease(h)
	return nil
}

// Delete implements [driver.Driver].
func (c *conn) Delete(ctx context.Context, key driver.Key, owner string) error {
	if err := c.allowed(Delete, driver.Record{Key: key, Owner: owner}); err != nil {
		return err
	}
	s := c.store
	if err := s.use(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	h := s.records[key]
	if h == nil || owner != "" && !h.record.OwnedBy(owner) {
		return nil
	}
	h.lease.Stop()
	delete(s.records, key)
	s.tell(change{key: key})
	return nil
}

// List implements [driver.Driver].
func (c *conn) List(ctx context.Context, service string) ([]driver.Record, error) {
	if err := c.store.use(ctx); err != nil {
		return nil, err
	}
	defer c.store.mu.Unlock()
	return c.store.snapshot(service), nil
}

// heartbeat is how often a quiet watch says that it is current.
const heartbeat = 5 * time.Second

// Watch implements [driver.Driver].
func (c *conn) Watch(ctx context.Context, service string, sink driver.Sink) error {
	s := c.store
	if err := s.use(ctx); err != nil {
		return err
	}
	w := &watch{service: service, wake: make(chan struct{}, 1)}
	s.watches[w] = struct{}{}
	records := s.snapshot(service)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watches, w)
	}()
	sink.Reset(records)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-beat.C:
			sink.Current()
			continue
		case <-w.wake:
		}
		s.mu.Lock()
		queue, over := w.queue, w.over
		w.queue = nil
		s.mu.Unlock()
		if over {
			return driver.ErrLost
		}
		for _, ch := range queue {
			if ch.record != nil {
				sink.Put(*ch.record)
			} else {
				sink.Delete(ch.key)
			}
		}
	}
}

// Close implements [driver.Driver].
func (c *conn) Close(context.Context) error { return nil }
