package outbox

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/outbox/driver"
)

// Dialect is what an outbox knows about its database: [SQLite], [PostgreSQL], or
// somebody else's.
type Dialect = driver.Dialect

// DefaultTable is the name of the main table unless Options.Table says another.
const DefaultTable = "swale_outbox"

// maxEventBytes is what buses take unless they are told otherwise.
const maxEventBytes = 1 << 20

// Options are the options of an Outbox. The zero value is useful.
type Options struct {
	// Table is the main table and the prefix of the others, made of a-z, 0-9 and
	// underscores, at most 40 bytes. Default DefaultTable. Outboxes with different
	// tables in one database have nothing to do with each other.
	Table string
	// MaxEventBytes bounds an encoded event. It should not exceed what the bus
	// takes: an event that the bus refuses holds up its topic. Default 1 MiB.
	MaxEventBytes int
	// DisableNotify keeps Append from sending NOTIFY on PostgreSQL and from placing
	// rows during the commit, each of which makes commits wait for each other.
	// Relays in other processes find rows by polling.
	DisableNotify bool
	// Clock is for the age of rows, and on SQLite for leases and watermarks.
	// Default time.Now.
	Clock func() time.Time
}

// Outbox is a table of events in the service's own database. It is safe for
// concurrent use and needs no closing.
type Outbox struct {
	db      *sql.DB
	dialect Dialect
	opts    Options
	err     error // what is wrong with the options

	own sync.Map // *sql.Tx: transactions of InTx, which wakes by itself

	mu     sync.Mutex
	relays map[*waker]struct{}
}

// waker is how an outbox reaches a relay of the same process.
type waker struct {
	now  chan struct{} // rows are committed
	soon chan struct{} // rows were appended and may be committed at any time
}

// New returns an outbox in db. Options may be nil. What is wrong with them is
// reported by every method.
func New(db *sql.DB, d Dialect, opts *Options) *Outbox {
	o := &Outbox{db: db, dialect: d, relays: make(map[*waker]struct{})}
	if opts != nil {
		o.opts = *opts
	}
	if o.opts.Table == "" {
		o.opts.Table = DefaultTable
	}
	if o.opts.MaxEventBytes <= 0 {
		o.opts.MaxEventBytes = maxEventBytes
	}
	if o.opts.Clock == nil {
		o.opts.Clock = time.Now
	}
	switch {
	case db == nil:
		o.err = errors.New("outbox: New was given no database")
	case d == nil:
		o.err = errors.New("outbox: New was given no dialect: say outbox.SQLite or outbox.PostgreSQL")
	case !regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`).MatchString(o.opts.Table):
		o.err = fmt.Errorf("outbox: table name %q is not made of a-z, 0-9 and underscores, or too long", o.opts.Table)
	}
	return o
}

// Migrate creates the outbox's tables where they are missing. It may be called at
// every start, by several processes at once.
func (o *Outbox) Migrate(ctx context.Context) error {
	if o.err != nil {
		return o.err
	}
	if err := o.dialect.Migrate(ctx, o.db, o.opts.Table, rand.Text()); err != nil {
		return fmt.Errorf("outbox: migrate: %w", err)
	}
	return nil
}

// unmade says what to do where a table is missing. Databases have no error in
// common for that, but words.
func (o *Outbox) unmade(err error) error {
	text := err.Error()
	if strings.Contains(text, o.opts.Table) && (strings.Contains(text, "no such table") || strings.Contains(text, "does not exist")) {
		return fmt.Errorf("%w; Outbox.Migrate makes the tables", err)
	}
	return err
}

// NewEpoch replaces the epoch, which tells every reader to forget what it knows
// about numbers. It is for databases restored from a backup, whose numbers were
// given already. Stop the relays first: they read the epoch when they begin to lead.
func (o *Outbox) NewEpoch(ctx context.Context) error {
	if o.err != nil {
		return o.err
	}
	if err := o.dialect.SetEpoch(ctx, o.db, o.opts.Table, rand.Text()); err != nil {
		return fmt.Errorf("outbox: new epoch: %w", err)
	}
	return nil
}

// Append adds events to the topic within the caller's transaction: they will be
// published if and only if it commits. Call it after the statements that make the
// change, so that transactions which wait for each other's row locks append in the
// order in which they commit.
//
// A missing ID or Time is filled in, in what is stored; everything else that
// CloudEvents requires must be there. The extensions "sequence" and "epoch" are
// the relay's. The error wraps [bus.ErrInvalidEvent], [bus.ErrInvalidTopic] or
// [bus.ErrTooLarge] when that is what is wrong, and nothing was added then.
//
// After the commit call [Outbox.Wake], or use [Outbox.InTx], which does.
func (o *Outbox) Append(ctx context.Context, tx *sql.Tx, topic string, events ...bus.Event) error {
	if o.err != nil {
		return o.err
	}
	if len(events) == 0 {
		return nil
	}
	if tx == nil {
		return fmt.Errorf("outbox: append to %s: there is no transaction", topic)
	}
	if err := bus.CheckName(topic); err != nil {
		return fmt.Errorf("outbox: append: %w", err)
	}
	now := o.opts.Clock()
	rows := make([]string, len(events))
	for i := range events {
		e := events[i]
		if e.ID == "" {
			e.ID = rand.Text()
		}
		if e.Time.IsZero() {
			e.Time = now.UTC()
		}
		data, err := e.AppendJSON(nil)
		if err != nil {
			return fmt.Errorf("outbox: append to %s: event %d: %w", topic, i, err)
		}
		if len(data) > o.opts.MaxEventBytes {
			return fmt.Errorf("outbox: append to %s: event %d: %w: %d bytes, allowed are %d", topic, i, bus.ErrTooLarge, len(data), o.opts.MaxEventBytes)
		}
		rows[i] = string(data)
	}
	if err := o.dialect.Append(ctx, tx, o.opts.Table, topic, rows, now, o.opts.DisableNotify); err != nil {
		return fmt.Errorf("outbox: append to %s: %w", topic, o.unmade(err))
	}
	if _, ours := o.own.Load(tx); !ours {
		o.signal(func(w *waker) chan struct{} { return w.soon })
	}
	return nil
}

// InTx calls fn in a transaction, commits it when fn returns nil, and wakes the
// relay. Otherwise, also when fn panics, it rolls back. fn's error is returned as
// it is. On SQLite the transaction holds the write lock from its beginning, so it
// isn't refused half way for having read first.
func (o *Outbox) InTx(ctx context.Context, fn func(tx *sql.Tx) error) error {
	if o.err != nil {
		return o.err
	}
	if fn == nil {
		return errors.New("outbox: InTx has no function to call")
	}
	tx, err := o.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("outbox: begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if err := o.dialect.Begin(ctx, tx, o.opts.Table); err != nil {
		return fmt.Errorf("outbox: begin: %w", o.unmade(err))
	}
	o.own.Store(tx, nil)
	defer o.own.Delete(tx)
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("outbox: commit: %w", err)
	}
	o.Wake()
	return nil
}

// Wake tells this process's relay to look now. Call it after a transaction with
// Append has committed. Without it the relay looks in short, growing intervals
// after Append, and at its usual interval in any case. Wake doesn't block.
func (o *Outbox) Wake() { o.signal(func(w *waker) chan struct{} { return w.now }) }

// Channel returns the name of the PostgreSQL notification channel.
func (o *Outbox) Channel() string { return o.opts.Table }

// Backlog is what waits in the table.
type Backlog = driver.Backlog

// Backlog asks the database what waits for publication. Any process may ask; what
// the leading relay itself knows is in [Relay.Stats].
func (o *Outbox) Backlog(ctx context.Context) (Backlog, error) {
	if o.err != nil {
		return Backlog{}, o.err
	}
	b, err := o.dialect.Backlog(ctx, o.db, o.opts.Table)
	if err != nil {
		return Backlog{}, fmt.Errorf("outbox: backlog: %w", err)
	}
	return b, nil
}

func (o *Outbox) signal(pick func(*waker) chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for w := range o.relays {
		select {
		case pick(w) <- struct{}{}:
		default:
		}
	}
}

func (o *Outbox) attach(w *waker) (detach func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.relays[w] = struct{}{}
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.relays, w)
	}
}
