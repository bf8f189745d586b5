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

// written is a record as this connection wrote it last, which saves asking for it
// before the next write.
type written struct {
	record driver.Record
	seq    uint64
	at     time.Time
}

// found is what the bucket has under a key.
type found struct {
	seq    uint64 // 0: nothing was ever there
	record driver.Record
	alive  bool
}

func subject(c *conn, key driver.Key) string {
	return "$KV." + c.opts.Bucket + "." + name(key)
}

// name is the key in the bucket.
func name(key driver.Key) string {
	return string(key.Kind) + "." + key.Service + "." + key.ID
}

// attempts is how often a write is tried when others write the same key.
const attempts = 5

// Put implements [driver.Driver].
func (c *conn) Put(ctx context.Context, r driver.Record) error {
	if r.TTL > c.opts.MaxTTL {
		return fmt.Errorf("natsdiscovery: a lease of %v is longer than Options.MaxTTL %v", r.TTL, c.opts.MaxTTL)
	}
	if last, ok := c.last(r.Key, r.Owner); ok {
		if err := c.write(ctx, r, last.seq); !conflict(err) {
			return c.explain(ctx, r.Key, err)
		}
	}
	return c.retry(ctx, r.Key, func(f found) error {
		if f.alive && !f.record.OwnedBy(r.Owner) {
			return driver.ErrTaken
		}
		return c.write(ctx, r, f.seq)
	})
}

// Renew implements [driver.Driver].
func (c *conn) Renew(ctx context.Context, key driver.Key, owner string) error {
	if last, ok := c.last(key, owner); ok {
		if err := c.write(ctx, last.record, last.seq); !conflict(err) {
			return c.explain(ctx, key, err)
		}
	}
	return c.retry(ctx, key, func(f found) error {
		if !f.alive || !f.record.OwnedBy(owner) {
			c.forget(key)
			return driver.ErrGone
		}
		return c.write(ctx, f.record, f.seq)
	})
}

// Delete implements [driver.Driver].
func (c *conn) Delete(ctx context.Context, key driver.Key, owner string) error {
	c.forget(key)
	return c.retry(ctx, key, func(f found) error {
		if !f.alive || owner != "" && !f.record.OwnedBy(owner) {
			return nil
		}
		opts := []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(f.seq)}
		if c.current().ends {
			opts = append(opts, jetstream.WithMsgTTL(time.Minute)) // or until MaxTTL
		}
		// Not kv.Purge: servers of 2.9 lose a rollup now and then on its way to
		// those who watch, and with a history of one it saves nothing.
		deleted := &nats.Msg{Subject: subject(c, key), Header: nats.Header{"KV-Operation": {"DEL"}}}
		_, err := c.js.PublishMsg(ctx, deleted, opts...)
		return err
	})
}

// last returns what this connection wrote last, if the owner is the same and the
// lease can't have ended since.
func (c *conn) last(key driver.Key, owner string) (written, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, ok := c.written[key]
	return w, ok && w.record.OwnedBy(owner) && time.Since(w.at) < w.record.TTL
}

func (c *conn) forget(key driver.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.written, key)
}

// write publishes a record if the key's last message is the one with the
// sequence number.
func (c *conn) write(ctx context.Context, r driver.Record, seq uint64) error {
	body, err := driver.Marshal(r)
	if err != nil {
		return err
	}
	opts := []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(seq)}
	if c.current().ends {
		// The server counts in seconds.
		opts = append(opts, jetstream.WithMsgTTL((r.TTL + time.Second - 1).Truncate(time.Second)))
	}
	at := time.Now() // before the server's time, so that we never think a lease longer than it is
	ack, err := c.js.PublishMsg(ctx, &nats.Msg{Subject: subject(c, r.Key), Header: nats.Header{}, Data: body}, opts...)
	if err != nil {
		c.forget(r.Key)
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written[r.Key] = written{r, ack.Sequence, at}
	return nil
}

// retry looks at what is there and writes, again if somebody else wrote between.
func (c *conn) retry(ctx context.Context, key driver.Key, write func(found) error) error {
	var err error
	for range attempts {
		var f found
		if f, err = c.find(ctx, key); err == nil {
			err = write(f)
		}
		if err == nil || !conflict(err) {
			break
		}
	}
	return c.explain(ctx, key, err)
}

// find returns what the bucket has under the key.
func (c *conn) find(ctx context.Context, key driver.Key) (found, error) {
	b := c.current()
	msg, err := b.stream.GetLastMsgForSubject(ctx, subject(c, key))
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, nats.ErrNoResponders) {
		// The server may have come back without its files.
		if b, err = c.open(ctx); err == nil {
			msg, err = b.stream.GetLastMsgForSubject(ctx, subject(c, key))
		}
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return found{}, nil
	}
	if err != nil {
		return found{}, err
	}
	f := found{seq: msg.Sequence}
	if msg.Header.Get("KV-Operation") != "" || msg.Header.Get(jetstream.MarkerReasonHeader) != "" {
		return f, nil
	}
	r, err := driver.Unmarshal(key, msg.Data)
	if err != nil {
		return f, nil //nolint:nilerr // what isn't a record is free to be replaced
	}
	f.record, f.alive = r, b.left(r, msg.Time) > 0
	return f, nil
}

// left returns how long a record's lease still runs.
func (b *bucket) left(r driver.Record, at time.Time) time.Duration {
	if b.ends {
		return r.TTL // or the server would have ended it
	}
	return r.TTL - time.Now().Add(b.skew).Sub(at)
}

// conflict reports whether somebody else wrote first.
func conflict(err error) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	return api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant
}

// explain makes an error the contract's.
func (c *conn) explain(ctx context.Context, key driver.Key, err error) error {
	switch {
	case err == nil || errors.Is(err, driver.ErrGone) || errors.Is(err, driver.ErrTaken):
		return err
	case c.refused(key):
		return fmt.Errorf("natsdiscovery: %w: %w", driver.ErrDenied, c.nc.LastError())
	case ctx.Err() != nil:
		return fmt.Errorf("natsdiscovery: %w: %w", ctx.Err(), err)
	}
	return fmt.Errorf("natsdiscovery: %w", err)
}

// refused reports whether the server last complained about a publish to the key:
// a refused one isn't answered and only shows there.
func (c *conn) refused(key driver.Key) bool {
	last := c.nc.LastError()
	return key.ID != "" && errors.Is(last, nats.ErrPermissionViolation) &&
		strings.Contains(strings.ToLower(last.Error()), strings.ToLower(`"`+subject(c, key)+`"`))
}
