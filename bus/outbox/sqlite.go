package outbox

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/goswale/swale/bus/outbox/driver"
)

// sqliteDialect is constant so that nobody can exchange SQLite at run time.
type sqliteDialect string

// SQLite is the dialect for SQLite 3.35 or newer through any database/sql driver.
//
// SQLite has one writer at a time, and whoever appends is it until the commit. So
// Append gives the numbers, and they are in commit order. One relay leads by a
// lease in a row of the database; T of the watermark is by the process's clock.
const SQLite = sqliteDialect("SQLite")

// maxTTL is the longest lease, and what tells a lease from the future from one
// that was made before the clock was set back.
const maxTTL = 30 * time.Second

func (d sqliteDialect) String() string { return string(d) }

func (sqliteDialect) Migrate(ctx context.Context, db *sql.DB, table, epoch string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, s := range []string{
		// AUTOINCREMENT: an id is never used again, so a relay may remember how far it got.
		`CREATE TABLE IF NOT EXISTS {t} (
			id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, sequence INTEGER NOT NULL,
			event TEXT NOT NULL, created INTEGER NOT NULL)`,
		`CREATE UNIQUE INDEX IF NOT EXISTS {t}_sequence ON {t} (topic, sequence)`,
		`CREATE TABLE IF NOT EXISTS {t}_topic (topic TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID`,
		`CREATE TABLE IF NOT EXISTS {t}_lease (
			id INTEGER PRIMARY KEY CHECK (id = 1), epoch TEXT NOT NULL, owner TEXT NOT NULL, expires INTEGER NOT NULL)`,
	} {
		if _, err := tx.ExecContext(ctx, in(table, s)); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, in(table, `INSERT INTO {t}_lease (id, epoch, owner, expires) VALUES (1, $1, '', 0) ON CONFLICT DO NOTHING`), epoch); err != nil {
		return err
	}
	return tx.Commit()
}

func (sqliteDialect) SetEpoch(ctx context.Context, db *sql.DB, table, epoch string) error {
	_, err := db.ExecContext(ctx, in(table, `UPDATE {t}_lease SET epoch = $1`), epoch)
	return err
}

// Begin takes the write lock by a statement that writes nothing.
func (sqliteDialect) Begin(ctx context.Context, tx *sql.Tx, table string) error {
	_, err := tx.ExecContext(ctx, in(table, `UPDATE {t}_lease SET owner = owner WHERE id = 0`))
	return err
}

func (sqliteDialect) Append(ctx context.Context, tx *sql.Tx, table, topic string, events []string, now time.Time, _ bool) error {
	var last int64
	err := tx.QueryRowContext(ctx, in(table, `INSERT INTO {t}_topic AS k (topic, last) VALUES ($1, $2)
		ON CONFLICT (topic) DO UPDATE SET last = k.last + excluded.last RETURNING last`), topic, len(events)).Scan(&last)
	if err != nil {
		return err
	}
	next, created := last-int64(len(events))+1, now.UnixMilli()
	for len(events) > 0 {
		n := min(len(events), maxInsertRows)
		args := make([]any, 0, 4*n)
		for _, e := range events[:n] {
			args = append(args, topic, next, e, created)
			next++
		}
		events = events[n:]
		if _, err := tx.ExecContext(ctx, in(table, `INSERT INTO {t} (topic, sequence, event, created) VALUES `+placeholders(n, 4)), args...); err != nil {
			return err
		}
	}
	return nil
}

func (sqliteDialect) Backlog(ctx context.Context, db *sql.DB, table string) (driver.Backlog, error) {
	var b driver.Backlog
	var oldest sql.NullInt64
	err := db.QueryRowContext(ctx, in(table, `SELECT COUNT(*), MIN(created) FROM {t}`)).Scan(&b.Rows, &oldest)
	b.Oldest = moment(oldest)
	return b, err
}

func (sqliteDialect) Lead(ctx context.Context, db *sql.DB, opts driver.LeadOptions) (driver.Leadership, error) {
	opts.TTL = min(opts.TTL, maxTTL)
	l := &lease{db: db, opts: opts, owner: rand.Text()}
	now := opts.Clock()
	// Looking first keeps relays that wait from taking the write lock again and again.
	var free bool
	const vacant = `(owner = '' OR expires <= $1 OR expires > $2)`
	args := []any{now.UnixMilli(), now.Add(2 * maxTTL).UnixMilli()}
	if err := db.QueryRowContext(ctx, in(opts.Table, `SELECT `+vacant+`, epoch FROM {t}_lease WHERE id = 1`), args...).Scan(&free, &l.epoch); err != nil {
		return nil, err
	}
	if !free {
		return nil, driver.ErrHeld
	}
	res, err := db.ExecContext(ctx, in(opts.Table, `UPDATE {t}_lease SET owner = $3, expires = $4 WHERE id = 1 AND `+vacant),
		append(args, l.owner, now.Add(opts.TTL).UnixMilli())...)
	if err != nil {
		return nil, err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return nil, driver.ErrHeld
	}
	l.renewed = now
	return l, nil
}

// lease is the leadership over an outbox in SQLite. Its owner is a word that is
// used for one leadership only, so it also tells a leader from its own past.
type lease struct {
	db      *sql.DB
	opts    driver.LeadOptions
	owner   string
	epoch   string
	next    *sql.Stmt // selects up to limit rows after an id
	limit   int
	cursor  int64 // the greatest id that Topics or Read has seen
	renewed time.Time
}

func (l *lease) Epoch() string { return l.epoch }

func (l *lease) Topics(ctx context.Context) ([]driver.Topic, error) {
	var topics []driver.Topic
	err := l.write(ctx, func(tx *sql.Tx) (err error) {
		if topics, err = readTopics(ctx, tx, l.opts.Table); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, in(l.opts.Table, `SELECT COALESCE(MAX(id), 0) FROM {t}`)).Scan(&l.cursor)
	})
	return topics, err
}

// Read returns what has a greater id than all before. Ids are in commit order.
func (l *lease) Read(ctx context.Context, limit int, published []driver.Mark) (driver.Batch, error) {
	if err := patiently(ctx, l.opts.TTL/4, func() error { return l.prepare(ctx, limit) }); err != nil {
		return driver.Batch{}, err
	}
	b := driver.Batch{Time: l.opts.Clock()}
	read := func(q *sql.Stmt) (err error) {
		rows, err := q.QueryContext(ctx, l.cursor)
		b.Rows, err = l.rows(rows, err)
		return err
	}
	var err error
	if len(published) == 0 && b.Time.Sub(l.renewed).Abs() < l.opts.TTL/4 {
		err = patiently(ctx, l.opts.TTL/4, func() error { return read(l.next) })
	} else {
		err = l.write(ctx, func(tx *sql.Tx) error {
			if err := removePublished(ctx, tx, l.opts.Table, published); err != nil {
				return err
			}
			return read(tx.StmtContext(ctx, l.next))
		})
	}
	b.More = len(b.Rows) == limit
	return b, err
}

// prepare has the statement ready that Read is for. The limit is a part of it:
// SQLite plans a statement anew after each time that a limit was bound.
func (l *lease) prepare(ctx context.Context, limit int) (err error) {
	if l.next != nil && l.limit == limit {
		return nil
	}
	if l.next != nil {
		_ = l.next.Close() // of no more use
	}
	l.limit = limit
	l.next, err = l.db.PrepareContext(ctx, in(l.opts.Table, rowsOf+`o.id > $1 WHERE l.id = 1 ORDER BY o.id LIMIT `+strconv.Itoa(limit)))
	return err
}

// rowsOf selects rows and the lease in one statement, so in one snapshot.
const rowsOf = `SELECT l.owner, o.id, o.topic, o.sequence, o.event, o.created FROM {t}_lease l LEFT JOIN {t} o ON `

// rows reads what was selected. Who is no longer the owner in it gets nothing.
func (l *lease) rows(selected *sql.Rows, err error) ([]driver.Row, error) {
	held := false
	var found []driver.Row
	err = each(selected, err, func(rows *sql.Rows) error {
		var owner string
		var id, sequence, created sql.NullInt64
		var topic, event sql.NullString
		if err := rows.Scan(&owner, &id, &topic, &sequence, &event, &created); err != nil {
			return err
		}
		held = owner == l.owner
		if held && id.Valid {
			l.cursor = max(l.cursor, id.Int64)
			found = append(found, driver.Row{Topic: topic.String, Sequence: uint64(sequence.Int64), Event: event.String, Appended: moment(created)})
		}
		return nil
	})
	if err == nil && !held {
		err = fmt.Errorf("%w: the lease is somebody else's", driver.ErrLost)
	}
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Load can move the cursor only to rows that Topics has counted.
func (l *lease) Load(ctx context.Context, topic string, after uint64, limit int) ([]driver.Row, error) {
	return l.rows(l.db.QueryContext(ctx, in(l.opts.Table, rowsOf+`o.topic = $1 AND o.sequence > $2 AND o.id <= $3 WHERE l.id = 1 ORDER BY o.sequence LIMIT $4`),
		topic, int64(after), l.cursor, limit))
}

// Close ends the lease if it is still ours.
func (l *lease) Close(ctx context.Context) error {
	_, err := l.db.ExecContext(ctx, in(l.opts.Table, `UPDATE {t}_lease SET owner = '', expires = 0 WHERE owner = $1`), l.owner)
	if l.next != nil {
		err = errors.Join(err, l.next.Close())
	}
	return err
}

// write calls fn, maybe several times, in a transaction that renewed the lease
// first. The renewal is what takes the write lock, so nothing that fn does can be
// refused for having read before.
func (l *lease) write(ctx context.Context, fn func(*sql.Tx) error) error {
	return patiently(ctx, l.opts.TTL/4, func() error { return l.writeOnce(ctx, fn) })
}

// patiently repeats what failed because somebody else holds the database's lock:
// not every program sets busy_timeout.
func patiently(ctx context.Context, most time.Duration, do func() error) error {
	const pause = 2 * time.Millisecond
	for began := time.Now(); ; {
		err := do()
		if err == nil || !isBusy(err) || time.Since(began) > most {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// isBusy knows SQLITE_BUSY and SQLITE_LOCKED by the library's own words, because
// every driver has another type for them.
func isBusy(err error) bool {
	return strings.Contains(err.Error(), "database is locked") || strings.Contains(err.Error(), "table is locked")
}

func (l *lease) writeOnce(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	now := l.opts.Clock()
	res, err := tx.ExecContext(ctx, in(l.opts.Table, `UPDATE {t}_lease SET expires = $1 WHERE id = 1 AND owner = $2`), now.Add(l.opts.TTL).UnixMilli(), l.owner)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("%w: the lease is somebody else's", driver.ErrLost)
	}
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	l.renewed = now
	return nil
}
