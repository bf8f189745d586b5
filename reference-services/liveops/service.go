package liveops

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/outbox"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/resn"
)

// Topic is what changes of issues are announced on.
const Topic = "live-issues"

var announcer = resn.Announcer{Topic: Topic}

// Options configure a Service.
type Options struct {
	// BaseURL is how clients reach the service: links and notices begin with it. It
	// must be given.
	BaseURL string

	// Orders and Riders are the root documents of the services that own those.
	// Orders must be given; without Riders nobody hears of riders.
	Orders, Riders string

	// Group names the durable groups in which it hears of orders and riders. Default
	// "liveops".
	Group string

	// MaxAge is how long those may keep a response who don't hear notices. Default 5 s.
	MaxAge time.Duration

	// Retry is how long it waits when an owner can't be asked about an order whose
	// deadline has come, or for its root document. Default 1 s.
	Retry time.Duration

	// BeforeAppend may change a notice before it goes into the outbox, for example to
	// note the trace of the change in it. Default: none does.
	BeforeAppend func(ctx context.Context, topic string, e *bus.Event)

	// Logger hears what goes wrong. Default: nothing is logged.
	Logger *slog.Logger
}

// Service is the service of live issues. It is safe for concurrent use. There is
// one process at a database.
type Service struct {
	db      *sql.DB
	bus     *bus.Bus
	client  *resn.Client
	api     *hal.Client
	box     *outbox.Outbox
	relay   *outbox.Relay
	opts    Options
	base    string // without a slash at the end
	origin  string // tells this database's versions from any other's
	cache   string // Cache-Control of what notices keep fresh
	origins map[string]bool
	log     *slog.Logger

	rules   atomic.Pointer[ruleSet]
	changed chan struct{} // says that there are other rules
	wake    chan struct{} // says that the next deadline may be another
	locks   *locks

	mu        sync.Mutex
	consumers map[string]*resn.Consumer
	walks     map[string]uint64 // in which walk an order was met
}

// New returns the service on db, whose tables it makes if need be. It hears notices
// over b and reads orders and riders through client, which both stay the caller's to
// close. It does nothing until there are rules, from [Service.Load] or [Watch], and
// the caller runs [Service.Run] beside serving [Service.Handler].
func New(ctx context.Context, db *sql.DB, b *bus.Bus, client *resn.Client, opts *Options) (*Service, error) {
	s := &Service{
		db: db, bus: b, client: client, origins: map[string]bool{}, walks: map[string]uint64{}, consumers: map[string]*resn.Consumer{},
		changed: make(chan struct{}, 1), wake: make(chan struct{}, 1), locks: newLocks(),
	}
	if opts != nil {
		s.opts = *opts
	}
	o := &s.opts
	for name, at := range map[string]string{"BaseURL": o.BaseURL, "Orders": o.Orders, "Riders": o.Riders} {
		u, err := url.Parse(at)
		if name == "Riders" && at == "" {
			continue
		}
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("liveops: Options.%s is %q; it must be an absolute http or https URL", name, at)
		}
		if name != "BaseURL" {
			s.origins[u.Scheme+"://"+u.Host] = true
		}
	}
	if o.Group == "" {
		o.Group = "liveops"
	}
	if o.MaxAge <= 0 {
		o.MaxAge = 5 * time.Second
	}
	if o.Retry <= 0 {
		o.Retry = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.BeforeAppend == nil {
		o.BeforeAppend = func(context.Context, string, *bus.Event) {}
	}
	s.log, s.base = o.Logger, strings.TrimSuffix(o.BaseURL, "/")
	s.cache = fmt.Sprintf("max-age=%d, stale-if-error=3600, %s", int(o.MaxAge.Seconds()), resn.Directive(Topic))
	s.api = hal.NewClient(&hal.ClientOptions{HTTP: client.HTTP(), Header: accept()})
	var err error
	if s.origin, err = prepare(ctx, db); err != nil {
		return nil, fmt.Errorf("liveops: make the tables: %w", err)
	}
	s.box = outbox.New(db, outbox.SQLite, nil)
	if err := s.box.Migrate(ctx); err != nil {
		return nil, fmt.Errorf("liveops: %w", err)
	}
	s.relay = outbox.NewRelay(s.box, b, &outbox.RelayOptions{
		Topics:    []string{Topic},
		Watermark: resn.Watermarks[outbox.Watermark]("/" + Topic),
		// A process that was killed can't give its lease back: notices wait until it has
		// run out, which is less long than readers trust the last watermark (2 s).
		LeaderTTL: time.Second, PublishTimeout: 2 * time.Second,
		Logger: o.Logger,
	})
	return s, nil
}

// Run hears of orders and riders, keeps deadlines, and publishes what changes of
// issues, until ctx ends or one of these can't go on.
func (s *Service) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	running := []func(context.Context) error{s.publish, s.keepTime, s.obey, s.hearOrders}
	if s.opts.Riders != "" {
		running = append(running, s.hearRiders)
	}
	ended := make(chan error, len(running))
	for _, run := range running {
		go func() {
			defer stop() // what ends ends all of it
			ended <- run(ctx)
		}()
	}
	var errs []error
	for range running {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}

// accept is what is asked for. It is the same wherever an order is read, so that the
// cache has one representation for all.
func accept() http.Header { return http.Header{"Accept": {hal.HALType}} }

// publish publishes notices and watermarks, as long as nobody else publishes the
// topic.
func (s *Service) publish(ctx context.Context) error {
	lease := resn.NewBusLease(s.bus)
	defer func() { _ = lease.Close(context.WithoutCancel(ctx)) }()
	return resn.RunOwned(ctx, lease, []string{Topic}, s.relay.Run, &resn.OwnershipOptions{Owner: "live issues, database " + s.origin, Logger: s.log})
}

// RelayStats returns what the relay of this process has published and what waits.
func (s *Service) RelayStats() outbox.RelayStats { return s.relay.Stats() }

// Consumers returns how far it is with hearing of orders and riders.
func (s *Service) Consumers() []resn.ConsumerState {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]resn.ConsumerState, 0, len(s.consumers))
	for _, topic := range []string{ordersTopic, ridersTopic} {
		if c := s.consumers[topic]; c != nil {
			all = append(all, c.State())
		}
	}
	return all
}

func (s *Service) collectionURL() string    { return s.base + "/issues" }
func (s *Service) openURL() string          { return s.base + "/issues/open" }
func (s *Service) itemURL(id string) string { return s.base + "/issues/" + url.PathEscape(id) }

// etag returns the ETag of a version. A version of another database never has the
// same.
func (s *Service) etag(version int64) string { return fmt.Sprintf(`"v%d-%s"`, version, s.origin) }

// announce appends the notice of a change to the outbox, in its transaction.
func (s *Service) announce(ctx context.Context, tx *sql.Tx, kind, href, tag string, at time.Time) error {
	notice, err := announcer.Notice(resn.Event{Type: kind, Href: href, ETag: tag, Time: at})
	if err != nil {
		return err
	}
	s.opts.BeforeAppend(ctx, Topic, &notice)
	return s.box.Append(ctx, tx, Topic, notice)
}

// change lets edit change an issue, which it may refuse, and commits it with its
// notice.
func (s *Service) change(ctx context.Context, id string, edit func(i *issue) error) (*issue, error) {
	var i *issue
	err := s.box.InTx(ctx, func(tx *sql.Tx) (err error) {
		if i, err = find(ctx, tx, id); err != nil {
			return err
		}
		before := *i
		if err := edit(i); err != nil || *i == before {
			return err
		}
		return s.put(ctx, tx, i, resn.Update, time.Now())
	})
	return i, err
}
