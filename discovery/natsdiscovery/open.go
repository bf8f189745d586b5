package natsdiscovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/driver"
)

// Options are the options of Open, Dial and FromConn. The zero value is useful.
// Those of storage count when the bucket is made; one that is there already is
// taken as it is.
type Options struct {
	// Discovery are the options of the registry itself.
	Discovery discovery.Options
	// Conn are further options of the connection that is made, such as
	// credentials, TLS, nats.Name, or nats.InProcessServer.
	Conn []nats.Option
	// Bucket is the name of the key-value bucket. Default "swale-discovery".
	Bucket string
	// Replicas is on how many servers it is kept. Default 1.
	Replicas int
	// InMemory keeps it in the servers' memory instead of files: instances
	// register again after a restart.
	InMemory bool
	// MaxTTL is the longest lease, and how long the traces of ended ones stay.
	// Default 10 min.
	MaxTTL time.Duration
	// Heartbeat is how often a watch asks whether its server still answers.
	// Default 5 s, at most 8 s.
	Heartbeat time.Duration
}

func (o *Options) fill() error {
	if o.Bucket == "" {
		o.Bucket = "swale-discovery"
	}
	if strings.ContainsAny(o.Bucket, " .*>\t\r\n") {
		return fmt.Errorf("natsdiscovery: bucket %q: use letters, digits, '-' and '_'", o.Bucket)
	}
	if o.Replicas <= 0 {
		o.Replicas = 1
	}
	if o.MaxTTL <= 0 {
		o.MaxTTL = 10 * time.Minute
	}
	if o.Heartbeat <= 0 {
		o.Heartbeat = 5 * time.Second
	}
	o.Heartbeat = min(o.Heartbeat, 8*time.Second)
	return nil
}

// conn is the driver.
type conn struct {
	nc    *nats.Conn
	js    jetstream.JetStream
	opts  Options
	owned bool // nc is ours to close

	mu      sync.Mutex
	bucket  *bucket
	written map[driver.Key]written // what this connection wrote last
}

// bucket is the store as it was found.
type bucket struct {
	stream jetstream.Stream
	kv     jetstream.KeyValue
	ends   bool          // the server ends leases
	skew   time.Duration // the server's clock less ours, if it doesn't
}

// Open connects to a server or cluster, makes the bucket where it doesn't exist,
// and returns a registry. url may hold several addresses, separated by commas.
// The connection is kept for good: it reconnects without end. ctx bounds only the
// opening. nil is fine for opts.
//
// With Discovery.LastKnown a server that can't be reached is no error: the
// registry begins with what was known last and connects when it can.
func Open(ctx context.Context, url string, opts *Options) (*discovery.Registry, error) {
	d, err := Dial(ctx, url, opts)
	if err != nil && opts != nil && opts.Discovery.LastKnown != "" && away(err) {
		own := *opts
		info := (&conn{opts: own}).Info()
		d, err = driver.Later(info, func(ctx context.Context) (driver.Driver, error) { return Dial(ctx, url, &own) }), nil
	}
	if err != nil {
		return nil, err
	}
	return discovery.New(d, discoveryOf(opts)), nil
}

// away reports whether the servers can't be reached, or have no JetStream yet.
func away(err error) bool {
	for _, reason := range []error{
		nats.ErrNoServers, nats.ErrTimeout, context.DeadlineExceeded, nats.ErrNoResponders, nats.ErrConnectionClosed, nats.ErrDisconnected,
		jetstream.ErrJetStreamNotEnabled,
	} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

// FromConn returns a registry on a connection of the caller's, who closes it
// after the registry's Shutdown. It should reconnect without end.
func FromConn(ctx context.Context, nc *nats.Conn, opts *Options) (*discovery.Registry, error) {
	c, err := newConn(ctx, nc, opts, false)
	if err != nil {
		return nil, err
	}
	return discovery.New(c, discoveryOf(opts)), nil
}

func discoveryOf(opts *Options) *discovery.Options {
	if opts == nil {
		return nil
	}
	return &opts.Discovery
}

// Dial is Open for those who speak to drivers, such as a service in front of the
// registry.
func Dial(ctx context.Context, url string, opts *Options) (driver.Driver, error) {
	if err := checkURL(url, opts != nil && len(opts.Conn) > 0); err != nil {
		return nil, err
	}
	list := []nats.Option{
		nats.Name("swale discovery"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 200*time.Millisecond),
		nats.ReconnectBufSize(-1), // a write fails now instead of happening later
		nats.PingInterval(10 * time.Second),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}
	if opts != nil {
		list = append(list, opts.Conn...)
	}
	d := new(dialer)
	nc, err := nats.Connect(url, append(list, d.within(ctx))...)
	d.opened.Store(true)
	if err != nil {
		return nil, fmt.Errorf("natsdiscovery: connect: %w", err)
	}
	c, err := newConn(ctx, nc, opts, true)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return c, nil
}

func newConn(ctx context.Context, nc *nats.Conn, opts *Options, owned bool) (*conn, error) {
	if nc == nil {
		return nil, errors.New("natsdiscovery: the *nats.Conn is nil")
	}
	c := &conn{nc: nc, owned: owned, written: make(map[driver.Key]written)}
	if opts != nil {
		c.opts = *opts
	}
	if err := c.opts.fill(); err != nil {
		return nil, err
	}
	var err error
	if c.js, err = jetstream.New(nc); err != nil {
		return nil, fmt.Errorf("natsdiscovery: %w", err)
	}
	if _, err := c.open(ctx); err != nil {
		return nil, fmt.Errorf("natsdiscovery: bucket %s: %w", c.opts.Bucket, err)
	}
	return c, nil
}

// open finds the bucket or makes it.
func (c *conn) open(ctx context.Context) (*bucket, error) {
	kv, err := c.js.KeyValue(ctx, c.opts.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = c.create(ctx)
	}
	if err != nil {
		return nil, err
	}
	b := &bucket{kv: kv}
	if b.stream, err = c.js.Stream(ctx, "KV_"+c.opts.Bucket); err != nil {
		return nil, err
	}
	b.ends = b.stream.CachedInfo().Config.AllowMsgTTL
	if !b.ends {
		if b.skew, err = b.measure(ctx, c.nc.NewInbox()); err != nil {
			return nil, fmt.Errorf("ask for the server's time: %w", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bucket = b
	return b, nil
}

func (c *conn) create(ctx context.Context) (jetstream.KeyValue, error) {
	config := jetstream.KeyValueConfig{
		Bucket: c.opts.Bucket, Description: "instances of services, under leases", History: 1,
		TTL: c.opts.MaxTTL, Replicas: c.opts.Replicas, Storage: jetstream.FileStorage,
		LimitMarkerTTL: time.Minute,
	}
	if c.opts.InMemory {
		config.Storage = jetstream.MemoryStorage
	}
	kv, err := c.js.CreateKeyValue(ctx, config)
	if errors.Is(err, jetstream.ErrLimitMarkerTTLNotSupported) {
		config.LimitMarkerTTL = 0
		kv, err = c.js.CreateKeyValue(ctx, config)
	}
	if err != nil {
		// Another process may have been faster: of two that come at the same moment
		// the server tells one that its subjects overlap.
		if theirs, absent := c.js.KeyValue(ctx, c.opts.Bucket); absent == nil {
			return theirs, nil
		}
	}
	return kv, err
}

// measure returns how far the server's clock is ahead: by the time that it gives
// to a message, at worst wrong by half the time that this takes.
func (b *bucket) measure(ctx context.Context, name string) (time.Duration, error) {
	key := "clock." + strings.ReplaceAll(name, ".", "-")
	before := time.Now()
	seq, err := b.kv.PutString(ctx, key, "")
	if err != nil {
		return 0, err
	}
	middle := before.Add(time.Since(before) / 2)
	entry, err := b.kv.GetRevision(ctx, key, seq)
	if err != nil {
		return 0, err
	}
	return entry.Created().Sub(middle), b.kv.Purge(ctx, key)
}

// current returns the bucket as it was found last.
func (c *conn) current() *bucket {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bucket
}

// Info implements [driver.Driver].
func (c *conn) Info() driver.Info {
	return driver.Info{
		Name: "nats", MinTTL: time.Second,
		Authorises: "the server's publish permissions on $KV." + c.opts.Bucket + ".instances.<service>.>",
	}
}

// Close implements [driver.Driver].
func (c *conn) Close(ctx context.Context) error {
	if !c.owned || c.nc.IsClosed() {
		return nil
	}
	closed := make(chan struct{})
	c.nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
	c.nc.Close()
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
