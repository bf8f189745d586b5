package configsvc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
)

// ClientOptions configure NewClient. The zero value, and nil, are useful.
type ClientOptions struct {
	// HTTP sends the requests; its transport is where a token goes. Default: one
	// with a timeout of 10 s.
	HTTP *http.Client
	// Bus brings notices of changes. Default: none, changes are found by Poll.
	Bus *bus.Bus
	// Topic is the notices' topic. Default "config".
	Topic string
	// Poll is the time between questions to the service without a notice, give or
	// take a tenth. It bounds how long a lost notice stays unnoticed. Default 30 s.
	Poll time.Duration
	// StartTimeout is how long Watch waits for the service before it starts from
	// the last good copy. Default 5 s.
	StartTimeout time.Duration
	// Dir is where the last good copies are kept, in files that only their owner
	// can read. Default: none are kept.
	Dir string
	// CopySealer encrypts copies. Without it a configuration with secrets in it is
	// never written to disk.
	CopySealer Sealer
	// Service and Instance say who this is: they decide about rollouts, and show
	// on the service who runs what. Default: no service, and nothing is reported;
	// the host's name and the process's number.
	Service, Instance string
	// Attributes are reported too, and may decide about rollouts: version, zone.
	Attributes map[string]string
	// Secrets asks for secrets in the clear. Who isn't allowed to see them is
	// refused. Default: they stay redacted, and can't be decoded into strings.
	Secrets bool
	// Strict rejects members that T doesn't have. Default: they are passed over,
	// since layers are shared.
	Strict bool
	// EnvPrefix turns on overrides by environment variables, for development:
	// with ORDERS_ the variable ORDERS_DB__POOL overrides the member pool of the
	// member db. Case doesn't matter, and '-' and '.' are written '_'. Default:
	// none.
	EnvPrefix string
	// Environ is the environment, as os.Environ returns it. Default: that.
	Environ []string
	// Logger hears of failures and rejected updates. Default: nothing is logged.
	Logger *slog.Logger
	// Clock replaces time.Now for what is reported. Default time.Now.
	Clock func() time.Time
}

// Client is a connection to a configuration service. It is safe for concurrent
// use. End it with Close.
type Client struct {
	base *url.URL
	opts ClientOptions

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	feeds   map[*feed]bool
	sub     *bus.Subscription
	joining bool
	reports chan struct{} // says that a report waits
}

// ErrClosed is returned after Close.
var ErrClosed = errors.New("configsvc: the client is closed")

// NewClient returns a client of the service at a URL, such as
// https://config.example. It doesn't ask it anything yet.
func NewClient(base string, opts *ClientOptions) (*Client, error) {
	u, err := url.Parse(strings.TrimSuffix(base, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		if strings.Contains(base, "@") {
			base = "…" + base[strings.LastIndex(base, "@"):] // what is before it may be a password
		}
		return nil, fmt.Errorf("configsvc: %q is not the absolute http or https URL of a service", base)
	}
	c := &Client{base: u, feeds: map[*feed]bool{}, reports: make(chan struct{}, 1)}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.HTTP == nil {
		c.opts.HTTP = &http.Client{Timeout: 10 * time.Second}
	}
	if c.opts.Topic == "" {
		c.opts.Topic = "config"
	}
	if c.opts.Poll <= 0 {
		c.opts.Poll = 30 * time.Second
	}
	if c.opts.StartTimeout <= 0 {
		c.opts.StartTimeout = 5 * time.Second
	}
	if c.opts.Instance == "" {
		host, _ := os.Hostname() // without a name the number must do
		c.opts.Instance = strings.TrimPrefix(host+"-"+strconv.Itoa(os.Getpid()), "-")
	}
	if c.opts.Environ == nil {
		c.opts.Environ = os.Environ()
	}
	if c.opts.Logger == nil {
		c.opts.Logger = slog.New(slog.DiscardHandler)
	}
	if c.opts.Clock == nil {
		c.opts.Clock = time.Now
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if c.opts.Service != "" {
		c.work.Go(c.report)
	}
	return c, nil
}

// Close ends all watchers, which keep the values that they have, tells the
// service that this instance is gone, and waits for what runs. Callbacks don't
// run any more when it has returned. It may be called twice.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	sub := c.sub
	feeds := make([]*feed, 0, len(c.feeds))
	for f := range c.feeds {
		feeds = append(feeds, f)
	}
	c.mu.Unlock()
	c.cancel()
	var err error
	if first && sub != nil {
		err = sub.Close(ctx)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.work.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return errors.Join(err, ctx.Err())
	}
	if first && c.opts.Service != "" {
		for _, f := range feeds {
			if e := c.send(ctx, f.goodbye()); e != nil {
				c.opts.Logger.Debug("config: the service was not told that this instance is gone", "error", e)
				break
			}
		}
	}
	return err
}

// add makes a feed one of the client's and starts it.
func (c *Client) add(f *feed) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	c.feeds[f] = true
	c.work.Go(f.run)
	return nil
}

func (c *Client) drop(f *feed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.feeds, f)
}
