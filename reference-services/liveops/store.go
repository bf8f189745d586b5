package liveops

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

const tables = `
CREATE TABLE IF NOT EXISTS issues (
	id TEXT PRIMARY KEY,
	version INTEGER NOT NULL,
	kind TEXT NOT NULL,
	order_href TEXT NOT NULL,
	since INTEGER NOT NULL, -- this and all times in Unix milliseconds
	severity TEXT NOT NULL,
	why TEXT NOT NULL,
	opened_at INTEGER NOT NULL,
	acknowledged_at INTEGER NOT NULL, -- 0: never
	resolved_at INTEGER NOT NULL,
	resolved_by TEXT NOT NULL,
	rider TEXT NOT NULL,
	restaurant TEXT NOT NULL,
	restaurant_name TEXT NOT NULL,
	area TEXT NOT NULL,
	place TEXT NOT NULL,
	remedies TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS issues_of_order ON issues (order_href);
CREATE INDEX IF NOT EXISTS issues_by_time ON issues (opened_at, id);
-- What nobody may get wrong: one that isn't resolved for each kind and order.
CREATE UNIQUE INDEX IF NOT EXISTS issues_one_open ON issues (kind, order_href) WHERE resolved_at = 0;
-- The orders that may still become, or have, an issue.
CREATE TABLE IF NOT EXISTS watched_orders (
	href TEXT PRIMARY KEY,
	rider TEXT NOT NULL, -- the last that is known
	due INTEGER -- when there is something to say about it if nothing changes
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS watched_due ON watched_orders (due) WHERE due IS NOT NULL;
CREATE INDEX IF NOT EXISTS watched_rider ON watched_orders (rider);
CREATE TABLE IF NOT EXISTS issues_counter (
	version INTEGER NOT NULL,
	origin TEXT NOT NULL -- made once, with the database
);
`

// prepare makes the tables where they are missing and returns the database's
// origin.
func prepare(ctx context.Context, db *sql.DB) (origin string, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, tables); err != nil {
		return "", err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO issues_counter (version, origin)
		SELECT 0, ? WHERE NOT EXISTS (SELECT 1 FROM issues_counter)`, strings.ToLower(rand.Text()[:8])); err != nil {
		return "", err
	}
	if err := tx.QueryRowContext(ctx, `SELECT origin FROM issues_counter`).Scan(&origin); err != nil {
		return "", err
	}
	return origin, tx.Commit()
}

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

const columns = `id, version, kind, order_href, since, severity, why, opened_at, acknowledged_at, resolved_at, resolved_by,
	rider, restaurant, restaurant_name, area, place, remedies`

func (i *issue) fields() []any {
	return []any{
		&i.id, &i.version, &i.kind, &i.order, &i.since, &i.severity, &i.why, &i.opened, &i.acknowledged, &i.resolved, &i.resolvedBy,
		&i.rider, &i.restaurant, &i.restaurantName, &i.area, &i.place, &i.remedies,
	}
}

// errNone is returned by find. It matches fs.ErrNotExist.
var errNone = fmt.Errorf("liveops: no such issue: %w", fs.ErrNotExist)

func find(ctx context.Context, q querier, id string) (*issue, error) {
	i := new(issue)
	err := q.QueryRowContext(ctx, `SELECT `+columns+` FROM issues WHERE id = ?`, id).Scan(i.fields()...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNone
	}
	return i, err
}

// issuesOf returns all issues that an order has and had.
func issuesOf(ctx context.Context, q querier, order string) (all []*issue, err error) {
	rows, err := q.QueryContext(ctx, `SELECT `+columns+` FROM issues WHERE order_href = ? ORDER BY id`, order)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		i := new(issue)
		if err := rows.Scan(i.fields()...); err != nil {
			return nil, err
		}
		all = append(all, i)
	}
	return all, rows.Err()
}

// save writes an issue as a new version, which it fills in.
func save(ctx context.Context, tx *sql.Tx, i *issue) error {
	if err := tx.QueryRowContext(ctx, `UPDATE issues_counter SET version = version + 1 RETURNING version`).Scan(&i.version); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO issues (`+columns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, severity = excluded.severity, why = excluded.why,
		opened_at = excluded.opened_at, acknowledged_at = excluded.acknowledged_at, resolved_at = excluded.resolved_at,
		resolved_by = excluded.resolved_by, rider = excluded.rider, restaurant = excluded.restaurant,
		restaurant_name = excluded.restaurant_name, area = excluded.area, place = excluded.place, remedies = excluded.remedies`,
		i.fields()...)
	return err
}

// member is what a list says of an issue.
type member struct{ id, kind string }

// list returns a page of the issues, and how many there are on all pages: those
// that aren't resolved, the oldest first, or all, the newest first. Both are read
// from one snapshot.
func list(ctx context.Context, db *sql.DB, unresolved bool, offset, size int) (members []member, total int, err error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = tx.Rollback() }()
	from, order := ` FROM issues`, ` ORDER BY opened_at DESC, id`
	if unresolved {
		from, order = ` FROM issues WHERE resolved_at = 0`, ` ORDER BY opened_at, id`
	}
	if err := tx.QueryRowContext(ctx, `SELECT count(*)`+from).Scan(&total); err != nil {
		return nil, 0, err
	}
	rows, err := tx.QueryContext(ctx, `SELECT id, kind`+from+order+` LIMIT ? OFFSET ?`, size, offset)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var m member
		if err := rows.Scan(&m.id, &m.kind); err != nil {
			return nil, 0, err
		}
		members = append(members, m)
	}
	return members, total, rows.Err()
}

// watch keeps an order under watch; due is 0 if only a change can make an issue.
func watch(ctx context.Context, tx *sql.Tx, href, rider string, due int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO watched_orders (href, rider, due) VALUES (?, ?, nullif(?, 0))
		ON CONFLICT (href) DO UPDATE SET rider = excluded.rider, due = excluded.due`, href, rider, due)
	return err
}

func unwatch(ctx context.Context, tx *sql.Tx, href string) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM watched_orders WHERE href = ?`, href)
	return err
}

// riderOf returns the last rider of an order that is known.
func riderOf(ctx context.Context, q querier, href string) (rider string, err error) {
	err = q.QueryRowContext(ctx, `SELECT rider FROM watched_orders WHERE href = ?`, href).Scan(&rider)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return rider, err
}

// nextDue returns when there is something to say about some order; 0 for never.
func nextDue(ctx context.Context, q querier) (due int64, err error) {
	err = q.QueryRowContext(ctx, `SELECT coalesce(min(due), 0) FROM watched_orders WHERE due IS NOT NULL`).Scan(&due)
	return due, err
}

// Which orders are looked for.
const (
	everyOrder   = `SELECT href FROM watched_orders ORDER BY href`
	dueOrders    = `SELECT href FROM watched_orders WHERE due <= ? ORDER BY due`
	ordersOfWhom = `SELECT href FROM watched_orders WHERE rider = ? ORDER BY href`
)

func watched(ctx context.Context, q querier, which string, args ...any) (hrefs []string, err error) {
	rows, err := q.QueryContext(ctx, which, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var href string
		if err := rows.Scan(&href); err != nil {
			return nil, err
		}
		hrefs = append(hrefs, href)
	}
	return hrefs, rows.Err()
}
