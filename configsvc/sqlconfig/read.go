package sqlconfig

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goswale/swale/configsvc/driver"
)

// statement is a query that is put together with its arguments.
type statement struct {
	text strings.Builder
	args []any
}

// add appends text; each ? in it becomes the next argument.
func (s *statement) add(text string, args ...any) {
	for _, a := range args {
		before, after, _ := strings.Cut(text, "?")
		s.args = append(s.args, a)
		s.text.WriteString(before)
		s.text.WriteString("$" + strconv.Itoa(len(s.args)))
		text = after
	}
	s.text.WriteString(text)
}

// below appends the condition that a column of keys is at or below the prefix.
func (s *statement) below(column, prefix string) {
	if prefix == "" {
		s.add("1 = 1")
		return
	}
	// '0' is the byte after '/'.
	s.add("("+column+" = ? OR "+column+" > ? AND "+column+" < ?)", prefix, prefix+"/", prefix+"0")
}

// versions begins a query for what keys are at a revision. It is one statement,
// so one snapshot, and has at least one row: with the revision, and without a
// key where there is nothing.
func (s *statement) versions(at int64) {
	revision := at
	if at == driver.Latest {
		revision = math.MaxInt64
	}
	s.add(`SELECT h.revision, COALESCE((SELECT c.time FROM {t}_commit c WHERE c.revision = CASE WHEN h.revision < ? THEN h.revision ELSE ? END), 0),
		f.key, f.revision, f.value, f.author, f.message, f.time
		FROM {t}_head h LEFT JOIN (SELECT v.key, v.revision, v.value, c.author, c.message, c.time
			FROM {t}_version v JOIN {t}_commit c ON c.revision = v.revision
			WHERE v.value IS NOT NULL AND v.revision = (SELECT MAX(w.revision) FROM {t}_version w WHERE w.key = v.key AND w.revision <= ?) AND `,
		revision, revision, revision)
}

// Read implements driver.Driver.
func (d *Driver) Read(ctx context.Context, keys []string, at int64) (driver.Snapshot, error) {
	var s statement
	s.versions(at)
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	s.add("v.key IN (NULL")
	for _, key := range keys {
		s.add(", ?", key)
	}
	s.add(") ) f ON 1 = 1 ORDER BY f.key")
	return d.snapshot(ctx, &s, at)
}

// List implements driver.Driver.
func (d *Driver) List(ctx context.Context, l driver.Listing) (driver.Snapshot, error) {
	var s statement
	s.versions(l.At)
	s.below("v.key", l.Prefix)
	s.add(" AND v.key > ? ORDER BY v.key LIMIT ?) f ON 1 = 1 ORDER BY f.key", l.After, l.Limit)
	return d.snapshot(ctx, &s, l.At)
}

func (d *Driver) snapshot(ctx context.Context, s *statement, at int64) (driver.Snapshot, error) {
	var snap driver.Snapshot
	var last int64
	err := d.collect(ctx, func(rows *sql.Rows) error {
		var key, value, author, message sql.NullString
		var revision, made sql.NullInt64
		var taken int64
		if err := rows.Scan(&last, &taken, &key, &revision, &value, &author, &message, &made); err != nil {
			return err
		}
		if taken != 0 {
			snap.Time = time.UnixMilli(taken).UTC()
		}
		if key.Valid {
			snap.Versions = append(snap.Versions, driver.Version{
				Key: key.String, Revision: revision.Int64, Value: []byte(value.String),
				Author: author.String, Message: message.String, Time: time.UnixMilli(made.Int64).UTC(),
			})
		}
		return nil
	}, s)
	if err != nil {
		return driver.Snapshot{}, err
	}
	if snap.Revision = at; at == driver.Latest {
		snap.Revision = last
	}
	if at < 0 || at > last {
		return driver.Snapshot{}, fmt.Errorf("%w: %d; the latest is %d", driver.ErrRevision, at, last)
	}
	return snap, nil
}

// collect runs a query and calls scan for each row.
func (d *Driver) collect(ctx context.Context, scan func(*sql.Rows) error, s *statement) error {
	rows, err := d.db.QueryContext(ctx, d.in(s.text.String()), s.args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err below has what matters
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Log implements driver.Driver.
func (d *Driver) Log(ctx context.Context, q driver.Query) ([]driver.Commit, error) {
	before := q.Before
	if before <= 0 {
		before = math.MaxInt64
	}
	var s statement
	s.add(`SELECT c.revision, c.author, c.message, c.time, v.key, v.value
		FROM {t}_commit c JOIN {t}_version v ON v.revision = c.revision
		WHERE c.revision IN (SELECT DISTINCT p.revision FROM {t}_version p WHERE p.revision < ? AND `, before)
	s.below("p.key", q.Prefix)
	s.add(` ORDER BY p.revision DESC LIMIT ?) ORDER BY c.revision DESC, v.place`, q.Limit)
	var commits []driver.Commit
	err := d.collect(ctx, func(rows *sql.Rows) error {
		var c driver.Commit
		var e driver.Edit
		var made int64
		var value sql.NullString
		if err := rows.Scan(&c.Revision, &c.Author, &c.Message, &made, &e.Key, &value); err != nil {
			return err
		}
		if value.Valid {
			e.Value = []byte(value.String)
		}
		if n := len(commits); n == 0 || commits[n-1].Revision != c.Revision {
			c.Time = time.UnixMilli(made).UTC()
			commits = append(commits, c)
		}
		last := &commits[len(commits)-1]
		last.Edits = append(last.Edits, e)
		return nil
	}, &s)
	return commits, err
}

// Moment implements driver.Driver.
func (d *Driver) Moment(ctx context.Context, t time.Time) (int64, error) {
	var revision int64
	err := d.db.QueryRowContext(ctx, d.in(`SELECT COALESCE(MAX(revision), 0) FROM {t}_commit WHERE time <= $1`), t.UnixMilli()).Scan(&revision)
	return revision, err
}
