package restaurants

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite", without cgo
)

const schema = `
CREATE TABLE IF NOT EXISTS restaurants (
	id TEXT PRIMARY KEY,
	version INTEGER NOT NULL,
	updated_at INTEGER NOT NULL, -- Unix milliseconds
	name TEXT NOT NULL,
	cuisine TEXT NOT NULL,
	borough TEXT NOT NULL,
	building TEXT NOT NULL,
	street TEXT NOT NULL,
	zipcode TEXT NOT NULL,
	lat REAL NOT NULL,
	lon REAL NOT NULL,
	geohash TEXT NOT NULL,
	status TEXT NOT NULL,
	prep_minutes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS restaurants_geohash ON restaurants (geohash, id);
CREATE TABLE IF NOT EXISTS restaurants_counter (
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
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return "", err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO restaurants_counter (version, origin)
		SELECT 0, ? WHERE NOT EXISTS (SELECT 1 FROM restaurants_counter)`, strings.ToLower(rand.Text()[:8])); err != nil {
		return "", err
	}
	if err := tx.QueryRowContext(ctx, `SELECT origin FROM restaurants_counter`).Scan(&origin); err != nil {
		return "", err
	}
	return origin, tx.Commit()
}

// OpenDB opens the SQLite file at path, and makes it if need be. Every commit
// is synced to disk before it is acknowledged.
func OpenDB(path string) (*sql.DB, error) {
	query := url.Values{
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"},
		"_txlock": {"immediate"}, // a transaction that will write doesn't fail half way
	}
	db, err := sql.Open("sqlite", "file:"+url.PathEscape(path)+"?"+query.Encode())
	if err != nil {
		return nil, fmt.Errorf("open the database %s: %w", path, err)
	}
	return db, nil
}

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

const columns = `id, version, updated_at, name, cuisine, borough, building, street, zipcode, lat, lon, geohash, status, prep_minutes`

// errNone is returned by find. It matches fs.ErrNotExist.
var errNone = fmt.Errorf("restaurants: no such restaurant: %w", fs.ErrNotExist)

// find reads a restaurant, without links.
func find(ctx context.Context, q querier, id string) (Restaurant, error) {
	var r Restaurant
	var updated int64
	row := q.QueryRowContext(ctx, `SELECT `+columns+` FROM restaurants WHERE id = ?`, id)
	err := row.Scan(&r.ID, &r.Version, &updated, &r.Name, &r.Cuisine, &r.Borough,
		&r.Address.Building, &r.Address.Street, &r.Address.Zipcode,
		&r.Location.Lat, &r.Location.Lon, &r.Geohash, &r.Status, &r.PrepMinutes)
	if errors.Is(err, sql.ErrNoRows) {
		return r, errNone
	}
	r.UpdatedAt = time.UnixMilli(updated).UTC()
	return r, err
}

// save writes a restaurant as a new version, which it fills in.
func save(ctx context.Context, tx *sql.Tx, r *Restaurant, now time.Time) error {
	err := tx.QueryRowContext(ctx, `UPDATE restaurants_counter SET version = version + 1 RETURNING version`).Scan(&r.Version)
	if err != nil {
		return err
	}
	r.UpdatedAt, r.Geohash = now.UTC().Truncate(time.Millisecond), r.Location.hash()
	_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO restaurants (`+columns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		r.ID, r.Version, r.UpdatedAt.UnixMilli(), r.Name, r.Cuisine, r.Borough,
		r.Address.Building, r.Address.Street, r.Address.Zipcode,
		r.Location.Lat, r.Location.Lon, r.Geohash, r.Status, r.PrepMinutes)
	return err
}

func remove(ctx context.Context, tx *sql.Tx, id string) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM restaurants WHERE id = ?`, id)
	return err
}

// member is what a list says of a restaurant.
type member struct{ id, name string }

// list returns a page of the restaurants whose geohash begins with prefix, and
// how many there are on all pages. Both are read from one snapshot.
func list(ctx context.Context, db *sql.DB, prefix string, offset, size int) (members []member, total int, err error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = tx.Rollback() }()
	// '~' comes after every character of a geohash.
	const where = ` FROM restaurants WHERE geohash >= ? AND geohash < ? || '~'`
	if err := tx.QueryRowContext(ctx, `SELECT count(*)`+where, prefix, prefix).Scan(&total); err != nil {
		return nil, 0, err
	}
	rows, err := tx.QueryContext(ctx, `SELECT id, name`+where+` ORDER BY geohash, id LIMIT ? OFFSET ?`, prefix, prefix, size, offset)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var m member
		if err := rows.Scan(&m.id, &m.name); err != nil {
			return nil, 0, err
		}
		members = append(members, m)
	}
	return members, total, rows.Err()
}

// count returns how many restaurants there are.
func count(ctx context.Context, q querier) (n int, err error) {
	err = q.QueryRowContext(ctx, `SELECT count(*) FROM restaurants`).Scan(&n)
	return n, err
}
