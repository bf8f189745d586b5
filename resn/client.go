package resn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/cache"
)

// ClientOptions configures a [Client]. The zero value, and nil, are useful.
type ClientOptions struct {
	// Transport carries requests to owners: where a token or discovery
	// transport goes. Default a clone of http.DefaultTransport that keeps up
	// to 64 idle connections for each host.
	Transport http.RoundTripper

	// Cache configures the cache. Its OnScope is called after the client's
	// own, which subscribes to the topic.
	Cache *cache.Options

	// Listener configures the subscriptions.
	Listener *ListenerOptions

	// Guard configures the breaker and retries between cache and Transport.
	Guard *GuardOptions

	// Refresh has what changed fetched at once. Default: it is fetched when it
	// is next read.
	Refresh *RefreshOptions

	// AllowTopic decides whether a topic that a response names is subscribed
	// to. Default every well-formed topic, up to Listener.MaxTopics.
	AllowTopic func(origin, topic string) bool

	// Timeout is how long an owner may say nothing, before its answer or between
	// two pieces of it, until it is given up on with a [*SilentError]; streams of
	// events (text/event-stream) may be silent once they have begun. The deadline of
	// a request's context holds too, and [WithTimeout] gives a request another time.
	// Default 30 s; negative is for ever.
	Timeout time.Duration

	// SubscribeTimeout bounds one attempt to subscribe. Default 10 s.
	SubscribeTimeout time.Duration

	// Logger is used where Cache and Listener name none. Default: nothing is
	// logged.
	Logger *slog.Logger
}

// Client is the reader's whole stack: a coherent cache over a breaker and
// retries, and the subscriptions that keep it coherent. Topics are subscribed
// to by themselves when a response first names them. It is safe for concurrent
// use.
type Client struct {
	bus      *bus.Bus
	http     *http.Client
	cache    *cache.Transport
	listener *Listener
	refresh  *refresher // nil: what changed is fetched when it is next read
	fit      *fitting   // nil without a bus
	opts     ClientOptions

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	mu     sync.Mutex // orders work.Go before work.Wait
	work   sync.WaitGroup
}

// NewClient returns a Client that hears of changes over b. With a nil bus it
// is an ordinary caching client, and nothing is vouched for.
func NewClient(b *bus.Bus, opts *ClientOptions) (*Client, error) {
	c := &Client{bus: b}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.Logger == nil {
		c.opts.Logger = slog.New(slog.DiscardHandler)
	}
	if c.opts.SubscribeTimeout <= 0 {
		c.opts.SubscribeTimeout = 10 * time.Second
	}
	base := c.opts.Transport
	if base == nil {
		t, ok := http.DefaultTransport.(*http.Transport)
		if !ok {
			return nil, errors.New("resn: http.DefaultTransport was replaced; name ClientOptions.Transport")
		}
		t = t.Clone()
		t.MaxIdleConnsPerHost = 64
		base = t
	}
	var cacheOpts cache.Options
	if c.opts.Cache != nil {
		cacheOpts = *c.opts.Cache
	}
	if cacheOpts.Logger == nil {
		cacheOpts.Logger = c.opts.Logger
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	also := cacheOpts.OnScope
	cacheOpts.OnScope = func(origin, scope string) {
		if b != nil {
			c.named(origin, scope)
		}
		if also != nil {
			also(origin, scope)
		}
	}
	if c.opts.Timeout == 0 {
		c.opts.Timeout = DefaultTimeout
	}
	var inside http.RoundTripper = NewGuard(&patience{base, c.opts.Timeout}, c.opts.Guard)
	if b != nil && c.opts.Refresh != nil {
		c.refresh = newRefresher(inside, c, *c.opts.Refresh)
		inside = c.refresh
	}
	var listenerOpts ListenerOptions
	if c.opts.Listener != nil {
		listenerOpts = *c.opts.Listener
	}
	if b != nil {
		c.fit = newFitting(inside, c.opts.Logger, listenerOpts.Clock)
		inside = c.fit
	}
	c.cache = cache.New(inside, &cacheOpts)
	if b != nil {
		listenerOpts.OnNotice = c.fitted(listenerOpts.OnNotice)
		if c.refresh != nil {
			listenerOpts.OnNotice = c.refreshing(listenerOpts.OnNotice)
		}
		if listenerOpts.Logger == nil {
			listenerOpts.Logger = c.opts.Logger
		}
		c.listener = NewListener(b, c.cache, &listenerOpts)
	}
	c.http = &http.Client{Transport: c.cache}
	return c, nil
}

// HTTP returns the client to send requests with.
func (c *Client) HTTP() *http.Client { return c.http }

// Cache returns the cache inside, for example to inspect it.
func (c *Client) Cache() *cache.Transport { return c.cache }

// Topics returns the state of every topic subscribed to.
func (c *Client) Topics() []TopicState {
	if c.listener == nil {
		return nil
	}
	states := c.listener.Topics()
	for i := range states {
		states[i].Warning = c.fit.warning(states[i].Topic)
	}
	return states
}

// Listen subscribes to a topic ahead of the first response that names it, so
// that already the first fill is vouched for.
func (c *Client) Listen(ctx context.Context, topic string) error {
	if c.listener == nil {
		return fmt.Errorf("resn: listen to topic %q: the client has no bus", topic)
	}
	return c.listener.Listen(ctx, topic)
}

// named subscribes to a topic that a response named, and tries again while
// that fails: until then its entries live by their ordinary freshness.
func (c *Client) named(origin, topic string) {
	if c.opts.AllowTopic != nil && !c.opts.AllowTopic(origin, topic) {
		c.opts.Logger.Warn("topic not allowed", "origin", origin, "topic", topic)
		return
	}
	c.subscribe(topic)
}

// goes does work in the background, which Close cancels and waits for.
func (c *Client) goes(work func(context.Context)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() == nil {
		c.work.Go(func() { work(c.ctx) })
	}
}

// fitted adds the look for what doesn't fit to a listener's OnNotice.
func (c *Client) fitted(also func(Event)) func(Event) {
	return func(e Event) {
		c.fit.notice(&e)
		if also != nil {
			also(e)
		}
	}
}

// refreshing adds the refresher to a listener's OnNotice.
func (c *Client) refreshing(also func(Event)) func(Event) {
	return func(e Event) {
		c.refresh.notice(&e)
		if also != nil {
			also(e)
		}
	}
}

// Refreshes returns what refreshing at once has done, see
// [ClientOptions.Refresh].
func (c *Client) Refreshes() RefreshStats {
	if c.refresh == nil {
		return RefreshStats{}
	}
	return c.refresh.snapshot()
}

// subscribe subscribes to a topic in the background.
func (c *Client) subscribe(topic string) {
	c.goes(func(context.Context) {
		for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
			ctx, cancel := context.WithTimeout(c.ctx, c.opts.SubscribeTimeout)
			err := c.listener.Listen(ctx, topic)
			cancel()
			if err == nil || c.ctx.Err() != nil || c.listener.opts.without.retries {
				return
			}
			c.opts.Logger.Warn("topic not subscribed", "topic", topic, "error", err)
			if errors.Is(err, ErrNotice) || errors.Is(err, ErrTooManyTopics) {
				return // trying again won't help
			}
			select {
			case <-time.After(wait):
			case <-c.ctx.Done():
				return
			}
		}
	})
}

// Close ends the subscriptions and waits for what runs in the background. The
// bus stays open. Requests sent afterwards still work, by HTTP's rules alone.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	c.cancel()
	c.mu.Unlock()
	c.work.Wait()
	var errs []error
	if c.listener != nil {
		errs = append(errs, c.listener.Close(ctx))
	}
	errs = append(errs, c.cache.Close())
	c.http.CloseIdleConnections()
	return errors.Join(errs...)
}
