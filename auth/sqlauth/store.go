package sqlauth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goswale/swale/auth/driver"
)

// Options configures a [Store]. The zero value, and nil, are useful.
type Options struct {
	// Table is the prefix of the tables' names, of a-z and "_". Default
	// "auth".
	Table string

	// Announce writes what a change announces in the transaction of the
	// change. Default: the store doesn't announce, and login's Publisher does.
	Announce func(ctx context.Context, tx *sql.Tx, all []driver.Announcement) error

	// Announced is called after such a transaction was committed, for example
	// to wake an outbox's relay.
	Announced func()
}

// Store is a [driver.Store] over a database. Make one with [New].
type Store struct {
	db   *sql.DB
	opts Options

	get, insert, update, remove, clear, uniqueTaken string
}

var _ driver.Store = (*Store)(nil)

// New returns a Store over a database, which stays the caller's. Its tables
// are made by [Store.Migrate].
func New(db *sql.DB, opts *Options) (*Store, error) {
	if db == nil {
		return nil, errors.New("sqlauth: the *sql.DB is nil")
	}
	s := &Store{db: db}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.Table == "" {
		s.opts.Table = "auth"
	}
	for _, c := range s.opts.Table {
		if (c < 'a' || c > 'z') && c != '_' {
			return nil, fmt.Errorf("sqlauth: table %q: only a-z and \"_\" are allowed", s.opts.Table)
		}
	}
	s.get = s.in(`SELECT {c} FROM {t}_record r WHERE r.kind = $1 AND r.id = $2 AND (r.expires IS NULL OR r.expires > $3)`)
	s.insert = s.in(`INSERT INTO {t}_record (kind, id, version, uniq, expires, keys, data) VALUES ($1, $2, 1, $3, $4, $5, $6) ON CONFLICT DO NOTHING`)
	s.update = s.in(`UPDATE {t}_record SET version = version + 1, uniq = $1, expires = $2, keys = $3, data = $4 WHERE kind = $5 AND id = $6 AND version = $7`)
	s.remove = s.in(`DELETE FROM {t}_record WHERE kind = $1 AND id = $2 AND version = $3`)
	s.clear = s.in(`DELETE FROM {t}_record WHERE kind = $1 AND (id = $2 OR uniq = $3) AND expires <= $4`)
	s.uniqueTaken = s.in(`SELECT id FROM {t}_record WHERE kind = $1 AND uniq = $2`)
	return s, nil
}

// in puts the tables' prefix and the columns into a statement.
func (s *Store) in(statement string) string {
	return strings.NewReplacer("{t}", s.opts.Table, "{c}", "r.kind, r.id, r.version, r.uniq, r.expires, r.keys, r.data").Replace(statement)
}

// Migrate makes the tables, where they aren't there yet. It may be called by
// several processes at a time, and each time they start.
func (s *Store) Migrate(ctx context.Context) error {
	blob := "BLOB"
	var version string
	if err := s.db.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&version); err != nil {
		blob = "BYTEA"
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("sqlauth: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	statements := []string{
		`CREATE TABLE IF NOT EXISTS {t}_record (kind TEXT NOT NULL, id TEXT NOT NULL, version BIGINT NOT NULL, uniq TEXT,
			expires BIGINT, keys TEXT NOT NULL, data ` + blob + ` NOT NULL, PRIMARY KEY (kind, id))`,
		`CREATE UNIQUE INDEX IF NOT EXISTS {t}_record_uniq ON {t}_record (kind, uniq)`,
		`CREATE INDEX IF NOT EXISTS {t}_record_expires ON {t}_record (expires)`,
		`CREATE TABLE IF NOT EXISTS {t}_key (kind TEXT NOT NULL, k TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (kind, k, id),
			FOREIGN KEY (kind, id) REFERENCES {t}_record (kind, id) ON DELETE CASCADE)`,
		`CREATE INDEX IF NOT EXISTS {t}_key_id ON {t}_key (kind, id)`,
	}
	if blob == "BYTEA" {
		// Two processes that make the same table at a time would fail.
		statements = append([]string{`SELECT pg_advisory_xact_lock(hashtext('{t}_record'))`}, statements...)
	}
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, s.in(statement)); err != nil {
			return fmt.Errorf("sqlauth: migrate: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("sqlauth: migrate: %w", err)
	}
	return nil
}

// Get implements [driver.Store].
func (s *Store) Get(ctx context.Context, kind, id string, now time.Time) (driver.Record, error) {
	r, err := scan(s.db.QueryRowContext(ctx, s.get, kind, id, now.UnixMilli()))
	if errors.Is(err, sql.ErrNoRows) {
		return r, fmt.Errorf("%w: %s %q", driver.ErrNotFound, kind, id)
	}
	if err != nil {
		return r, fmt.Errorf("sqlauth: %w", err)
	}
	return r, nil
}

// Find implements [driver.Store].
func (s *Store) Find(ctx context.Context, kind, key, after string, limit int, now time.Time) ([]driver.Record, error) {
	query := `SELECT {c} FROM {t}_record r WHERE r.kind = $1 AND r.id > $2 AND (r.expires IS NULL OR r.expires > $3)`
	args := []any{kind, after, now.UnixMilli(), limit}
	if key != "" {
		// Two lookups by index; OR would be a scan.
		query = `SELECT {c} FROM (
			SELECT u.* FROM {t}_record u WHERE u.kind = $1 AND u.uniq = $5
			UNION SELECT o.* FROM {t}_key k JOIN {t}_record o ON o.kind = k.kind AND o.id = k.id WHERE k.kind = $1 AND k.k = $5
			) r WHERE r.id > $2 AND (r.expires IS NULL OR r.expires > $3)`
		args = append(args, key)
	}
	rows, err := s.db.QueryContext(ctx, s.in(query+` ORDER BY r.id LIMIT $4`), args...)
	if err != nil {
		return nil, fmt.Errorf("sqlauth: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var found []driver.Record
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("sqlauth: %w", err)
		}
		found = append(found, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sqlauth: %w", err)
	}
	return found, nil
}

func scan(row interface{ Scan(...any) error }) (driver.Record, error) {
	var r driver.Record
	var unique sql.NullString
	var expires sql.NullInt64
	var keys string
	if err := row.Scan(&r.Kind, &r.ID, &r.Version, &unique, &expires, &keys, &r.Data); err != nil {
		return driver.Record{}, err
	}
	r.Unique = unique.String
	if expires.Valid {
		r.Expires = time.UnixMilli(expires.Int64).UTC()
	}
	if keys != "" {
		r.Keys = strings.Split(keys, separator)
	}
	return r, nil
}

// separator stands between the keys of a record. PostgreSQL has no text with a
// zero byte, and no key has a control character.
const separator = "\x1f"

// Write implements [driver.Store].
func (s *Store) Write(ctx context.Context, ops []driver.Op, announce []driver.Announcement, now time.Time) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("sqlauth: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing after a commit
	// The same order for all who write, so that nobody waits in a circle.
	ordered := slices.Clone(ops)
	slices.SortStableFunc(ordered, func(a, b driver.Op) int {
		return strings.Compare(a.Kind+separator+a.ID, b.Kind+separator+b.ID)
	})
	for _, op := range ordered {
		if err := s.apply(ctx, tx, op, now); err != nil {
			return err
		}
	}
	if s.Announces() && len(announce) > 0 {
		if err := s.opts.Announce(ctx, tx, announce); err != nil {
			return fmt.Errorf("sqlauth: announce: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("sqlauth: %w", err)
	}
	if s.opts.Announced != nil && len(announce) > 0 {
		s.opts.Announced()
	}
	return nil
}

func (s *Store) apply(ctx context.Context, tx *sql.Tx, op driver.Op, now time.Time) error {
	unique := sql.NullString{String: op.Unique, Valid: op.Unique != ""}
	expires := sql.NullInt64{Int64: op.Expires.UnixMilli(), Valid: !op.Expires.IsZero()}
	// What has expired isn't there. This comes first on SQLite for another
	// reason too: a transaction that begins with a write waits its turn, where
	// one that began by reading could not go on to write.
	if _, err := tx.ExecContext(ctx, s.clear, op.Kind, op.ID, unique, now.UnixMilli()); err != nil {
		return fmt.Errorf("sqlauth: %w", err)
	}
	if !op.Delete && unique.Valid && op.Version > 0 {
		var holder string
		switch err := tx.QueryRowContext(ctx, s.uniqueTaken, op.Kind, unique).Scan(&holder); {
		case err == nil && holder != op.ID:
			return fmt.Errorf("%w: %s %q", driver.ErrExists, op.Kind, op.Unique)
		case err != nil && !errors.Is(err, sql.ErrNoRows):
			return fmt.Errorf("sqlauth: %w", err)
		}
	}
	keys := strings.Join(op.Keys, separator)
	var result sql.Result
	var err error
	switch {
	case op.Delete:
		result, err = tx.ExecContext(ctx, s.remove, op.Kind, op.ID, op.Version)
	case op.Version == 0:
		result, err = tx.ExecContext(ctx, s.insert, op.Kind, op.ID, unique, expires, keys, op.Data)
	default:
		result, err = tx.ExecContext(ctx, s.update, unique, expires, keys, op.Data, op.Kind, op.ID, op.Version)
	}
	if err != nil {
		return fmt.Errorf("sqlauth: %w", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return fmt.Errorf("sqlauth: %w", err)
	}
	if n == 0 {
		return s.refused(ctx, tx, op)
	}
	return s.writeKeys(ctx, tx, op)
}

// refused says why nothing was written.
func (s *Store) refused(ctx context.Context, tx *sql.Tx, op driver.Op) error {
	if op.Version == 0 && !op.Delete && op.Unique != "" {
		var holder string
		switch err := tx.QueryRowContext(ctx, s.uniqueTaken, op.Kind, op.Unique).Scan(&holder); {
		case err == nil && holder != op.ID:
			return fmt.Errorf("%w: %s %q", driver.ErrExists, op.Kind, op.Unique)
		case err != nil && !errors.Is(err, sql.ErrNoRows):
			return fmt.Errorf("sqlauth: %w", err)
		}
	}
	return fmt.Errorf("%w: %s %q has not version %d", driver.ErrConflict, op.Kind, op.ID, op.Version)
}

// writeKeys keeps the keys where they are found. The record has them too.
func (s *Store) writeKeys(ctx context.Context, tx *sql.Tx, op driver.Op) error {
	// Also of a new record: SQLite leaves the keys of an expired one behind
	// unless foreign_keys is on.
	if _, err := tx.ExecContext(ctx, s.in(`DELETE FROM {t}_key WHERE kind = $1 AND id = $2`), op.Kind, op.ID); err != nil {
		return fmt.Errorf("sqlauth: %w", err)
	}
	if op.Delete {
		return nil
	}
	for _, k := range op.Keys {
		if _, err := tx.ExecContext(ctx, s.in(`INSERT INTO {t}_key (kind, k, id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`), op.Kind, k, op.ID); err != nil {
			return fmt.Errorf("sqlauth: %w", err)
		}
	}
	return nil
}

// Sweep implements [driver.Store].
func (s *Store) Sweep(ctx context.Context, limit int, now time.Time) (int, error) {
	result, err := s.db.ExecContext(ctx, s.in(`DELETE FROM {t}_record WHERE (kind, id) IN
		(SELECT kind, id FROM {t}_record WHERE expires <= $1 ORDER BY expires LIMIT $2)`), now.UnixMilli(), limit)
	if err != nil {
		return 0, fmt.Errorf("sqlauth: %w", err)
	}
	n, err := result.RowsAffected()
	if err == nil && n > 0 {
		_, err = s.db.ExecContext(ctx, s.in(`DELETE FROM {t}_key WHERE NOT EXISTS
			(SELECT 1 FROM {t}_record r WHERE r.kind = {t}_key.kind AND r.id = {t}_key.id)`))
	}
	if err != nil {
		return int(n), fmt.Errorf("sqlauth: %w", err)
	}
	return int(n), nil
}

// Announces implements [driver.Store].
func (s *Store) Announces() bool { return s.opts.Announce != nil }
