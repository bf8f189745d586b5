package etcddiscovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap" //nolint:depguard // the client knows no other logger, and this one says nothing
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/driver"
)

// Options are the options of Open, Dial and FromClient. The zero value is useful.
type Options struct {
	// Discovery are the options of the registry itself.
	Discovery discovery.Options
	// Config is the client's configuration, for credentials and TLS. Endpoints
	// are filled in by Open; so are, unless they are set, time limits of 5 s for
	// dialling and keeping connections alive, and a logger that says nothing.
	Config clientv3.Config
	// Prefix begins every key. Default "/swale/discovery".
	Prefix string
	// Heartbeat is how often a watch asks whether its server still answers; after
	// two without an answer it is lost. Default 4 s, at most 5 s.
	Heartbeat time.Duration
}

func (o *Options) fill() {
	if o.Prefix == "" {
		o.Prefix = "/swale/discovery"
	}
	o.Prefix = strings.TrimRight(o.Prefix, "/")
	if o.Heartbeat <= 0 {
		o.Heartbeat = 4 * time.Second
	}
	o.Heartbeat = min(o.Heartbeat, 5*time.Second)
	c := &o.Config
	if c.DialTimeout <= 0 {
		c.DialTimeout = 5 * time.Second
	}
	if c.DialKeepAliveTime <= 0 {
		c.DialKeepAliveTime, c.DialKeepAliveTimeout = 5*time.Second, 5*time.Second
	}
	if c.Logger == nil && c.LogConfig == nil {
		c.Logger = zap.NewNop()
	}
}

// conn is the driver.
type conn struct {
	client *clientv3.Client
	opts   Options
	owned  bool // client is ours to close

	mu      sync.Mutex
	written map[driver.Key]written // what this connection wrote last
}

// Open connects to a cluster and returns a registry. The connection is kept for
// good. ctx bounds only the opening. nil is fine for opts.
//
// With Discovery.LastKnown a cluster that can't be reached is no error: the
// registry begins with what was known last and connects when it can.
func Open(ctx context.Context, endpoints []string, opts *Options) (*discovery.Registry, error) {
	beginning := opts != nil && opts.Discovery.LastKnown != ""
	first := ctx
	if beginning { // the client itself would wait as long as it is let
		var cancel context.CancelFunc
		first, cancel = context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
	}
	d, err := Dial(first, endpoints, opts)
	if err != nil && beginning && ctx.Err() == nil && away(err) {
		own := *opts
		own.fill()
		info := (&conn{opts: own}).Info()
		d, err = driver.Later(info, func(ctx context.Context) (driver.Driver, error) { return Dial(ctx, endpoints, &own) }), nil
	}
	if err != nil {
		return nil, err
	}
	return discovery.New(d, discoveryOf(opts)), nil
}

// FromClient returns a registry on a client of the caller's, who closes it after
// the registry's Shutdown. It panics without one.
func FromClient(client *clientv3.Client, opts *Options) *discovery.Registry {
	if client == nil {
		panic("etcddiscovery: FromClient: the *clientv3.Client is nil") //nolint:forbidigo // programmer error
	}
	return discovery.New(newConn(client, opts, false), discoveryOf(opts))
}

// away reports whether the cluster can't be reached.
func away(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded || status.Code(err) == codes.Unavailable
}

func discoveryOf(opts *Options) *discovery.Options {
	if opts == nil {
		return nil
	}
	return &opts.Discovery
}

// checkEndpoints refuses what the client would try to reach until ctx ends.
func checkEndpoints(endpoints []string) error {
	if len(endpoints) == 0 {
		return errors.New("etcddiscovery: there are no endpoints; one is such as http://127.0.0.1:2379")
	}
	for i, one := range endpoints {
		scheme, rest, ok := strings.Cut(one, "://")
		switch {
		case one == "" || ok && rest == "":
			return fmt.Errorf("etcddiscovery: endpoint %d is empty; it is such as http://127.0.0.1:2379", i)
		case ok && !slices.Contains([]string{"http", "https", "unix", "unixs"}, scheme):
			return fmt.Errorf("etcddiscovery: endpoint %d begins with %s; it must be http, https, unix or unixs", i, scheme)
		}
	}
	return nil
}

// redacted are the endpoints without passwords.
func redacted(endpoints []string) string {
	var list []string
	for _, one := range endpoints {
		scheme, _, ok := strings.Cut(one, "://")
		if at := strings.LastIndex(one, "@"); at >= 0 {
			if one = one[at+1:]; ok {
				one = scheme + "://" + one
			}
		}
		list = append(list, one)
	}
	return strings.Join(list, ", ")
}

// Dial is Open for those who speak to drivers, such as a service in front of the
// registry.
func Dial(ctx context.Context, endpoints []string, opts *Options) (driver.Driver, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	o.fill()
	o.Config.Endpoints = endpoints
	if err := checkEndpoints(endpoints); err != nil {
		return nil, err
	}
	client, err := clientv3.New(o.Config)
	if err != nil {
		return nil, fmt.Errorf("etcddiscovery: connect: %w", err)
	}
	c := newConn(client, &o, true)
	// The client connects when it is used, so use it.
	if _, err := client.Get(ctx, o.Prefix+"/", clientv3.WithCountOnly()); err != nil {
		return nil, errors.Join(fmt.Errorf("etcddiscovery: connect to %s: %w", redacted(endpoints), err), client.Close())
	}
	return c, nil
}

func newConn(client *clientv3.Client, opts *Options, owned bool) *conn {
	c := &conn{client: client, owned: owned, written: make(map[driver.Key]written)}
	if opts != nil {
		c.opts = *opts
	}
	c.opts.fill()
	return c
}

// Info implements [driver.Driver].
func (c *conn) Info() driver.Info {
	return driver.Info{
		Name: "etcd", MinTTL: 2 * time.Second,
		Authorises: "etcd's roles: write permission on the prefix " + c.opts.Prefix + "/<service>/instances/",
	}
}

// Close implements [driver.Driver].
func (c *conn) Close(context.Context) error {
	if !c.owned {
		return nil
	}
	if err := c.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("etcddiscovery: %w", err)
	}
	return nil
}

// path is the record's key in etcd.
func (c *conn) path(key driver.Key) string {
	return c.prefix(key.Service) + string(key.Kind) + "/" + key.ID
}

// prefix begins the keys of a service, or of all.
func (c *conn) prefix(service string) string {
	if service == "" {
		return c.opts.Prefix + "/"
	}
	return c.opts.Prefix + "/" + service + "/"
}

// key reads what path made.
func (c *conn) key(path string) (driver.Key, error) {
	parts := strings.Split(strings.TrimPrefix(path, c.opts.Prefix+"/"), "/")
	if len(parts) != 3 {
		return driver.Key{}, fmt.Errorf("%q isn't a record's key", path)
	}
	return driver.ParseKey(parts[1], parts[0], parts[2])
}

// explain makes an error the contract's.
func explain(ctx context.Context, err error) error {
	switch {
	case err == nil || errors.Is(err, driver.ErrGone) || errors.Is(err, driver.ErrTaken):
		return err
	case errors.Is(err, rpctypes.ErrPermissionDenied) || status.Code(err) == codes.PermissionDenied:
		return fmt.Errorf("etcddiscovery: %w: %w", driver.ErrDenied, err)
	case ctx.Err() != nil:
		return fmt.Errorf("etcddiscovery: %w: %w", ctx.Err(), err)
	}
	return fmt.Errorf("etcddiscovery: %w", err)
}
