package driver

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// ErrHeld is returned by Dialect.Lead while another relay leads.
var ErrHeld = errors.New("another relay leads")

// ErrLost is wrapped by the errors of a Leadership whose holder leads no more.
var ErrLost = errors.New("leadership is lost")

// Dialect speaks to one kind of database. All methods may be called at once from
// any goroutine. table is the name of the outbox's main table; it is made of a-z,
// 0-9 and underscores, and is the prefix of every other name that the dialect
// takes for itself.
type Dialect interface {
	// String returns the name of the database for people.
	String() string

	// Migrate creates what is missing and leaves alone what is there, in one
	// transaction where the database can. Processes that start together may call
	// it together. epoch is stored if none is yet.
	Migrate(ctx context.Context, db *sql.DB, table, epoch string) error

	// SetEpoch replaces the epoch.
	SetEpoch(ctx context.Context, db *sql.DB, table, epoch string) error

	// Begin is called first in a transaction that will write. A database in which
	// a transaction that began by reading can't always go on to write takes its
	// lock here; for others it does nothing.
	Begin(ctx context.Context, tx *sql.Tx, table string) error

	// Append adds rows for the encoded events, in this order, within tx and
	// without committing. now is the time for the age of the rows. Unless quiet it
	// also arranges, where the database can, that relays in other processes are
	// woken by the commit.
	Append(ctx context.Context, tx *sql.Tx, table, topic string, events []string, now time.Time, quiet bool) error

	// Backlog counts what waits for publication.
	Backlog(ctx context.Context, db *sql.DB, table string) (Backlog, error)

	// Lead makes the caller the leader and returns its Leadership, or ErrHeld
	// while somebody else is. It doesn't wait for the other to go.
	Lead(ctx context.Context, db *sql.DB, opts LeadOptions) (Leadership, error)
}

// LeadOptions are the options of Dialect.Lead; the core has filled in every field.
type LeadOptions struct {
	// Table is the main table.
	Table string
	// TTL is how long a leader may go without Read before somebody else may lead.
	TTL time.Duration
	// Clock is the process's clock.
	Clock func() time.Time
}

// Leadership is the right to number and to publish. Its methods are called from
// one goroutine at a time. After any of them failed the core calls only Close.
//
// Read, Load and Topics fail, with an error that wraps ErrLost where the dialect
// knows, once somebody else leads or may lead: this is what makes a relay harmless
// that was suspended and doesn't know that time went by. The check must be one
// with the reading, in one transaction or on the one connection that holds the
// lock.
type Leadership interface {
	// Epoch returns the epoch that was stored when the leadership began.
	Epoch() string

	// Topics returns every topic that ever had a row that is numbered, as they are
	// now. Read returns the rows that become numbered after it. The core calls
	// Topics once, first.
	Topics(ctx context.Context) ([]Topic, error)

	// Read removes the rows named by published, and returns rows that Read hasn't
	// returned before, no more than limit of them, numbered for good: numbers go on
	// from the topic's last without a hole, and no later crash changes them.
	//
	// Numbers follow the order in which transactions became visible; rows that
	// became visible together are numbered by their place in the table, and those
	// of one transaction in the order of Append. A number needn't be stored before
	// Read returns if whoever leads next is bound to give the same one.
	Read(ctx context.Context, limit int, published []Mark) (Batch, error)

	// Load returns rows of the topic with numbers greater than after, in order, no
	// more than limit.
	Load(ctx context.Context, topic string, after uint64, limit int) ([]Row, error)

	// Close gives the leadership up, so that another may lead at once.
	Close(ctx context.Context) error
}

// Batch is what Read found.
type Batch struct {
	// Time was taken before Read looked: every transaction that was committed
	// before Time is visible to this Read or an earlier one. So the clock must be
	// read before the snapshot is taken, never after.
	Time time.Time
	// Rows are the rows, those of one topic in the order of their numbers.
	Rows []Row
	// More says that there may be rows that limit kept out.
	More bool
}

// Row is an event that waits for publication.
type Row struct {
	// Topic is where it goes.
	Topic string
	// Sequence is its number in the topic, from 1.
	Sequence uint64
	// Event is the encoded event as it was appended.
	Event string
	// Appended is about when it was appended.
	Appended time.Time
}

// Mark says that a topic is published up to a number, inclusive.
type Mark struct {
	Topic    string
	Sequence uint64
}

// Topic is the state of a topic.
type Topic struct {
	// Name is the topic.
	Name string
	// Last is the greatest number that was given.
	Last uint64
	// Removed is the number before the first row that is still there, or Last if
	// there is none.
	Removed uint64
}

// Backlog is what waits for publication, by what is committed.
type Backlog struct {
	// Rows counts events; some of them may be published and not yet removed.
	Rows int64
	// Oldest is when the oldest of them was appended; zero without rows.
	Oldest time.Time
}
