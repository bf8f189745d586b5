package resn

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
)

// ConsumerHandler takes in the state of one resource. nil says that it is taken
// in for good; an error has the resource fetched and handed over again after a
// backoff, or after the delay of [bus.RetryAfter]; [bus.Reject] gives up at
// once. It may be called again with what it has taken in already, so it should
// write the same thing twice without harm.
type ConsumerHandler func(ctx context.Context, c *Change) error

// ConsumerOptions configures a [Consumer]. The zero value, and nil, are useful.
type ConsumerOptions struct {
	// Collection is the URL of the collection that lists every resource of the
	// topic. It is walked for the first fill, and again when notices may have
	// been missed. It should list in an order that changes of members don't
	// change. Default none: the consumer begins with what changes from now on.
	Collection string

	// Item is the relation of the collection's links to its members. Default
	// "item". Where a page has no such link, embedded resources of that
	// relation are taken by their self links.
	Item string

	// Origins are the origins that may be asked, such as
	// "https://api.example"; a notice or a link that leads elsewhere is
	// rejected. Default that of Collection, or all if there is none.
	Origins []string

	// Header is sent with each request. Default: Accept for HAL and JSON.
	Header http.Header

	// Parallel bounds the resources that are worked on at once because of
	// notices, and again those because of a walk. Default 16.
	Parallel int

	// MaxInFlight bounds the notices held here. Of those for one resource that
	// are held together, one fetch answers all. Default 256.
	MaxInFlight int

	// Backoff says when a resource is tried again after a failure. Default
	// 100 ms doubling to 30 s.
	Backoff bus.Backoff

	// MaxAttempts is after how many failures a notice becomes a dead letter,
	// and a walk leaves a resource out. Default 10; negative is never.
	MaxAttempts int

	// FetchTimeout bounds one request. Default 30 s.
	FetchTimeout time.Duration

	// AwaitVersion is for how long an owner is asked again whose answer isn't
	// what the newest notice says (another ETag, gone or not), because reads
	// there may lag behind commits. After that what it says is handed over, as
	// [Change.Unconfirmed]. Default 2 s; negative is not at all.
	AwaitVersion time.Duration

	// MaxBytes bounds a body. A longer one is rejected. Default 8 MiB.
	MaxBytes int64

	// Prepare is called before each fetch, under the resource's order. Its
	// value is handed over as Change.Prepared: what a handler needs to know
	// that nobody else wrote since. With it each fetch asks the owner, past
	// the cache, so that what is handed over was sent after Prepare. Default
	// none.
	Prepare func(ctx context.Context, href string) (any, error)

	// Checkpoint keeps how far the consumer is across processes. Default none:
	// each process fills again.
	Checkpoint Checkpoint

	// SaveInterval is how often the numbers of handled notices are saved, if
	// there are new ones. Default 1 s.
	SaveInterval time.Duration

	// Unseen yields the resources that the handler holds and of which no Change
	// with that Walk or a higher one told. After a walk they are asked for one
	// by one, which finds what was deleted while nobody listened. Default none:
	// such deletions aren't noticed.
	Unseen func(ctx context.Context, walk uint64) iter.Seq2[string, error]

	// OnProgress is called after each page of a walk and at its end, from one
	// goroutine. It should return soon. Default none.
	OnProgress func(Progress)

	// OnRejected is called for each resource that a walk left out, because its
	// handler or its owner refused each attempt. What notices name becomes a
	// dead letter instead. It may be called from several goroutines. Default
	// none.
	OnRejected func(href string, err error)

	// DrainTimeout bounds how long Run waits, after its context has ended, for
	// what is being handled. Default 10 s.
	DrainTimeout time.Duration

	// Logger hears of failures, of walks and of what may have been missed.
	// Default that of the client.
	Logger *slog.Logger
}

func (o *ConsumerOptions) fill(c *Client) {
	o.Item = orDefault(o.Item, "item")
	o.Parallel = positive(o.Parallel, 16)
	o.MaxInFlight = positive(o.MaxInFlight, 256)
	if o.MaxAttempts == 0 {
		o.MaxAttempts = 10
	}
	o.FetchTimeout = positive(o.FetchTimeout, 30*time.Second)
	if o.AwaitVersion == 0 {
		o.AwaitVersion = 2 * time.Second
	}
	if o.Checkpoint == nil {
		o.Checkpoint = &memoryCheckpoint{}
	}
	o.SaveInterval = positive(o.SaveInterval, time.Second)
	o.DrainTimeout = positive(o.DrainTimeout, 10*time.Second)
	if o.Logger == nil {
		o.Logger = c.opts.Logger
	}
	if o.OnProgress == nil {
		o.OnProgress = func(Progress) {}
	}
	if o.OnRejected == nil {
		o.OnRejected = func(string, error) {}
	}
}

// positive returns v, or the default if v isn't above zero.
func positive[N int | int64 | time.Duration](v, otherwise N) N {
	if v > 0 {
		return v
	}
	return otherwise
}

func orDefault(v, otherwise string) string {
	if v != "" {
		return v
	}
	return otherwise
}

// Consumer keeps something else than a cache current: a table, a search index,
// a handler of events. It is a member of a durable group of its topic, fetches
// what notices name through the client, so never older than the notice, and hands
// it over. Make one with [NewConsumer].
//
// Each resource is handed over by one goroutine at a time, in the order of
// fetching, while others are worked on in parallel. Notices of a resource that
// come while it is worked on are answered by one more fetch. What can't be
// handed over is tried again and ends as a dead letter of the group, which
// [bus.Bus.Redrive] gives back.
//
// Of several processes with the same group one works and the others stand by,
// on buses that can do so. A process that lost its place without knowing may
// hand over once more what it had fetched; [ConsumerOptions.Prepare] lets a
// handler notice.
//
// It is safe for concurrent use, but for Run, which is called once.
type Consumer struct {
	client  *Client
	ask     AskOptions
	topic   string
	group   string
	handler ConsumerHandler
	opts    ConsumerOptions
	log     *slog.Logger
	origins map[string]bool // empty: all
	list    string          // origin and path of the collection
	ordered bool            // one member of the group hears everything

	locks    locks
	joined   chan struct{}
	filled   chan struct{}
	fillOnce sync.Once
	wakeWalk chan struct{}
	wakeKeep chan struct{}

	mu      sync.Mutex
	started bool
	loaded  bool                 // numbers go on from the checkpoint
	early   []func()             // what happened before that
	numbers numbers              // of notices
	kept    Numbers              // as saved last
	waiting map[string][]waiting // received and not handled, by resource
	walk    Walk
	deletes uint64 // notices of deletion that came
	counts  ConsumerState
}

// waiting is a notice that was received and not handled.
type waiting struct {
	id     string
	notice Event
}

// NewConsumer returns a Consumer of a topic as a member of the named group of the
// client's bus. It does nothing until [Consumer.Run].
func NewConsumer(client *Client, topic, group string, handler ConsumerHandler, opts *ConsumerOptions) (*Consumer, error) {
	switch {
	case client == nil || client.bus == nil:
		return nil, fmt.Errorf("resn: consumer of topic %q: the client has no bus", topic)
	case handler == nil:
		return nil, fmt.Errorf("resn: consumer of topic %q: there is no handler", topic)
	}
	if err := bus.CheckName(group); err != nil {
		return nil, fmt.Errorf("resn: consumer of topic %q: group: %w", topic, err)
	}
	c := &Consumer{
		client: client, topic: topic, group: group, handler: handler,
		joined: make(chan struct{}), filled: make(chan struct{}),
		wakeWalk: make(chan struct{}, 1), wakeKeep: make(chan struct{}, 1),
		waiting: map[string][]waiting{}, origins: map[string]bool{},
	}
	if opts != nil {
		c.opts = *opts
	}
	c.opts.fill(client)
	c.log = c.opts.Logger.With("topic", topic, "group", group)
	if err := validTopic(topic); err != nil {
		return nil, fmt.Errorf("resn: consumer: %w", err)
	}
	for _, o := range c.opts.Origins {
		at, err := parseHref(o)
		if err != nil {
			return nil, fmt.Errorf("resn: consumer of topic %q: ConsumerOptions.Origins: %w", topic, err)
		}
		c.origins[at.origin] = true
	}
	if c.opts.Collection != "" {
		at, err := parseHref(c.opts.Collection)
		if err != nil {
			return nil, fmt.Errorf("resn: consumer of topic %q: ConsumerOptions.Collection: %w", topic, err)
		}
		c.list = at.origin + at.path
		if len(c.origins) == 0 {
			c.origins[at.origin] = true
		}
	}
	c.ordered = client.bus.Driver().ExclusiveGroups
	c.ask = AskOptions{Header: c.opts.Header, MaxBytes: c.opts.MaxBytes, Redirect: c.redirect}.filled()
	c.counts.Topic, c.counts.Group = topic, group
	return c, nil
}

// Run joins the group, fills, and hands over what changes until ctx ends. Then it
// waits for what is being handled, saves how far it is, and returns nil. It
// returns an error at once if the checkpoint can't be loaded or the group can't
// be joined. It may be called once.
func (c *Consumer) Run(ctx context.Context) error {
	c.mu.Lock()
	again := c.started
	c.started = true
	c.mu.Unlock()
	if again {
		return fmt.Errorf("resn: consumer %s of topic %q: Run was called before", c.group, c.topic)
	}
	pos, err := c.opts.Checkpoint.Load(ctx)
	if ctx.Err() != nil {
		return nil // it ended before it began
	}
	if err != nil {
		return fmt.Errorf("resn: consumer %s of topic %q: load checkpoint: %w", c.group, c.topic, err)
	}
	c.begin(pos.Walk)
	c.client.subscribe(c.topic)
	sub, err := c.client.bus.Group(ctx, c.topic, c.group, c.handle, &bus.GroupOptions{
		MaxInFlight: c.opts.MaxInFlight, Parallel: c.opts.Parallel, Backoff: c.opts.Backoff,
		MaxAttempts: c.opts.MaxAttempts, Observe: c.observe, Foreign: foreign,
	})
	if err != nil && ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("resn: consumer %s of topic %q: %w", c.group, c.topic, err)
	}
	close(c.joined)
	var work sync.WaitGroup
	work.Go(func() { c.walkOn(ctx) })
	work.Go(func() { c.keep(ctx) })
	<-ctx.Done()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.opts.DrainTimeout)
	defer cancel()
	err = sub.Close(drain)
	work.Wait()
	if err = errors.Join(err, c.saveNumbers(drain)); err != nil {
		return fmt.Errorf("resn: consumer %s of topic %q: stop: %w", c.group, c.topic, err)
	}
	return nil
}

// begin decides what there is to walk.
func (c *Consumer) begin(w Walk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.walk = w
	if w.Number == 0 {
		c.walk = Walk{Number: 1, Done: !c.walks()}
	}
	if c.walk.Done || c.walk.Number > 1 {
		c.fillOnce.Do(func() { close(c.filled) })
	}
}

// walks reports whether there is anything to walk through.
func (c *Consumer) walks() bool { return c.opts.Collection != "" || c.opts.Unseen != nil }

// Joined is closed when the consumer is a member of its group: every change that
// is announced from then on will be handed over.
func (c *Consumer) Joined() <-chan struct{} { return c.joined }

// Filled is closed when the first fill is over, in this process or an earlier
// one.
func (c *Consumer) Filled() <-chan struct{} { return c.filled }

// Resync walks through the collection once more, as after missed notices. It
// returns when that is on record, not when it is done.
func (c *Consumer) Resync(ctx context.Context) error {
	return c.resync(ctx, "asked for")
}
