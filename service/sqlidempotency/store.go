package sqlidempotency

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/goswale/swale/service"
)

// Options are the options of New. The zero value and nil are useful.
type Options struct {
	// Table is the name of the table: lower-case letters, digits and underscores,
	// at most 50. Default "swale_idempotency".
	Table string
	// SweepEvery is the least time between two deletions of what is over. Default
	// 1 min, negative for none: somebody else does it.
	SweepEvery time.Duration
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// sweepAtOnce bounds what one sweep deletes, so that nobody waits for it long.
const sweepAtOnce = 1000

// Store is a [service.IdempotencyStore] in a database. It is safe for concurrent
// use.
type Store struct {
	db    *sql.DB
	opts  Options
	swept atomic.Int64 // Unix milliseconds
}

var _ service.IdempotencyStore = (*Store)(nil)

var tableName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,49}$`)

// New returns a store in db, which stays the caller's to close. It panics without
// one, and if Options.Table can't be a table's name.
func New(db *sql.DB, opts *Options) *Store {
	if db == nil {
		panic("sqlidempotency: New: the *sql.DB is nil") //nolint:forbidigo // programmer error
	}
	s := &Store{db: db}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.Table == "" {
		s.opts.Table = "swale_idempotency"
	}
	if !tableName.MatchString(s.opts.Table) {
		panic(fmt.Sprintf("sqlidempotency: Options.Table is %q; a name has lower-case letters, digits and underscores", s.opts.Table)) //nolint:forbidigo // programmer error
	}
	if s.opts.SweepEvery == 0 {
		s.opts.SweepEvery = time.Minute
	}
	if s.opts.Now == nil {
		s.opts.Now = time.Now
	}
	return s
}

// Both databases take all of these. In SQLite a column of an unknown type keeps
// what it is given.
const (
	create = `CREATE TABLE IF NOT EXISTS {t} (key bytea PRIMARY KEY, fingerprint bytea NOT NULL, token text NOT NULL, until bigint NOT NULL, answer bytea)`
	index  = `CREATE INDEX IF NOT EXISTS {t}_until ON {t} (until)`
	claim  = `INSERT INTO {t} (key, fingerprint, token, until) VALUES ($1, $2, $3, $4)
		ON CONFLICT (key) DO UPDATE SET fingerprint = excluded.fingerprint, token = excluded.token, until = excluded.until, answer = NULL
		WHERE {t}.until <= $5`
	look   = `SELECT fingerprint, answer FROM {t} WHERE key = $1 AND until > $2`
	finish = `UPDATE {t} SET answer = $1, until = $2 WHERE key = $3 AND token = $4 AND answer IS NULL`
	drop   = `DELETE FROM {t} WHERE key = $1 AND token = $2 AND answer IS NULL`
	sweep  = `DELETE FROM {t} WHERE key IN (SELECT key FROM {t} WHERE until <= $1 LIMIT $2)`
)

func (s *Store) exec(ctx context.Context, query string, args ...any) (int64, error) {
	result, err := s.db.ExecContext(ctx, s.named(query), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (s *Store) named(query string) string { return strings.ReplaceAll(query, "{t}", s.opts.Table) }

// Migrate makes the table if it isn't there. Processes that start together may all
// call it.
func (s *Store) Migrate(ctx context.Context) (err error) {
	for range 3 {
		// In PostgreSQL IF NOT EXISTS is no protection against another one at the same
		// time: whoever is late finds it the next time.
		if _, err = s.exec(ctx, create); err == nil {
			if _, err = s.exec(ctx, index); err == nil {
				return nil
			}
		}
	}
	return fmt.Errorf("sqlidempotency: make the table %s: %w", s.opts.Table, err)
}

// stored is an answer as it is kept.
type stored struct {
	Status int                 `json:"status"`
	Header map[string][]string `json:"header,omitempty"`
	Body   []byte              `json:"body,omitempty"`
	Lost   bool                `json:"lost,omitempty"`
}

// hash bounds the length of keys, and keeps callers' names out of the database.
func hash(key string) []byte {
	h := sha256.Sum256([]byte(key))
	return h[:]
}

// Begin implements [service.IdempotencyStore].
func (s *Store) Begin(ctx context.Context, c service.Claim, lease time.Duration) (*service.Answer, error) {
	key := hash(c.Key)
	for range 10 {
		now := s.opts.Now()
		n, err := s.exec(ctx, claim, key, c.Fingerprint[:], c.Token, now.Add(lease).UnixMilli(), now.UnixMilli())
		if err != nil {
			return nil, fmt.Errorf("sqlidempotency: claim a key: %w", err)
		}
		if n > 0 {
			s.sweep(ctx, now)
			return nil, nil //nolint:nilnil // the contract's word for "it is yours"
		}
		var fingerprint, answer []byte
		err = s.db.QueryRowContext(ctx, s.named(look), key, now.UnixMilli()).Scan(&fingerprint, &answer)
		switch {
		case errors.Is(err, sql.ErrNoRows): // dropped or over since: it is to be had
			continue
		case err != nil:
			return nil, fmt.Errorf("sqlidempotency: look up a key: %w", err)
		case string(fingerprint) != string(c.Fingerprint[:]):
			return nil, service.ErrMismatch
		case answer == nil:
			return nil, service.ErrInProgress
		}
		var a stored
		if err := json.Unmarshal(answer, &a); err != nil {
			return nil, fmt.Errorf("sqlidempotency: the answer in table %s can't be read: %w", s.opts.Table, err)
		}
		return &service.Answer{Status: a.Status, Header: a.Header, Body: a.Body, Lost: a.Lost}, nil
	}
	return nil, service.ErrInProgress // others take it and give it back all the time
}

// Finish implements [service.IdempotencyStore].
func (s *Store) Finish(ctx context.Context, c service.Claim, a service.Answer, keep time.Duration) error {
	answer, err := json.Marshal(stored{Status: a.Status, Header: a.Header, Body: a.Body, Lost: a.Lost})
	if err == nil {
		_, err = s.exec(ctx, finish, answer, s.opts.Now().Add(keep).UnixMilli(), hash(c.Key), c.Token)
	}
	if err != nil {
		return fmt.Errorf("sqlidempotency: keep an answer: %w", err)
	}
	return nil
}

// Drop implements [service.IdempotencyStore].
func (s *Store) Drop(ctx context.Context, c service.Claim) error {
	if _, err := s.exec(ctx, drop, hash(c.Key), c.Token); err != nil {
		return fmt.Errorf("sqlidempotency: give a key back: %w", err)
	}
	return nil
}

// sweep deletes what is over. It is no part of the request that it comes with: what
// fails is tried again, and if the database is ill the next claim says so.
func (s *Store) sweep(ctx context.Context, now time.Time) {
	last, every := s.swept.Load(), s.opts.SweepEvery
	if every < 0 || now.UnixMilli()-last < every.Milliseconds() || !s.swept.CompareAndSwap(last, now.UnixMilli()) {
		return
	}
	if n, err := s.exec(ctx, sweep, now.UnixMilli(), sweepAtOnce); err == nil && n == sweepAtOnce {
		s.swept.CompareAndSwap(now.UnixMilli(), last) // there is more
	}
}
