package sqlconfig

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/goswale/swale/configsvc/driver"
)

// Options configure New. The zero value, and nil, are useful.
type Options struct {
	// Table is the prefix of the tables' names: a-z, 0-9 and underscores. Default
	// "swale_config".
	Table string
	// InTx is called in the transaction of each commit, after everything else was
	// written. Its error undoes the commit. Default: nothing is called.
	InTx func(ctx context.Context, tx *sql.Tx, c driver.Commit) error
}

// Driver keeps the log in a database. It is safe for concurrent use, in as many
// processes as you like. Closing the database is the caller's.
type Driver struct {
	db      *sql.DB
	dialect Dialect
	opts    Options
	fault   func(step string) error // for tests
}

// New returns a driver. Call [Driver.Migrate] before anything else. It panics
// without a database or dialect, and if Options.Table could not be a name.
func New(db *sql.DB, dialect Dialect, opts *Options) *Driver {
	if db == nil {
		panic("sqlconfig: New: the *sql.DB is nil") //nolint:forbidigo // programmer error
	}
	if dialect.name == "" {
		panic("sqlconfig: New: the Dialect is empty: say sqlconfig.SQLite or sqlconfig.PostgreSQL") //nolint:forbidigo // programmer error
	}
	d := &Driver{db: db, dialect: dialect}
	if opts != nil {
		d.opts = *opts
	}
	if d.opts.Table == "" {
		d.opts.Table = "swale_config"
	}
	if !regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`).MatchString(d.opts.Table) {
		panic(fmt.Sprintf("sqlconfig: %q can't be the name of a table", d.opts.Table)) //nolint:forbidigo // a constant of the program is wrong
	}
	return d
}

// in puts the names of the tables into a statement.
func (d *Driver) in(statement string) string {
	return strings.ReplaceAll(statement, "{t}", d.opts.Table)
}

// Migrate creates the tables that are missing. Processes that start together may
// call it together.
func (d *Driver) Migrate(ctx context.Context) error {
	create := func(q execer) error {
		for _, s := range d.dialect.schema {
			if _, err := q.ExecContext(ctx, d.in(s)); err != nil {
				return err
			}
		}
		return nil
	}
	var err error
	if d.dialect.together {
		err = d.inTx(ctx, func(tx *sql.Tx) error { return create(tx) })
	} else {
		err = create(d.db)
	}
	if err != nil {
		return fmt.Errorf("sqlconfig: migrate %s: %w", d.opts.Table, err)
	}
	return nil
}

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Info implements driver.Driver.
func (d *Driver) Info() driver.Info { return driver.Info{Name: d.dialect.name} }

func (d *Driver) inTx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := f(tx); err != nil {
		return err
	}
	if err := d.step("commit"); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	return d.step("committed")
}

// step lets tests fail, or die, between the steps of a commit.
func (d *Driver) step(name string) error {
	if d.fault == nil {
		return nil
	}
	return d.fault(name)
}

// Commit implements driver.Driver.
func (d *Driver) Commit(ctx context.Context, c driver.Commit) (driver.Commit, error) {
	edits := make([]driver.Edit, len(c.Edits))
	err := d.inTx(ctx, func(tx *sql.Tx) error {
		// The first statement writes: it queues up behind other commits, and in
		// SQLite it takes the lock that a transaction can't get later any more.
		var last int64
		err := tx.QueryRowContext(ctx, d.in(`UPDATE {t}_head SET revision = revision + 1,
			time = CASE WHEN time > $1 THEN time ELSE $1 END WHERE id = 1 RETURNING revision, time`), c.Time.UnixMilli()).Scan(&c.Revision, &last)
		if err != nil {
			return err
		}
		c.Time = time.UnixMilli(last).UTC()
		if err := d.step("numbered"); err != nil {
			return err
		}
		for _, e := range c.Edits {
			if err := d.expect(ctx, tx, e); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, d.in(`INSERT INTO {t}_commit (revision, author, message, time) VALUES ($1, $2, $3, $4)`),
			c.Revision, c.Author, c.Message, last)
		for i, e := range c.Edits {
			if err == nil {
				err = d.step("edit")
			}
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, d.in(`INSERT INTO {t}_version (key, revision, place, value) VALUES ($1, $2, $3, $4)`),
				e.Key, c.Revision, i, text(e.Value))
			e.Expect = 0
			edits[i] = e
		}
		if err != nil {
			return err
		}
		c.Edits = edits
		if d.opts.InTx != nil {
			return d.opts.InTx(ctx, tx, c)
		}
		return nil
	})
	return c, err
}

// expect checks what an edit expects. The head's row is locked by now, so that
// it stays true until the commit.
func (d *Driver) expect(ctx context.Context, tx *sql.Tx, e driver.Edit) error {
	if e.Expect == driver.Any {
		return nil
	}
	var has int64
	err := tx.QueryRowContext(ctx, d.in(`SELECT CASE WHEN value IS NULL THEN 0 ELSE revision END AS has
		FROM {t}_version v WHERE key = $1 ORDER BY v.revision DESC LIMIT 1`), e.Key).Scan(&has)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if has != e.Expect {
		return &driver.ConflictError{Key: e.Key, Expected: e.Expect, Revision: has}
	}
	return nil
}

// text returns a value as the database has it; NULL is a deletion.
func text(value []byte) sql.NullString {
	return sql.NullString{String: string(value), Valid: value != nil}
}
