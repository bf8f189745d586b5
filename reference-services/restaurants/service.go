package restaurants

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/outbox"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/resn"
)

// Topic is what changes are announced on.
const Topic = "restaurants"

var announcer = resn.Announcer{Topic: Topic}

// Options configure a Service.
type Options struct {
	// BaseURL is how clients reach the service, such as
	// "https://restaurants.example": links and notices begin with it. It must be
	// given.
	BaseURL string

	// MaxAge is how long those may keep a response who don't hear notices, and
	// by how much what everybody sees may be out of date when notices are lost.
	// Default 5 s.
	MaxAge time.Duration

	// BeforeAppend may change a notice before it goes into the outbox, for example to
	// note the trace of the change in it; it has the form of
	// bus.Options.BeforePublish. Default: none does.
	BeforeAppend func(ctx context.Context, topic string, e *bus.Event)

	// Logger hears what goes wrong. Default: nothing is logged.
	Logger *slog.Logger
}

// Service is the restaurants service. It is safe for concurrent use.
type Service struct {
	db     *sql.DB
	bus    *bus.Bus
	box    *outbox.Outbox
	relay  *outbox.Relay
	base   string // without a slash at the end
	origin string // tells this database's versions from any other's
	cache  string // Cache-Control of what notices keep fresh
	before func(context.Context, string, *bus.Event)
	log    *slog.Logger
	form   hal.Template
}

// New returns the service on db, whose tables it makes if need be, and b. The
// caller runs [Service.Run] beside serving [Service.Handler].
func New(ctx context.Context, db *sql.DB, b *bus.Bus, opts *Options) (*Service, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	base, err := url.Parse(o.BaseURL)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("restaurants: Options.BaseURL is %q; it must be an absolute http or https URL", o.BaseURL)
	}
	if o.MaxAge <= 0 {
		o.MaxAge = 5 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.BeforeAppend == nil {
		o.BeforeAppend = func(context.Context, string, *bus.Event) {}
	}
	s := &Service{
		db: db, bus: b, base: strings.TrimSuffix(o.BaseURL, "/"), before: o.BeforeAppend, log: o.Logger,
		// Who can't ask may go on with what it has for an hour: an old answer is
		// better than none. What a notice named is never shown so.
		cache: fmt.Sprintf("max-age=%d, stale-if-error=3600, %s", int(o.MaxAge.Seconds()), resn.Directive(Topic)),
		form:  hal.FormOf("default", http.MethodPost, State{Status: StatusOpen}),
	}
	s.form.Title, s.form.Target = "Add a restaurant", s.collectionURL()
	if s.origin, err = prepare(ctx, db); err != nil {
		return nil, fmt.Errorf("restaurants: make the tables: %w", err)
	}
	s.box = outbox.New(db, outbox.SQLite, nil)
	if err := s.box.Migrate(ctx); err != nil {
		return nil, fmt.Errorf("restaurants: %w", err)
	}
	s.relay = outbox.NewRelay(s.box, b, &outbox.RelayOptions{
		Topics:    []string{Topic},
		Watermark: resn.Watermarks[outbox.Watermark]("/" + Topic),
		// A process that was killed can't give its lease back, and notices wait until
		// it has run out: less long than readers trust the last watermark (2 s).
		LeaderTTL: time.Second, PublishTimeout: 2 * time.Second,
		Logger: o.Logger,
	})
	return s, nil
}

// Run publishes notices and watermarks until ctx ends, as long as nobody else
// publishes the topic.
func (s *Service) Run(ctx context.Context) error {
	// Processes at one database have one outbox; one at another, by mistake, would
	// publish changes that the others know nothing of.
	owner := "restaurants, database " + s.origin
	lease := resn.NewBusLease(s.bus)
	defer func() { _ = lease.Close(context.WithoutCancel(ctx)) }()
	return resn.RunOwned(ctx, lease, []string{Topic}, s.relay.Run, &resn.OwnershipOptions{Owner: owner, Logger: s.log})
}

// RelayStats returns what the relay of this process has published and what waits.
func (s *Service) RelayStats() outbox.RelayStats { return s.relay.Stats() }

// Count returns how many restaurants there are.
func (s *Service) Count(ctx context.Context) (int, error) { return count(ctx, s.db) }

func (s *Service) collectionURL() string    { return s.base + "/restaurants" }
func (s *Service) itemURL(id string) string { return s.base + "/restaurants/" + url.PathEscape(id) }
func (s *Service) link(r *Restaurant) {
	r.Links.Self, r.Links.Collection = hal.To(s.itemURL(r.ID)), hal.To(s.collectionURL())
}

// etag returns the ETag of a version. A version of another database, one that
// was made anew under the same URL, never has the same: caches would take
// another restaurant for the one that they have.
func (s *Service) etag(version int64) string { return fmt.Sprintf(`"v%d-%s"`, version, s.origin) }

// announce appends the notice of a change to the outbox, in its transaction.
func (s *Service) announce(ctx context.Context, tx *sql.Tx, kind, href, tag string, at time.Time) error {
	notice, err := announcer.Notice(resn.Event{Type: kind, Href: href, ETag: tag, Time: at})
	if err != nil {
		return err
	}
	s.before(ctx, Topic, &notice)
	return s.box.Append(ctx, tx, Topic, notice)
}

// create makes a restaurant.
func (s *Service) create(ctx context.Context, state State) (Restaurant, error) {
	r := Restaurant{ID: strings.ToLower(rand.Text()), State: state}
	err := s.box.InTx(ctx, func(tx *sql.Tx) error {
		now := time.Now()
		if err := save(ctx, tx, &r, now); err != nil {
			return err
		}
		return s.announce(ctx, tx, resn.Create, s.itemURL(r.ID), s.etag(r.Version), now)
	})
	s.link(&r)
	return r, err
}

// errUnchanged ends a transaction that has nothing to change.
var errUnchanged = errors.New("restaurants: unchanged")

// change lets edit make a new state of a restaurant, which it may refuse, and
// commits it with its notice. A state that is the old one commits nothing.
func (s *Service) change(ctx context.Context, id string, edit func(current Restaurant) (State, error)) (Restaurant, error) {
	var r Restaurant
	err := s.box.InTx(ctx, func(tx *sql.Tx) (err error) {
		if r, err = find(ctx, tx, id); err != nil {
			return err
		}
		s.link(&r)
		state, err := edit(r)
		if err != nil {
			return err
		}
		if state == r.State {
			return errUnchanged
		}
		now := time.Now()
		r.State = state
		if err := save(ctx, tx, &r, now); err != nil {
			return err
		}
		return s.announce(ctx, tx, resn.Update, s.itemURL(id), s.etag(r.Version), now)
	})
	if errors.Is(err, errUnchanged) {
		err = nil
	}
	return r, err
}

// delete deletes a restaurant, unless allow refuses.
func (s *Service) delete(ctx context.Context, id string, allow func(current Restaurant) error) error {
	return s.box.InTx(ctx, func(tx *sql.Tx) error {
		r, err := find(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := allow(r); err != nil {
			return err
		}
		if err := remove(ctx, tx, id); err != nil {
			return err
		}
		return s.announce(ctx, tx, resn.Delete, s.itemURL(id), "", time.Now())
	})
}
