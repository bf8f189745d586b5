package outbox

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/goswale/swale/bus/outbox/driver"
)

type postgresDialect string

// PostgreSQL is the dialect for PostgreSQL 12 or newer through any database/sql
// driver. From version 14 on the server itself ends the leadership of a relay that
// hangs.
//
// Transactions commit in another order than they took their ids. So a relay gives
// the numbers, once rows have become visible. One relay leads by an advisory lock
// that belongs to a connection of its own; a pooler between them must not share
// that connection (session pooling, not transaction pooling). T of the watermark
// is by the clock of the database, which all relays have in common.
const PostgreSQL = postgresDialect("PostgreSQL")

// lockClass is the upper half of every advisory lock's key; the lower half is the
// main table's oid, so outboxes of other tables and schemas have locks of their own.
const lockClass = 0x73776f62

func (d postgresDialect) String() string { return string(d) }

func (postgresDialect) Migrate(ctx context.Context, db *sql.DB, table, epoch string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	// CREATE IF NOT EXISTS is no protection against another one at the same time.
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(lockClass)<<32); err != nil {
		return err
	}
	for _, s := range []string{
		`CREATE TABLE IF NOT EXISTS {t} (
			id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text NOT NULL, sequence bigint,
			event text NOT NULL, created timestamptz NOT NULL DEFAULT clock_timestamp())
			WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)`,
		`CREATE UNIQUE INDEX IF NOT EXISTS {t}_sequence ON {t} (topic, sequence) WHERE sequence IS NOT NULL`,
		`CREATE INDEX IF NOT EXISTS {t}_unnumbered ON {t} (id) WHERE sequence IS NULL`,
		`CREATE TABLE IF NOT EXISTS {t}_topic (topic text PRIMARY KEY, last bigint NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS {t}_lease (id int PRIMARY KEY CHECK (id = 1), epoch text NOT NULL)`,
	} {
		if _, err := tx.ExecContext(ctx, in(table, s)); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, in(table, `INSERT INTO {t}_lease (id, epoch) VALUES (1, $1) ON CONFLICT DO NOTHING`), epoch); err != nil {
		return err
	}
	return tx.Commit()
}

func (postgresDialect) SetEpoch(ctx context.Context, db *sql.DB, table, epoch string) error {
	_, err := db.ExecContext(ctx, in(table, `UPDATE {t}_lease SET epoch = $1`), epoch)
	return err
}

func (postgresDialect) Begin(context.Context, *sql.Tx, string) error { return nil }

// Append takes no lock that another appender would wait for.
func (postgresDialect) Append(ctx context.Context, tx *sql.Tx, table, topic string, events []string, _ time.Time, quiet bool) error {
	for len(events) > 0 {
		n := min(len(events), maxInsertRows)
		args := make([]any, 0, 2*n+1)
		for _, e := range events[:n] {
			args = append(args, topic, e)
		}
		events = events[n:]
		insert := strings.Replace(in(table, `INSERT INTO {t} (topic, event) VALUES {v}`), "{v}", placeholders(n, 2), 1)
		if len(events) == 0 && !quiet {
			// One statement for both saves a round trip. The notification is sent when
			// the transaction commits, once however often it was asked for.
			insert = `WITH added AS (` + insert + `) SELECT pg_notify($` + strconv.Itoa(2*n+1) + `, '')`
			args = append(args, table)
		}
		if _, err := tx.ExecContext(ctx, insert, args...); err != nil {
			return err
		}
	}
	return nil
}

func (postgresDialect) Backlog(ctx context.Context, db *sql.DB, table string) (driver.Backlog, error) {
	var b driver.Backlog
	var oldest sql.NullTime
	err := db.QueryRowContext(ctx, in(table, `SELECT count(*), min(created) FROM {t}`)).Scan(&b.Rows, &oldest)
	b.Oldest = oldest.Time
	return b, err
}

func (postgresDialect) Lead(ctx context.Context, db *sql.DB, opts driver.LeadOptions) (driver.Leadership, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	var key sql.NullInt64
	var got sql.NullBool
	err = conn.QueryRowContext(ctx, `SELECT key, pg_try_advisory_lock(key) FROM (SELECT ($1::bigint << 32) | to_regclass($2)::oid::bigint AS key) AS k`,
		int64(lockClass), opts.Table).Scan(&key, &got)
	if err == nil && !key.Valid {
		err = fmt.Errorf("there is no table %s; call Migrate first", opts.Table)
	}
	if err == nil && !got.Bool {
		err = driver.ErrHeld
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	l := &session{conn: conn, table: opts.Table}
	// A relay that hangs reads nothing. The server then ends its connection, and
	// with it the lock, so that another relay can lead (PostgreSQL 14).
	ttl := strconv.FormatInt(opts.TTL.Milliseconds(), 10)
	_, err = conn.ExecContext(ctx, `SELECT set_config(name, $1, false) FROM pg_settings
		WHERE name IN ('idle_session_timeout', 'idle_in_transaction_session_timeout')`, ttl)
	if err == nil {
		err = conn.QueryRowContext(ctx, in(opts.Table, `SELECT epoch FROM {t}_lease WHERE id = 1`)).Scan(&l.epoch)
	}
	if err != nil {
		_ = l.Close(ctx)
		return nil, err
	}
	return l, nil
}

// session is the leadership over an outbox in PostgreSQL: a connection that holds
// the advisory lock. Whatever it reads it reads as the leader, because the lock
// goes when the connection goes.
type session struct {
	conn  *sql.Conn
	table string
	epoch string
}

func (l *session) Epoch() string { return l.epoch }

func (l *session) Topics(ctx context.Context) ([]driver.Topic, error) {
	return readTopics(ctx, l.conn, l.table)
}

// number gives numbers to rows that have none and returns them. It is one
// statement, so one snapshot, and now() is when its transaction began: before the
// snapshot was taken. clock_timestamp() would be after it, and a lie.
const number = `
WITH oldest AS MATERIALIZED (
	SELECT id, topic FROM {t} WHERE sequence IS NULL ORDER BY id LIMIT $1
), pending AS (
	SELECT id, topic, row_number() OVER (PARTITION BY topic ORDER BY id) AS n, count(*) OVER (PARTITION BY topic) AS of
	FROM oldest
), counted AS (
	INSERT INTO {t}_topic AS k (topic, last)
	SELECT topic, count(*) FROM oldest GROUP BY topic ORDER BY topic
	ON CONFLICT (topic) DO UPDATE SET last = k.last + excluded.last
	RETURNING topic, last
), numbered AS (
	UPDATE {t} AS o SET sequence = c.last - p.of + p.n
	FROM pending p JOIN counted c ON c.topic = p.topic
	WHERE o.id = p.id
	RETURNING o.id, o.topic, o.sequence, o.event, o.created
)
SELECT now(), n.topic, n.sequence, n.event, n.created
FROM (SELECT 1) AS always LEFT JOIN numbered n ON true
ORDER BY n.id`

// Read numbers durably before it returns: what is published afterwards has the
// number that it will have after any crash.
func (l *session) Read(ctx context.Context, limit int, published []driver.Mark) (driver.Batch, error) {
	var b driver.Batch
	var err error
	if len(published) == 0 {
		err = l.number(ctx, l.conn, &b, limit)
	} else {
		err = l.removeAndNumber(ctx, &b, limit, published)
	}
	b.More = len(b.Rows) == limit
	return b, err
}

func (l *session) removeAndNumber(ctx context.Context, b *driver.Batch, limit int, published []driver.Mark) error {
	tx, err := l.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := removePublished(ctx, tx, l.table, published); err != nil {
		return err
	}
	if err := l.number(ctx, tx, b, limit); err != nil {
		return err
	}
	return tx.Commit()
}

func (l *session) number(ctx context.Context, q querier, b *driver.Batch, limit int) error {
	return collect(ctx, q, func(rows *sql.Rows) error {
		var topic, event sql.NullString
		var sequence sql.NullInt64
		var created sql.NullTime
		if err := rows.Scan(&b.Time, &topic, &sequence, &event, &created); err != nil {
			return err
		}
		if sequence.Valid {
			b.Rows = append(b.Rows, driver.Row{Topic: topic.String, Sequence: uint64(sequence.Int64), Event: event.String, Appended: created.Time})
		}
		return nil
	}, in(l.table, number), limit)
}

func (l *session) Load(ctx context.Context, topic string, after uint64, limit int) ([]driver.Row, error) {
	var found []driver.Row
	err := collect(ctx, l.conn, func(rows *sql.Rows) error {
		r := driver.Row{Topic: topic}
		if err := rows.Scan(&r.Sequence, &r.Event, &r.Appended); err != nil {
			return err
		}
		found = append(found, r)
		return nil
	}, in(l.table, `SELECT sequence, event, created FROM {t} WHERE topic = $1 AND sequence > $2 ORDER BY sequence LIMIT $3`),
		topic, int64(after), limit)
	return found, err
}

// Close ends the connection rather than giving it back to the pool: with it go the
// lock, whatever state it is in, and the settings.
func (l *session) Close(context.Context) error {
	err := l.conn.Raw(func(any) error { return sqldriver.ErrBadConn })
	if err != nil && err != sqldriver.ErrBadConn && err != sql.ErrConnDone { //nolint:errorlint // compared with what was passed in
		return fmt.Errorf("close the leader's connection: %w", err)
	}
	return nil
}
