package outbox

import (
	"context"
	"database/sql"
	"errors"
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
// Transactions commit in another order than they took their ids. So a row gets its
// place in the order while its transaction commits: a deferred trigger takes it, and
// a lock, which is released when the commit is visible. Rows are therefore seen in
// the order of their places, and the relay, which only counts them, needs no write
// before it publishes. Transactions with Append so commit one after the other, as
// NOTIFY alone has them do. With Options.DisableNotify they don't: then the relay
// gives the places, of what it finds together at the same time.
//
// One relay leads by an advisory lock that belongs to a connection of its own; a
// pooler between them must not share that connection (session pooling, not
// transaction pooling). T of the watermark is by the clock of the database, which
// all relays have in common.
//
// A role that appends needs INSERT, SELECT and UPDATE on the main table, and USAGE
// on the sequence that has its name and "_places".
const PostgreSQL = postgresDialect("PostgreSQL")

// The upper half of every advisory lock's key; the lower half is the main table's
// oid, so outboxes of other tables and schemas have locks of their own.
const (
	lockClass  = 0x73776f62 // of who leads
	orderClass = 0x73776f63 // of who gives places
)

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
	var schema sql.NullString
	if err := tx.QueryRowContext(ctx, `SELECT quote_ident(current_schema())`).Scan(&schema); err != nil {
		return err
	}
	if !schema.Valid {
		return errors.New("no schema of the connection's search_path is there to create tables in")
	}
	names := strings.NewReplacer("{s}", schema.String, "{k}", strconv.FormatInt(int64(orderClass)<<32, 10))
	for _, s := range postgresSchema {
		if _, err := tx.ExecContext(ctx, names.Replace(in(table, s))); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, in(table, `INSERT INTO {t}_lease (id, epoch) VALUES (1, $1) ON CONFLICT DO NOTHING`), epoch); err != nil {
		return err
	}
	return tx.Commit()
}

// postgresSchema makes the outbox in schema {s}. A row's place is null until the
// relay gives it one, 0 until the row's transaction does, and positive then. Places
// have holes, where a commit failed; numbers, which count them, don't. sequence is
// null until the relay has written down the number.
var postgresSchema = []string{
	`CREATE TABLE IF NOT EXISTS {t} (
		id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text NOT NULL, place bigint, sequence bigint,
		event text NOT NULL, created timestamptz NOT NULL DEFAULT clock_timestamp())
		WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)`,
	`CREATE UNIQUE INDEX IF NOT EXISTS {t}_sequence ON {t} (topic, sequence) WHERE sequence IS NOT NULL`,
	`CREATE UNIQUE INDEX IF NOT EXISTS {t}_unnumbered ON {t} (place) WHERE place > 0 AND sequence IS NULL`,
	`CREATE INDEX IF NOT EXISTS {t}_unplaced ON {t} (id) WHERE place IS NULL`,
	`CREATE SEQUENCE IF NOT EXISTS {t}_places`,
	`CREATE TABLE IF NOT EXISTS {t}_topic (topic text PRIMARY KEY, last bigint NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS {t}_lease (id int PRIMARY KEY CHECK (id = 1), epoch text NOT NULL)`,
	// Runs while the transaction commits. The lock goes after the transaction has
	// become visible. It finds its row where it was written, not by the primary key:
	// a serializable transaction that searches an index has read the page, the others
	// write their rows into the same one, and some of many are refused for it. Only
	// who changed the row after Append has it searched.
	`CREATE OR REPLACE FUNCTION {s}.{t}_commit() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$ BEGIN
		PERFORM pg_advisory_xact_lock({k} | TG_RELID::bigint);
		UPDATE {s}.{t} SET place = nextval('{s}.{t}_places') WHERE ctid = NEW.ctid;
		IF NOT FOUND THEN
			UPDATE {s}.{t} SET place = nextval('{s}.{t}_places') WHERE id = NEW.id;
		END IF;
		RETURN NULL;
	END $$`,
	`DO $$ BEGIN
		IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = '{s}.{t}'::regclass AND tgname = '{t}_commit') THEN
			CREATE CONSTRAINT TRIGGER {t}_commit AFTER INSERT ON {s}.{t} DEFERRABLE INITIALLY DEFERRED
				FOR EACH ROW WHEN (NEW.place = 0) EXECUTE FUNCTION {s}.{t}_commit();
		END IF;
	END $$`,
	// One statement for the relay, so that no relay that hangs holds the lock. What
	// it places it sees after it has the lock.
	`CREATE OR REPLACE FUNCTION {s}.{t}_place(most int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
		PERFORM pg_advisory_xact_lock({k} | '{s}.{t}'::regclass::oid::bigint);
		WITH oldest AS MATERIALIZED (SELECT id FROM {s}.{t} WHERE place IS NULL ORDER BY id LIMIT most),
			placed AS MATERIALIZED (SELECT id, nextval('{s}.{t}_places') AS place FROM oldest)
		UPDATE {s}.{t} AS o SET place = placed.place FROM placed WHERE o.id = placed.id;
	END $$`,
}

func (postgresDialect) SetEpoch(ctx context.Context, db *sql.DB, table, epoch string) error {
	_, err := db.ExecContext(ctx, in(table, `UPDATE {t}_lease SET epoch = $1`), epoch)
	return err
}

func (postgresDialect) Begin(context.Context, *sql.Tx, string) error { return nil }

// Append takes no lock that another appender would wait for; its commit does.
func (postgresDialect) Append(ctx context.Context, tx *sql.Tx, table, topic string, events []string, _ time.Time, quiet bool) error {
	place := sql.NullInt64{Valid: !quiet}
	for len(events) > 0 {
		n := min(len(events), maxInsertRows)
		args := make([]any, 0, 3*n+1)
		for _, e := range events[:n] {
			args = append(args, topic, e, place)
		}
		events = events[n:]
		insert := strings.Replace(in(table, `INSERT INTO {t} (topic, event, place) VALUES {v}`), "{v}", placeholders(n, 3), 1)
		if len(events) == 0 && !quiet {
			// One statement for both saves a round trip. The notification is sent when
			// the transaction commits, once however often it was asked for.
			insert = `WITH added AS (` + insert + `) SELECT pg_notify($` + strconv.Itoa(3*n+1) + `, '')`
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
	l := &session{conn: conn, table: opts.Table, topics: make(map[string]*account)}
	// A relay that hangs reads nothing. The server then ends its connection, and
	// with it the lock, so that another relay can lead (PostgreSQL 14).
	ttl := strconv.FormatInt(opts.TTL.Milliseconds(), 10)
	_, err = conn.ExecContext(ctx, `SELECT set_config(name, $1, false) FROM pg_settings
		WHERE name IN ('idle_session_timeout', 'idle_in_transaction_session_timeout')`, ttl)
	if err == nil {
		// The planner would estimate anew each time, which takes longer than reading.
		_, err = conn.ExecContext(ctx, `SET plan_cache_mode = force_generic_plan`)
	}
	if err == nil {
		err = conn.QueryRowContext(ctx, in(opts.Table, `SELECT epoch FROM {t}_lease WHERE id = 1`)).Scan(&l.epoch)
	}
	if err != nil {
		_ = l.Close(ctx)
		return nil, err
	}
	return l, nil
}
