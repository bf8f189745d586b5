package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/resn"
)

// errOvertaken is the error of a write whose resource was written by somebody
// else after it was prepared: what was fetched may be older than that.
var errOvertaken = errors.New("projection: somebody else has written the resource meanwhile")

// version is what was known of a resource before it was fetched; 0 if nothing.
type version int64

// prepare is the consumer's Prepare.
func (t *table) prepare(ctx context.Context, href string) (any, error) {
	v, _, err := t.version(ctx, href)
	if err != nil {
		return nil, err
	}
	return v, t.p.at("prepared")
}

func (t *table) version(ctx context.Context, href string) (v version, known bool, err error) {
	err = t.p.db.QueryRowContext(ctx, t.p.in(`SELECT version FROM {p}_resource WHERE tab = $1 AND href = $2`), t.Name, href).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return v, err == nil, err
}

// handle is the consumer's handler.
func (t *table) handle(ctx context.Context, c *resn.Change) error {
	known, ok := c.Prepared.(version)
	if !ok {
		return fmt.Errorf("projection: %s was not prepared", c.Href)
	}
	w := write{table: t, href: c.Href, known: known, walk: c.Walk, covers: c.Covers}
	if !c.Gone {
		w.resource = resource(c.Href, c.ETag, c.Header, c.Body)
		if err := t.follow(ctx, w.resource, trail{c.Href: true}); err != nil {
			return err
		}
	}
	err := w.do(ctx)
	if errors.Is(err, errOvertaken) {
		return bus.RetryAfter(10*time.Millisecond, err)
	}
	return err
}

// write is one resource on its way into the database.
type write struct {
	table    *table
	href     string
	known    version
	walk     uint64
	covers   []resn.Covered
	resource *Resource // nil: gone
}

// do writes the version, the caller's rows and the numbers in one transaction.
func (w *write) do(ctx context.Context) error {
	p := w.table.p
	if err := p.at("begin"); err != nil {
		return err
	}
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("projection: %s: %w", w.href, err)
	}
	defer func() { _ = tx.Rollback() }()
	if err := w.within(ctx, tx); err != nil {
		return fmt.Errorf("projection: table %s: %s: %w", w.table.Name, w.href, err)
	}
	if err := p.at("commit"); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("projection: table %s: %s: commit: %w", w.table.Name, w.href, err)
	}
	return p.at("committed")
}

func (w *write) within(ctx context.Context, tx *sql.Tx) error {
	t := w.table
	// First, because it takes the lock that the rest is ordered by.
	if err := w.advance(ctx, tx); err != nil {
		return err
	}
	if err := t.p.at("advanced"); err != nil {
		return err
	}
	if err := w.rows(ctx, tx); err != nil {
		return err
	}
	for _, c := range w.covers {
		_, err := tx.ExecContext(ctx, t.p.in(`INSERT INTO {p}_handled (consumer, epoch, seq) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`),
			t.p.opts.Group+"/"+t.Name, c.Epoch, int64(c.Seq))
		if err != nil {
			return err
		}
	}
	return nil
}

// advance gives the resource its next version, if nobody else did since it was
// prepared.
func (w *write) advance(ctx context.Context, tx *sql.Tx) error {
	t, etag, gone := w.table, "", 1
	if w.resource != nil {
		etag, gone = w.resource.ETag, 0
	}
	now := time.Now().UnixMilli()
	statement := `INSERT INTO {p}_resource (tab, href, version, etag, walk, gone, changed) VALUES ($1, $2, $3 + 1, $4, $5, $6, $7) ON CONFLICT DO NOTHING`
	if w.known > 0 {
		statement = `UPDATE {p}_resource SET version = version + 1, etag = $4, walk = CASE WHEN walk > $5 THEN walk ELSE $5 END, gone = $6, changed = $7
			WHERE tab = $1 AND href = $2 AND version = $3`
	}
	res, err := tx.ExecContext(ctx, t.p.in(statement), t.Name, w.href, int64(w.known), etag, int64(w.walk), gone, now)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errOvertaken)
	}
	return nil
}

// rows writes the caller's rows.
func (w *write) rows(ctx context.Context, tx *sql.Tx) error {
	t := w.table
	switch {
	case w.resource == nil && t.Delete != nil:
		return t.Delete(ctx, tx, w.href)
	case w.resource == nil:
		_, err := tx.ExecContext(ctx, "DELETE FROM "+t.Name+" WHERE "+t.Key+" = $1", w.href) //nolint:gosec // G202: names were checked by New
		return err
	case t.Write != nil:
		return t.Write(ctx, tx, w.resource)
	}
	row, err := t.Row(w.resource)
	if err != nil {
		return err
	}
	columns := make([]string, 0, len(row))
	for name := range row {
		if !columnName.MatchString(name) || name == t.Key {
			return bus.Reject(fmt.Errorf("column name %q is the key, or not made of letters, digits and underscores", name))
		}
		columns = append(columns, name)
	}
	slices.Sort(columns)
	args := make([]any, 0, len(row)+1)
	args = append(args, w.href)
	for _, name := range columns {
		args = append(args, row[name])
	}
	_, err = tx.ExecContext(ctx, t.shape.upsert(t.Name, t.Key, columns), args...)
	return err
}

// shape remembers the statement of the columns that were written last: they are
// the same each time.
type shape struct {
	mu        sync.Mutex
	columns   []string
	statement string
}

func (s *shape) upsert(table, key string, columns []string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.statement != "" && slices.Equal(s.columns, columns) {
		return s.statement
	}
	var names, values, sets strings.Builder
	names.WriteString(key)
	values.WriteString("$1")
	for i, name := range columns {
		fmt.Fprintf(&names, ", %s", name)
		fmt.Fprintf(&values, ", $%d", i+2)
		if i > 0 {
			sets.WriteString(", ")
		}
		fmt.Fprintf(&sets, "%s = excluded.%s", name, name)
	}
	action := "DO NOTHING"
	if len(columns) > 0 {
		action = "DO UPDATE SET " + sets.String()
	}
	s.columns = columns
	s.statement = fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s) ON CONFLICT (%s) %s", table, names.String(), values.String(), key, action)
	return s.statement
}
