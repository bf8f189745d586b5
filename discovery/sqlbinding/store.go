package sqlbinding

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/goswale/swale/discovery/binding"
)

// Options configure New. The zero value and nil are useful.
type Options struct {
	// Table is the table's name: a-z, 0-9 and underscores. Default:
	// "swale_bindings".
	Table string
	// Poll is how often a watch asks for what is new. Default: 200 ms.
	Poll time.Duration
}

// Store is a binding.Store. It is safe for concurrent use, in as many
// processes as you like. Closing the database is the caller's.
type Store struct {
	db   *sql.DB
	opts Options
}

// New returns a store. Call Migrate before anything else. It panics without a
// database, and if Options.Table can't be a name.
func New(db *sql.DB, opts *Options) *Store {
	if db == nil {
		panic("sqlbinding: New: the *sql.DB is nil") //nolint:forbidigo // programmer error
	}
	s := &Store{db: db}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.Table == "" {
		s.opts.Table = "swale_bindings"
	}
	if s.opts.Poll <= 0 {
		s.opts.Poll = 200 * time.Millisecond
	}
	if !regexp.MustCompile(`^[a-z][a-z0-9_]{0,59}$`).MatchString(s.opts.Table) {
		panic(fmt.Sprintf("sqlbinding: %q can't be the name of a table", s.opts.Table)) //nolint:forbidigo // a constant of the program is wrong
	}
	return s
}

func (s *Store) in(statement string) string {
	return strings.ReplaceAll(statement, "{t}", s.opts.Table)
}

// Migrate creates the table if it is missing. Processes that start together
// may call it together.
func (s *Store) Migrate(ctx context.Context) error {
	create := s.in(`CREATE TABLE IF NOT EXISTS {t} (service TEXT NOT NULL, number BIGINT NOT NULL, binding TEXT,
		author TEXT NOT NULL, message TEXT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (service, number))`)
	var err error
	for range 3 { // PostgreSQL lets two who create it at once both try
		if _, err = s.db.ExecContext(ctx, create); err == nil {
			return nil
		}
	}
	return fmt.Errorf("sqlbinding: migrate %s: %w", s.opts.Table, err)
}

const columns = `service, number, binding, author, message, at`

// read returns the revisions that a query selects.
func (s *Store) read(ctx context.Context, query string, args ...any) ([]binding.Revision, error) {
	rows, err := s.db.QueryContext(ctx, s.in(query), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []binding.Revision
	for rows.Next() {
		var r binding.Revision
		var doc sql.NullString
		var at int64
		if err := rows.Scan(&r.Service, &r.Number, &doc, &r.Author, &r.Message, &at); err != nil {
			return nil, err
		}
		r.At = time.UnixMilli(at).UTC()
		if doc.Valid {
			r.Binding = &binding.Binding{}
			if err := json.Unmarshal([]byte(doc.String), r.Binding); err != nil {
				return nil, fmt.Errorf("sqlbinding: %s revision %d can't be read: %w", r.Service, r.Number, err)
			}
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// Current implements [binding.Store].
func (s *Store) Current(ctx context.Context) ([]binding.Revision, error) {
	return s.read(ctx, `SELECT `+columns+` FROM {t} b
		WHERE number = (SELECT MAX(number) FROM {t} m WHERE m.service = b.service)`)
}

// History implements [binding.Store].
func (s *Store) History(ctx context.Context, service string, limit int) ([]binding.Revision, error) {
	return s.read(ctx, `SELECT `+columns+` FROM {t} WHERE service = $1 ORDER BY number DESC LIMIT $2`, service, limit)
}

// Put implements [binding.Store].
func (s *Store) Put(ctx context.Context, r binding.Revision, expect uint64) (binding.Revision, error) {
	var doc sql.NullString
	if r.Binding != nil {
		text, err := json.Marshal(r.Binding)
		if err != nil {
			return binding.Revision{}, fmt.Errorf("sqlbinding: %w", err)
		}
		doc = sql.NullString{String: string(text), Valid: true}
	}
	for {
		at := expect
		if expect == binding.Latest {
			newest, err := s.newest(ctx, r.Service)
			if err != nil {
				return binding.Revision{}, err
			}
			at = newest
		}
		err := s.insert(ctx, r, doc, at)
		if expect == binding.Latest && errors.Is(err, binding.ErrConflict) {
			continue // somebody was faster, and is to be overwritten too
		}
		if err != nil {
			return binding.Revision{}, err
		}
		r.Number = at + 1
		return r, nil
	}
}

// insert writes the revision after number at, if that is the newest. Of two
// who find that it is, the key lets one through.
func (s *Store) insert(ctx context.Context, r binding.Revision, doc sql.NullString, at uint64) error {
	result, err := s.db.ExecContext(ctx, s.in(`INSERT INTO {t} (`+columns+`)
		SELECT CAST($1 AS TEXT), CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT), CAST($6 AS BIGINT)
		WHERE COALESCE((SELECT MAX(number) FROM {t} WHERE service = CAST($1 AS TEXT)), 0) = CAST($7 AS BIGINT)`),
		r.Service, int64(at)+1, doc, r.Author, r.Message, r.At.UnixMilli(), int64(at))
	var n int64
	if err == nil {
		if n, err = result.RowsAffected(); err == nil && n == 1 {
			return nil
		}
	}
	newest, readErr := s.newest(ctx, r.Service)
	switch {
	case readErr != nil:
		return errors.Join(err, readErr)
	case newest != at:
		return fmt.Errorf("%w: it is at revision %d, not %d", binding.ErrConflict, newest, at)
	case err == nil:
		err = errors.New("nothing was written")
	}
	return fmt.Errorf("sqlbinding: put %s: %w", r.Service, err)
}

func (s *Store) newest(ctx context.Context, service string) (uint64, error) {
	var n int64
	err := s.db.QueryRowContext(ctx, s.in(`SELECT COALESCE(MAX(number), 0) FROM {t} WHERE service = $1`), service).Scan(&n)
	return uint64(n), err
}

// Watch implements [binding.Store].
func (s *Store) Watch(ctx context.Context, f func([]binding.Revision)) error {
	known := map[string]uint64{}
	all, err := s.Current(ctx)
	if err != nil {
		return lost(ctx, err)
	}
	note := func(revs []binding.Revision) {
		for _, r := range revs {
			known[r.Service] = r.Number
		}
		f(revs)
	}
	note(all)
	tick := time.NewTicker(s.opts.Poll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		changed, err := s.changed(ctx, known)
		if err != nil {
			return lost(ctx, err)
		}
		for _, service := range changed {
			revs, err := s.read(ctx, `SELECT `+columns+` FROM {t} WHERE service = $1 AND number > $2 ORDER BY number`, service, int64(known[service]))
			if err != nil {
				return lost(ctx, err)
			}
			note(revs)
		}
	}
}

// changed returns the services that have newer revisions than those known.
func (s *Store) changed(ctx context.Context, known map[string]uint64) ([]string, error) {
	rows, err := s.db.QueryContext(ctx, s.in(`SELECT service, MAX(number) FROM {t} GROUP BY service`))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var changed []string
	for rows.Next() {
		var service string
		var n int64
		if err := rows.Scan(&service, &n); err != nil {
			return nil, err
		}
		if uint64(n) > known[service] {
			changed = append(changed, service)
		}
	}
	return changed, rows.Err()
}

// lost prefers the context's error, since the database's may only be its
// consequence.
func lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("sqlbinding: the watch was lost: %w", err)
}
