package owner

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/outbox"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/resn"
)

// schema is of states that only their owner looks into: a column more for what
// lists are made by, and none for each field. Nothing is ever deleted, so that the
// versions count up, and made is the version that a resource had first.
const schema = `
CREATE TABLE IF NOT EXISTS resources (
	id TEXT PRIMARY KEY,
	made INTEGER NOT NULL,
	version INTEGER NOT NULL UNIQUE,
	updated_at INTEGER NOT NULL, -- Unix milliseconds
	list TEXT NOT NULL,
	state TEXT NOT NULL -- JSON
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS resources_list ON resources (list, made);
CREATE INDEX IF NOT EXISTS resources_made ON resources (made);
CREATE TABLE IF NOT EXISTS origin (word TEXT NOT NULL); -- made once, with the database
`

// State is what a resource is, as it is stored.
type State interface {
	// List names the list that it is on.
	List() string
	// String is the state in a word, such as "delivered".
	String() string
}

// Item is a version of a resource.
type Item[S State] struct {
	ID        string
	Version   int64
	UpdatedAt time.Time
	State     S
}

// Options configure a Collection.
type Options struct {
	// BaseURL is how clients reach the service, such as "https://orders.example":
	// links and notices begin with it. It must be given.
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

// Collection is all resources of a topic. It is safe for concurrent use.
type Collection[S State] struct {
	db          *sql.DB
	bus         *bus.Bus
	box         *outbox.Outbox
	relay       *outbox.Relay
	notices     resn.Announcer
	topic       string
	origin      string // tells this database's versions from any other's
	opts        Options
	transitions []Transition[S]
	view        View[S]
}

// View says what a resource is on the wire, given its links.
type View[S State] func(item Item[S], links hal.Links) any

// New returns the collection on db, whose tables it makes if need be, and b. The
// topic is also where the resources are, below BaseURL.
func New[S State](ctx context.Context, db *sql.DB, b *bus.Bus, topic string, transitions []Transition[S], view View[S], opts *Options) (*Collection[S], error) {
	c := &Collection[S]{db: db, bus: b, topic: topic, transitions: transitions, view: view, notices: resn.Announcer{Topic: topic}}
	if opts != nil {
		c.opts = *opts
	}
	c.opts.BaseURL = strings.TrimSuffix(c.opts.BaseURL, "/")
	if what := wrongHref(c.opts.BaseURL); what != "" {
		return nil, fmt.Errorf("%s: Options.BaseURL is %q; %s", topic, c.opts.BaseURL, what)
	}
	if c.opts.MaxAge <= 0 {
		c.opts.MaxAge = 5 * time.Second
	}
	if c.opts.Logger == nil {
		c.opts.Logger = slog.New(slog.DiscardHandler)
	}
	if c.opts.BeforeAppend == nil {
		c.opts.BeforeAppend = func(context.Context, string, *bus.Event) {}
	}
	for _, text := range []string{schema, `INSERT INTO origin (word) SELECT lower(hex(randomblob(5))) WHERE NOT EXISTS (SELECT 1 FROM origin)`} {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return nil, fmt.Errorf("%s: make the tables: %w", topic, err)
		}
	}
	if err := db.QueryRowContext(ctx, `SELECT word FROM origin`).Scan(&c.origin); err != nil {
		return nil, fmt.Errorf("%s: %w", topic, err)
	}
	c.box = outbox.New(db, outbox.SQLite, nil)
	if err := c.box.Migrate(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", topic, err)
	}
	c.relay = outbox.NewRelay(c.box, b, &outbox.RelayOptions{
		Topics: []string{topic}, Watermark: resn.Watermarks[outbox.Watermark]("/" + topic), Logger: c.opts.Logger,
		// Shorter than readers trust the last watermark of a process that was killed.
		LeaderTTL: time.Second, PublishTimeout: 2 * time.Second,
	})
	return c, nil
}

// Run publishes notices and watermarks until ctx ends, as long as nobody else
// publishes the topic.
func (c *Collection[S]) Run(ctx context.Context) error {
	lease := resn.NewBusLease(c.bus)
	defer func() { _ = lease.Close(context.WithoutCancel(ctx)) }()
	return resn.RunOwned(ctx, lease, []string{c.topic}, c.relay.Run,
		&resn.OwnershipOptions{Owner: c.topic + ", database " + c.origin, Logger: c.opts.Logger})
}

// RelayStats returns what the relay of this process has published and what waits.
func (c *Collection[S]) RelayStats() outbox.RelayStats { return c.relay.Stats() }

// URL is where a resource is, or something below it.
func (c *Collection[S]) URL(id string, below ...string) string {
	return strings.Join(append([]string{c.opts.BaseURL, c.topic, url.PathEscape(id)}, below...), "/")
}

// etag returns the ETag of a version. A version of another database, one that was
// made anew under the same URL, never has the same.
func (c *Collection[S]) etag(version int64) string { return fmt.Sprintf(`"v%d-%s"`, version, c.origin) }

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// errNone says that there is no such resource.
var errNone = errors.New("owner: no such resource")

func find[S State](ctx context.Context, q querier, id string) (Item[S], error) {
	i := Item[S]{ID: id}
	var updated int64
	var state []byte
	err := q.QueryRowContext(ctx, `SELECT version, updated_at, state FROM resources WHERE id = ?`, id).Scan(&i.Version, &updated, &state)
	if errors.Is(err, sql.ErrNoRows) {
		return i, errNone
	}
	i.UpdatedAt = time.UnixMilli(updated).UTC()
	if err == nil {
		err = json.Unmarshal(state, &i.State)
	}
	return i, err
}

// save writes a resource as a new version, with its notice.
func (c *Collection[S]) save(ctx context.Context, tx *sql.Tx, i *Item[S], kind string) error {
	state, err := json.Marshal(i.State)
	if err != nil {
		return err
	}
	i.UpdatedAt = time.Now().UTC().Truncate(time.Millisecond)
	err = tx.QueryRowContext(ctx, `INSERT INTO resources (id, made, version, updated_at, list, state)
		SELECT ?1, v, v, ?2, ?3, ?4 FROM (SELECT coalesce(max(version), 0) + 1 AS v FROM resources) WHERE true
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, updated_at = excluded.updated_at,
			list = excluded.list, state = excluded.state
		RETURNING version`, i.ID, i.UpdatedAt.UnixMilli(), i.State.List(), string(state)).Scan(&i.Version)
	if err != nil {
		return err
	}
	notice, err := c.notices.Notice(resn.Event{Type: kind, Href: c.URL(i.ID), ETag: c.etag(i.Version), Time: i.UpdatedAt})
	if err != nil {
		return err
	}
	c.opts.BeforeAppend(ctx, c.topic, &notice)
	return c.box.Append(ctx, tx, c.topic, notice)
}

// Create makes a resource.
func (c *Collection[S]) Create(ctx context.Context, state S) (Item[S], error) {
	i := Item[S]{ID: strings.ToLower(rand.Text()), State: state}
	err := c.box.InTx(ctx, func(tx *sql.Tx) error { return c.save(ctx, tx, &i, resn.Create) })
	return i, err
}

// errUnchanged ends a transaction that has nothing to change.
var errUnchanged = errors.New("owner: unchanged")

// Change lets edit make a new state of a resource, which it may refuse, and
// commits it with its notice. A state that is the old one commits nothing.
func (c *Collection[S]) Change(ctx context.Context, id string, edit func(Item[S]) (S, error)) (Item[S], error) {
	var i Item[S]
	err := c.box.InTx(ctx, func(tx *sql.Tx) (err error) {
		if i, err = find[S](ctx, tx, id); err != nil {
			return err
		}
		before, err := json.Marshal(i.State)
		if err != nil {
			return err
		}
		state, err := edit(i)
		if err != nil {
			return err
		}
		after, err := json.Marshal(state)
		if err != nil {
			return err
		}
		if bytes.Equal(before, after) {
			return errUnchanged
		}
		i.State = state
		return c.save(ctx, tx, &i, resn.Update)
	})
	if errors.Is(err, errUnchanged) {
		err = nil
	}
	return i, err
}

// list returns a page of those on a list, the oldest first, and how many there are
// on all pages; "" is all of them.
func (c *Collection[S]) list(ctx context.Context, list string, p hal.Page) (items []Item[S], total int, err error) {
	tx, err := c.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // one snapshot
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = tx.Rollback() }()
	where, args := ``, []any{}
	if list != "" {
		where, args = ` WHERE list = ?`, append(args, list)
	}
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM resources`+where, args...).Scan(&total); err != nil {
		return nil, 0, err
	}
	rows, err := tx.QueryContext(ctx, `SELECT id, state FROM resources`+where+` ORDER BY made LIMIT ? OFFSET ?`, //nolint:gosec // of constants
		append(args, p.Size, p.Offset())...)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var i Item[S]
		var state []byte
		if err := rows.Scan(&i.ID, &state); err != nil {
			return nil, 0, err
		}
		if err := json.Unmarshal(state, &i.State); err != nil {
			return nil, 0, err
		}
		items = append(items, i)
	}
	return items, total, rows.Err()
}
