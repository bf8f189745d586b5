package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goswale/swale/resn/gateway"
)

// Store is a gateway.Store in a database: PostgreSQL 12 or newer and SQLite 3.35 or
// newer, through any database/sql driver; they take the same statements. Several
// gateways may share it. It is safe for concurrent use.
type Store struct {
	db     *sql.DB
	prefix string
}

var _ gateway.Store = (*Store)(nil)

// Options are the options of New. The zero value, and nil, are useful.
type Options struct {
	// Prefix begins the names of the three tables, which end in _token, _topic and
	// _subscription. Letters, digits and underscores. Default "gateway".
	Prefix string
}

var goodPrefix = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,40}$`)

// New returns a Store in db, which stays the caller's to close. Call
// Migrate once before use.
func New(db *sql.DB, opts *Options) (*Store, error) {
	s := &Store{db: db, prefix: "gateway"}
	if opts != nil && opts.Prefix != "" {
		s.prefix = opts.Prefix
	}
	if !goodPrefix.MatchString(s.prefix) {
		return nil, fmt.Errorf("sqlstore: prefix is %q; it must be letters, digits and underscores", s.prefix)
	}
	return s, nil
}

// Migrate makes the tables that aren't there. It may be called every time.
func (s *Store) Migrate(ctx context.Context) error {
	for _, statement := range []string{
		`CREATE TABLE IF NOT EXISTS {t}_token (
			id TEXT PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL UNIQUE, created BIGINT NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS {t}_topic (
			name TEXT PRIMARY KEY, owner TEXT NOT NULL, events BIGINT NOT NULL DEFAULT 0)`,
		`CREATE TABLE IF NOT EXISTS {t}_subscription (
			subscriber TEXT PRIMARY KEY, topics TEXT NOT NULL, callback TEXT NOT NULL, credential TEXT NOT NULL,
			deadline BIGINT NOT NULL, max_events BIGINT NOT NULL, format TEXT NOT NULL, types TEXT NOT NULL,
			rate BIGINT NOT NULL, paused TEXT NOT NULL, sent BIGINT NOT NULL DEFAULT 0)`,
	} {
		if err := s.exec(ctx, "migrate", statement); err != nil {
			return err
		}
	}
	return nil
}

// in puts the prefix of the tables into a statement. It was checked and needs no
// quoting.
func (s *Store) in(statement string) string {
	return strings.ReplaceAll(statement, "{t}", s.prefix)
}

func (s *Store) exec(ctx context.Context, what, statement string, args ...any) error {
	_, err := s.db.ExecContext(ctx, s.in(statement), args...)
	return failed(what, err)
}

// affect is exec for a statement that must find a row.
func (s *Store) affect(ctx context.Context, what, name, statement string, args ...any) error {
	r, err := s.db.ExecContext(ctx, s.in(statement), args...)
	if err != nil {
		return failed(what, err)
	}
	n, err := r.RowsAffected()
	if err == nil && n == 0 {
		return missing(what, name)
	}
	return failed(what, err)
}

func failed(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sqlstore: %s: %w", what, err)
}

// inTx runs fn in a transaction that begins with a write, so that SQLite gives
// it the lock for writing at once.
func (s *Store) inTx(ctx context.Context, what string, fn func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return failed(what, err)
	}
	defer func() { _ = tx.Rollback() }()
	if err := fn(tx); err != nil {
		return failed(what, err)
	}
	return failed(what, tx.Commit())
}

// Ping implements Store.
func (s *Store) Ping(ctx context.Context) error {
	var n int
	return failed("ping", s.db.QueryRowContext(ctx, s.in(`SELECT count(*) FROM {t}_token WHERE id = ''`)).Scan(&n))
}

// ClaimTopic implements Store.
func (s *Store) ClaimTopic(ctx context.Context, name, owner string) (gateway.Topic, error) {
	t := gateway.Topic{Name: name}
	err := s.db.QueryRowContext(ctx, s.in(`
		INSERT INTO {t}_topic AS k (name, owner) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET owner = CASE WHEN k.owner = '' THEN excluded.owner ELSE k.owner END
		RETURNING owner, events`), name, owner).Scan(&t.Owner, &t.Events)
	return t, failed("claim topic "+name, err)
}

// Topic implements Store.
func (s *Store) Topic(ctx context.Context, name string) (gateway.Topic, error) {
	t := gateway.Topic{Name: name}
	err := s.db.QueryRowContext(ctx, s.in(`SELECT owner, events FROM {t}_topic WHERE name = $1`), name).Scan(&t.Owner, &t.Events)
	if errors.Is(err, sql.ErrNoRows) {
		return gateway.Topic{}, missing("topic", name)
	}
	return t, failed("topic "+name, err)
}

// Topics implements Store.
func (s *Store) Topics(ctx context.Context) ([]gateway.Topic, error) {
	rows, err := s.db.QueryContext(ctx, s.in(`SELECT name, owner, events FROM {t}_topic ORDER BY name`))
	return collect(rows, err, "topics", func(rows *sql.Rows) (t gateway.Topic, err error) {
		err = rows.Scan(&t.Name, &t.Owner, &t.Events)
		return t, err
	})
}

// RemoveTopic implements Store.
func (s *Store) RemoveTopic(ctx context.Context, name string) error {
	return s.inTx(ctx, "remove topic "+name, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, s.in(`DELETE FROM {t}_topic WHERE name = $1`), name)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, missing("topic", name))
		}
		// The write that changes nothing locks the rows against the others.
		if _, err := tx.ExecContext(ctx, s.in(`UPDATE {t}_subscription SET rate = rate`)); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, s.in(columns))
		all, err := collect(rows, err, "subscriptions", scanSubscription)
		if err != nil {
			return err
		}
		for _, sub := range all {
			if err := s.leave(ctx, tx, sub, name); err != nil {
				return err
			}
		}
		return nil
	})
}

// leave writes the subscription without the topic, if it has it.
func (s *Store) leave(ctx context.Context, tx *sql.Tx, sub gateway.Subscription, topic string) error {
	if !slices.Contains(sub.Topics, topic) {
		return nil
	}
	_, err := tx.ExecContext(ctx, s.in(`UPDATE {t}_subscription SET topics = $1 WHERE subscriber = $2`),
		list(slices.DeleteFunc(sub.Topics, func(t string) bool { return t == topic })), sub.Subscriber)
	return err
}

// CountEvents implements Store.
func (s *Store) CountEvents(ctx context.Context, name string, n int64) error {
	return s.exec(ctx, "count events", `UPDATE {t}_topic SET events = events + $1 WHERE name = $2`, n, name)
}

// AddToken implements Store.
func (s *Store) AddToken(ctx context.Context, t gateway.Token) error {
	r, err := s.db.ExecContext(ctx, s.in(`INSERT INTO {t}_token (id, name, hash, created) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`),
		t.ID, t.Name, t.Hash, t.Created.UnixMilli())
	if err != nil {
		return failed("add token", err)
	}
	n, err := r.RowsAffected()
	if err == nil && n == 0 {
		return fmt.Errorf("sqlstore: token %s: %w", t.ID, fs.ErrExist)
	}
	return failed("add token", err)
}

// TokenByHash implements Store.
func (s *Store) TokenByHash(ctx context.Context, hash string) (gateway.Token, error) {
	rows, err := s.db.QueryContext(ctx, s.in(`SELECT id, name, hash, created FROM {t}_token WHERE hash = $1`), hash)
	found, err := collect(rows, err, "token", scanToken)
	if err == nil && len(found) == 0 {
		return gateway.Token{}, missing("token", "")
	}
	if err != nil {
		return gateway.Token{}, err
	}
	return found[0], nil
}

// Tokens implements Store.
func (s *Store) Tokens(ctx context.Context) ([]gateway.Token, error) {
	rows, err := s.db.QueryContext(ctx, s.in(`SELECT id, name, hash, created FROM {t}_token ORDER BY id`))
	return collect(rows, err, "tokens", scanToken)
}

func scanToken(rows *sql.Rows) (t gateway.Token, err error) {
	var created int64
	err = rows.Scan(&t.ID, &t.Name, &t.Hash, &created)
	t.Created = time.UnixMilli(created).UTC()
	return t, err
}

// RemoveToken implements Store.
func (s *Store) RemoveToken(ctx context.Context, id string) error {
	return s.inTx(ctx, "remove token", func(tx *sql.Tx) error {
		for _, statement := range []string{
			`DELETE FROM {t}_token WHERE id = $1`,
			`DELETE FROM {t}_subscription WHERE subscriber = $1`,
			`UPDATE {t}_topic SET owner = '' WHERE owner = $1`,
		} {
			if _, err := tx.ExecContext(ctx, s.in(statement), id); err != nil {
				return err
			}
		}
		return nil
	})
}

// PutSubscription implements Store.
func (s *Store) PutSubscription(ctx context.Context, sub gateway.Subscription) error {
	return s.exec(ctx, "put subscription", `
		INSERT INTO {t}_subscription (subscriber, topics, callback, credential, deadline, max_events, format, types, rate, paused)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (subscriber) DO UPDATE SET topics = excluded.topics, callback = excluded.callback, credential = excluded.credential,
			deadline = excluded.deadline, max_events = excluded.max_events, format = excluded.format, types = excluded.types,
			rate = excluded.rate, paused = excluded.paused`,
		sub.Subscriber, list(sub.Topics), sub.Callback, sub.Credential, sub.Deadline.Milliseconds(), sub.Max,
		string(sub.Format), list(sub.Types), sub.Rate, sub.Paused)
}

// columns reads subscriptions for scanSubscription.
const columns = `SELECT subscriber, topics, callback, credential, deadline, max_events, format, types, rate, paused, sent
	FROM {t}_subscription`

func scanSubscription(rows *sql.Rows) (sub gateway.Subscription, err error) {
	var topics, types string
	var deadline int64
	err = rows.Scan(&sub.Subscriber, &topics, &sub.Callback, &sub.Credential, &deadline, &sub.Max, &sub.Format, &types, &sub.Rate, &sub.Paused, &sub.Sent)
	if err != nil {
		return sub, err
	}
	sub.Deadline = time.Duration(deadline) * time.Millisecond
	return sub, errors.Join(json.Unmarshal([]byte(topics), &sub.Topics), json.Unmarshal([]byte(types), &sub.Types))
}

// Subscription implements Store.
func (s *Store) Subscription(ctx context.Context, subscriber string) (gateway.Subscription, error) {
	rows, err := s.db.QueryContext(ctx, s.in(columns+` WHERE subscriber = $1`), subscriber)
	found, err := collect(rows, err, "subscription", scanSubscription)
	if err == nil && len(found) == 0 {
		return gateway.Subscription{}, missing("subscription of", subscriber)
	}
	if err != nil {
		return gateway.Subscription{}, err
	}
	return found[0], nil
}

// Subscriptions implements Store.
func (s *Store) Subscriptions(ctx context.Context) ([]gateway.Subscription, error) {
	rows, err := s.db.QueryContext(ctx, s.in(columns+` ORDER BY subscriber`))
	return collect(rows, err, "subscriptions", scanSubscription)
}

// RemoveSubscription implements Store.
func (s *Store) RemoveSubscription(ctx context.Context, subscriber string) error {
	return s.affect(ctx, "subscription of", subscriber, `DELETE FROM {t}_subscription WHERE subscriber = $1`, subscriber)
}

// LeaveTopic implements Store.
func (s *Store) LeaveTopic(ctx context.Context, subscriber, topic string) error {
	return s.inTx(ctx, "leave topic "+topic, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, s.in(`UPDATE {t}_subscription SET rate = rate WHERE subscriber = $1`), subscriber); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, s.in(columns+` WHERE subscriber = $1`), subscriber)
		found, err := collect(rows, err, "subscription", scanSubscription)
		if err != nil {
			return err
		}
		if len(found) == 0 || !slices.Contains(found[0].Topics, topic) {
			return missing("subscription to "+topic+" of", subscriber)
		}
		return s.leave(ctx, tx, found[0], topic)
	})
}

// PauseSubscription implements Store.
func (s *Store) PauseSubscription(ctx context.Context, subscriber, reason string) error {
	return s.exec(ctx, "pause subscription", `UPDATE {t}_subscription SET paused = $1 WHERE subscriber = $2`, reason, subscriber)
}

// CountSent implements Store.
func (s *Store) CountSent(ctx context.Context, subscriber string, n int64) error {
	return s.exec(ctx, "count sent", `UPDATE {t}_subscription SET sent = sent + $1 WHERE subscriber = $2`, n, subscriber)
}

// collect reads every row and closes them.
func collect[T any](rows *sql.Rows, err error, what string, scan func(*sql.Rows) (T, error)) ([]T, error) {
	if err != nil {
		return nil, failed(what, err)
	}
	defer func() { _ = rows.Close() }() // Err below has what matters
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, failed(what, err)
		}
		all = append(all, one)
	}
	return all, failed(what, rows.Err())
}

// list writes strings as JSON.
func list(of []string) string {
	if of == nil {
		of = []string{}
	}
	text, _ := json.Marshal(of) // strings always encode
	return string(text)
}

func missing(what, name string) error {
	return fmt.Errorf("sqlstore: %s %s: %w", what, name, fs.ErrNotExist)
}
