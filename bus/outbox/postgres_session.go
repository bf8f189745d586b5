package outbox

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"fmt"
	"time"

	"github.com/goswale/swale/bus/outbox/driver"
)

// session is the leadership over an outbox in PostgreSQL: a connection that holds
// the advisory lock. Whatever it reads it reads as the leader, because the lock
// goes when the connection goes.
//
// Numbers count the places of a topic's rows, on from the number that is written
// down for the topic. Places don't change and rows are seen in their order, so
// whoever leads next counts the same: a number is durable as soon as its row is,
// and written down only when its row is removed or has waited for a while.
type session struct {
	conn   *sql.Conn
	table  string
	epoch  string
	topics map[string]*account

	cursor int64     // place of the last row that Read returned
	noted  int64     // place up to which numbers are written down
	open   int       // rows between noted and cursor
	since  time.Time // when the first of them was read
}

// account is what is counted of a topic: removed ≤ last, noted ≤ last.
type account struct {
	removed uint64  // rows up to here are gone from the table
	noted   uint64  // numbers up to here are written down
	last    uint64  // the number of the last row that Read returned
	places  []int64 // of the rows between noted and last
}

const (
	noteFrom  = 1024                   // rows that have numbers which aren't written down
	noteAfter = 200 * time.Millisecond // how long a row waits for its number to be written down
)

func (l *session) Epoch() string { return l.epoch }

// Topics says what is written down. The rows that come after it are for Read.
func (l *session) Topics(ctx context.Context) ([]driver.Topic, error) {
	topics, err := readTopics(ctx, l.conn, l.table)
	for _, t := range topics {
		l.topics[t.Name] = &account{removed: t.Removed, noted: t.Last, last: t.Last}
	}
	return topics, err
}

// read finds the rows that come next. It is one statement, so one snapshot, and
// now() is when its transaction began: before the snapshot was taken.
// clock_timestamp() would be after it, and a lie.
const read = `
SELECT now(), EXISTS (SELECT FROM {t} WHERE place IS NULL), n.place, n.topic, n.event, n.created
FROM (SELECT 1) AS always LEFT JOIN (
	SELECT place, topic, event, created FROM {t}
	WHERE place > $1 AND place > 0 AND sequence IS NULL ORDER BY place LIMIT $2
) AS n ON true
ORDER BY n.place`

// Read implements driver.Leadership.
func (l *session) Read(ctx context.Context, limit int, published []driver.Mark) (driver.Batch, error) {
	var b driver.Batch
	if len(published) > 0 || l.open >= noteFrom || l.open > 0 && time.Since(l.since) > noteAfter {
		if err := l.note(ctx, published); err != nil {
			return b, err
		}
	}
	unplaced := false
	err := collect(ctx, l.conn, func(rows *sql.Rows) error {
		var topic, event sql.NullString
		var place sql.NullInt64
		var created sql.NullTime
		if err := rows.Scan(&b.Time, &unplaced, &place, &topic, &event, &created); err != nil {
			return err
		}
		if place.Valid {
			b.Rows = append(b.Rows, driver.Row{Topic: topic.String, Sequence: l.count(topic.String, place.Int64), Event: event.String, Appended: created.Time})
		}
		return nil
	}, in(l.table, read), l.cursor, limit)
	if err == nil && unplaced {
		_, err = l.conn.ExecContext(ctx, in(l.table, `SELECT {t}_place($1)`), limit)
	}
	b.More = unplaced || len(b.Rows) == limit
	return b, err
}

// count gives the next row of a topic its number.
func (l *session) count(topic string, place int64) uint64 {
	a := l.topics[topic]
	if a == nil {
		a = new(account)
		l.topics[topic] = a
	}
	if l.open == 0 {
		l.since = time.Now()
	}
	l.open++
	l.cursor = place
	a.last++
	a.places = append(a.places, place)
	return a.last
}

// note removes what is published and writes down the numbers of what isn't.
func (l *session) note(ctx context.Context, published []driver.Mark) error {
	tx, err := l.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	marks := make(map[string]uint64, len(published))
	for _, m := range published {
		marks[m.Topic] = m.Sequence
	}
	for name, a := range l.topics {
		mark := max(marks[name], a.removed)
		if mark > a.removed && a.removed < a.noted {
			if err := removePublished(ctx, tx, l.table, []driver.Mark{{Topic: name, Sequence: mark}}); err != nil {
				return err
			}
		}
		if a.last > a.noted {
			if err := l.settle(ctx, tx, name, a, mark); err != nil {
				return err
			}
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	for name, a := range l.topics {
		a.removed, a.noted, a.places = max(marks[name], a.removed), a.last, nil
	}
	l.noted, l.open = l.cursor, 0
	return nil
}

// settle deletes a topic's rows up to mark and numbers the rest, of those whose
// numbers aren't written down.
func (l *session) settle(ctx context.Context, tx *sql.Tx, name string, a *account, mark uint64) error {
	gone, upto := uint64(0), l.noted
	if mark > a.noted {
		gone, upto = mark-a.noted, a.places[mark-a.noted-1]
	}
	var found, numbered uint64
	err := tx.QueryRowContext(ctx, in(l.table, `
		WITH removed AS (
			DELETE FROM {t} WHERE topic = $1 AND place > $2 AND place <= $3 AND place > 0 AND sequence IS NULL RETURNING 1
		), counted AS (
			INSERT INTO {t}_topic (topic, last) VALUES ($1, $4) ON CONFLICT (topic) DO UPDATE SET last = excluded.last
		)
		SELECT count(*) FROM removed`), name, l.noted, upto, int64(a.last)).Scan(&found)
	if err != nil {
		return err
	}
	if rest := a.last - a.noted - gone; rest > 0 {
		err = tx.QueryRowContext(ctx, in(l.table, `
			WITH waiting AS (
				SELECT id, row_number() OVER (ORDER BY place) AS n FROM {t}
				WHERE topic = $1 AND place > $2 AND place <= $3 AND place > 0 AND sequence IS NULL
			), numbered AS (
				UPDATE {t} AS o SET sequence = $4 + w.n FROM waiting AS w WHERE o.id = w.id RETURNING 1
			)
			SELECT count(*) FROM numbered`), name, upto, l.cursor, int64(a.noted+gone)).Scan(&numbered)
		if err != nil {
			return err
		}
	}
	if found+numbered != a.last-a.noted {
		return fmt.Errorf("%w: topic %s has %d rows without a number instead of %d; somebody removed them", driver.ErrLost, name, found+numbered, a.last-a.noted)
	}
	return nil
}

// Load implements driver.Leadership. It finds rows by what is written down.
func (l *session) Load(ctx context.Context, topic string, after uint64, limit int) ([]driver.Row, error) {
	if l.open > 0 {
		if err := l.note(ctx, nil); err != nil {
			return nil, err
		}
	}
	var found []driver.Row
	err := collect(ctx, l.conn, func(rows *sql.Rows) error {
		r := driver.Row{Topic: topic}
		if err := rows.Scan(&r.Sequence, &r.Event, &r.Appended); err != nil {
			return err
		}
		found = append(found, r)
		return nil
	}, in(l.table, `SELECT sequence, event, created FROM {t} WHERE topic = $1 AND sequence > $2 ORDER BY sequence LIMIT $3`),
		topic, int64(after), limit)
	return found, err
}

// Close ends the connection rather than giving it back to the pool: with it go the
// lock, whatever state it is in, and the settings.
func (l *session) Close(context.Context) error {
	err := l.conn.Raw(func(any) error { return sqldriver.ErrBadConn })
	if err != nil && err != sqldriver.ErrBadConn && err != sql.ErrConnDone { //nolint:errorlint // compared with what was passed in
		return fmt.Errorf("close the leader's connection: %w", err)
	}
	return nil
}
