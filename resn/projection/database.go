package projection

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// Dialect is the kind of a database: [SQLite] or [PostgreSQL].
type Dialect string

// The dialects. Both through any database/sql driver that takes $1 for the first
// parameter.
const (
	// SQLite is 3.35 or newer. Set busy_timeout and WAL in the data source name.
	SQLite Dialect = "SQLite"
	// PostgreSQL is 12 or newer.
	PostgreSQL Dialect = "PostgreSQL"
)

// in puts the prefix of the projection's tables into a statement. New has checked
// that it holds nothing that would need quoting.
func (p *Projection) in(statement string) string {
	return strings.ReplaceAll(statement, "{p}", p.opts.Prefix)
}

// inTx runs f in a transaction.
func (p *Projection) inTx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// Migrate creates the projection's own tables where they are missing. It may be
// called at every start, by several processes at once.
func (p *Projection) Migrate(ctx context.Context) error {
	err := p.inTx(ctx, func(tx *sql.Tx) error {
		if p.dialect == PostgreSQL {
			// CREATE TABLE IF NOT EXISTS isn't safe from itself there.
			if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtext($1))`, p.opts.Prefix); err != nil {
				return err
			}
		}
		for _, s := range []string{
			`CREATE TABLE IF NOT EXISTS {p}_resource (
				tab TEXT NOT NULL, href TEXT NOT NULL, version BIGINT NOT NULL, etag TEXT NOT NULL,
				walk BIGINT NOT NULL, gone INTEGER NOT NULL, changed BIGINT NOT NULL, PRIMARY KEY (tab, href))`,
			`CREATE TABLE IF NOT EXISTS {p}_position (
				consumer TEXT PRIMARY KEY, numbers TEXT NOT NULL, walk TEXT NOT NULL,
				walk_number BIGINT NOT NULL, walk_done INTEGER NOT NULL)`,
			`CREATE TABLE IF NOT EXISTS {p}_handled (
				consumer TEXT NOT NULL, epoch TEXT NOT NULL, seq BIGINT NOT NULL, PRIMARY KEY (consumer, epoch, seq))`,
		} {
			if _, err := tx.ExecContext(ctx, p.in(s)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("projection: migrate: %w", err)
	}
	return nil
}

// Reset has the next Run fill every table again, as is due when Row or Write has
// changed. Rows stay and are written over. No Run of the group may be under way.
func (p *Projection) Reset(ctx context.Context) error {
	err := p.inTx(ctx, func(tx *sql.Tx) error {
		for _, t := range p.order {
			name := p.opts.Group + "/" + t.Name
			for _, s := range []string{
				`DELETE FROM {p}_handled WHERE consumer = $1`,
				`UPDATE {p}_position SET numbers = '{}', walk = '{}', walk_number = 0, walk_done = 0 WHERE consumer = $1`,
			} {
				if _, err := tx.ExecContext(ctx, p.in(s), name); err != nil {
					return err
				}
			}
			if _, err := tx.ExecContext(ctx, p.in(`UPDATE {p}_resource SET walk = 0 WHERE tab = $1`), t.Name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("projection: reset: %w", err)
	}
	return nil
}
