package natsconfig

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/goswale/swale/configsvc/driver"
	"github.com/goswale/swale/configsvc/driver/replay"
)

// Options configure Open. The zero value, and nil, are useful.
type Options struct {
	// Bucket is the bucket's name. Default "swale-config".
	Bucket string
	// Replicas is how many servers keep the bucket, when Open makes it. Default 1.
	Replicas int
	// Memory has the servers keep it in memory only, when Open makes it.
	Memory bool
}

// Driver keeps the log in a bucket. It is safe for concurrent use, in as many
// processes as you like. Closing the connection is the caller's, after Close.
type Driver struct {
	kv      jetstream.KeyValue
	watcher jetstream.KeyWatcher
	most    int
	done    chan struct{}
	log     replay.Log

	mu      sync.Mutex
	applied uint64        // the bucket's sequence that the log has
	changed chan struct{} // closed when applied or err change
	err     error         // why the log isn't followed any more
}

// ErrLog is wrapped by errors that say that the bucket is no log of commits, or
// can't be followed any more.
var ErrLog = errors.New("natsconfig: the log")

// Open returns a driver when it has read the whole log. It makes the bucket
// where there is none.
func Open(ctx context.Context, nc *nats.Conn, opts *Options) (*Driver, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Bucket == "" {
		o.Bucket = "swale-config"
	}
	if nc == nil {
		return nil, errors.New("natsconfig: the *nats.Conn is nil")
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("natsconfig: %w", err)
	}
	kv, err := bucket(ctx, js, o)
	if err != nil {
		return nil, fmt.Errorf("natsconfig: bucket %s: %w", o.Bucket, err)
	}
	// The watcher outlives ctx, which is for opening.
	w, err := kv.WatchAll(context.WithoutCancel(ctx))
	if err != nil {
		return nil, fmt.Errorf("natsconfig: watch %s: %w", o.Bucket, err)
	}
	d := &Driver{kv: kv, watcher: w, done: make(chan struct{}), changed: make(chan struct{}), most: int(nc.MaxPayload()) - 64<<10}
	go d.follow()
	if err := d.sync(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func bucket(ctx context.Context, js jetstream.JetStream, o Options) (jetstream.KeyValue, error) {
	kv, err := js.KeyValue(ctx, o.Bucket)
	if !errors.Is(err, jetstream.ErrBucketNotFound) {
		return kv, err
	}
	config := jetstream.KeyValueConfig{Bucket: o.Bucket, Description: "the log of a configuration", History: 1, Replicas: o.Replicas}
	if o.Memory {
		config.Storage = jetstream.MemoryStorage
	}
	kv, err = js.CreateKeyValue(ctx, config)
	if err != nil {
		// Another process may have been faster: of two that come at the same moment
		// the server tells one that its subjects overlap.
		if theirs, absent := js.KeyValue(ctx, o.Bucket); absent == nil {
			return theirs, nil
		}
	}
	return kv, err
}

// Close ends the following of the log. It takes up to five seconds when the
// server doesn't answer. It may be called twice.
func (d *Driver) Close() error {
	err := d.watcher.Stop()
	for _, gone := range []error{nats.ErrBadSubscription, nats.ErrConnectionClosed, nats.ErrTimeout, context.DeadlineExceeded} {
		if errors.Is(err, gone) {
			err = nil // the server forgets by itself
		}
	}
	<-d.done
	return err
}

// follow applies entries in their order.
func (d *Driver) follow() {
	defer close(d.done)
	for entry := range d.watcher.Updates() {
		if entry == nil {
			continue // all that was there has been sent
		}
		if err := d.apply(entry); err != nil {
			d.progress(entry.Revision(), err)
			_ = d.watcher.Stop() // there is no way on
			return
		}
		d.progress(entry.Revision(), nil)
	}
	d.progress(0, fmt.Errorf("%w is not followed any more: the driver or the connection is closed", ErrLog))
}

func (d *Driver) apply(entry jetstream.KeyValueEntry) error {
	if entry.Operation() != jetstream.KeyValuePut {
		return fmt.Errorf("%w: entry %s was deleted, so what is left is not all", ErrLog, entry.Key())
	}
	c, err := decode(entry.Value())
	if err != nil {
		return fmt.Errorf("%w: entry %s: %w", ErrLog, entry.Key(), err)
	}
	if name(c.Revision) != entry.Key() {
		return fmt.Errorf("%w: entry %s holds commit %d", ErrLog, entry.Key(), c.Revision)
	}
	if err := d.log.Apply(c); err != nil {
		return fmt.Errorf("%w: entry %s: %w", ErrLog, entry.Key(), err)
	}
	return nil
}

// progress notes how far the log is, and wakes those who wait.
func (d *Driver) progress(sequence uint64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.applied = max(d.applied, sequence)
	if d.err == nil {
		d.err = err
	}
	close(d.changed)
	d.changed = make(chan struct{})
}

// wait waits until the log has a sequence of the bucket.
func (d *Driver) wait(ctx context.Context, sequence uint64) error {
	for {
		d.mu.Lock()
		applied, err, changed := d.applied, d.err, d.changed
		d.mu.Unlock()
		switch {
		case err != nil:
			return err
		case applied >= sequence:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("natsconfig: wait for the log: %w", ctx.Err())
		}
	}
}

// sync waits until the log has everything that the bucket has now.
func (d *Driver) sync(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	status, err := d.kv.Status(ctx)
	if err != nil {
		return fmt.Errorf("natsconfig: how far the log is: %w", err)
	}
	b, ok := status.(*jetstream.KeyValueBucketStatus)
	if !ok {
		return fmt.Errorf("natsconfig: the status of a bucket is a %T", status)
	}
	return d.wait(ctx, b.StreamInfo().State.LastSeq)
}

// Info implements driver.Driver.
func (d *Driver) Info() driver.Info {
	return driver.Info{Name: "NATS JetStream", MaxCommitBytes: d.most}
}

// Commit implements driver.Driver.
func (d *Driver) Commit(ctx context.Context, c driver.Commit) (driver.Commit, error) {
	if err := d.sync(ctx); err != nil {
		return c, err
	}
	for {
		next, err := d.log.Next(c)
		if err != nil {
			return c, err
		}
		text, err := encode(next)
		if err != nil {
			return c, err
		}
		sequence, err := d.kv.Create(ctx, name(next.Revision), text)
		switch {
		case err == nil:
			// It is made, whatever happens to the waiting; but who reads next
			// should see it.
			return next, d.wait(ctx, sequence)
		case errors.Is(err, jetstream.ErrKeyExists):
			// Somebody was faster, which may have made an expectation false.
			if err := d.sync(ctx); err != nil {
				return c, err
			}
		default:
			return c, fmt.Errorf("natsconfig: commit %d: %w", next.Revision, err)
		}
	}
}

// Read implements driver.Driver.
func (d *Driver) Read(ctx context.Context, keys []string, at int64) (driver.Snapshot, error) {
	if err := d.sync(ctx); err != nil {
		return driver.Snapshot{}, err
	}
	return d.log.Read(keys, at)
}

// List implements driver.Driver.
func (d *Driver) List(ctx context.Context, l driver.Listing) (driver.Snapshot, error) {
	if err := d.sync(ctx); err != nil {
		return driver.Snapshot{}, err
	}
	return d.log.List(l)
}

// Log implements driver.Driver.
func (d *Driver) Log(ctx context.Context, q driver.Query) ([]driver.Commit, error) {
	if err := d.sync(ctx); err != nil {
		return nil, err
	}
	return d.log.Log(q)
}

// Moment implements driver.Driver.
func (d *Driver) Moment(ctx context.Context, t time.Time) (int64, error) {
	if err := d.sync(ctx); err != nil {
		return 0, err
	}
	return d.log.Moment(t)
}
