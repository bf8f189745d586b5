package outbox

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"time"

	"github.com/goswale/swale/bus/outbox/driver"
)

// maxInsertRows keeps an INSERT below the parameter limits of every database.
const maxInsertRows = 500

// in puts the name of the table into a statement. Names were checked by New and
// hold nothing that would need quoting.
func in(table, statement string) string { return strings.ReplaceAll(statement, "{t}", table) }

// placeholders returns "($1,$2),($3,$4)" for 2 rows of 2 columns.
func placeholders(rows, columns int) string {
	var b strings.Builder
	for n := range rows * columns {
		switch {
		case n == 0:
			b.WriteByte('(')
		case n%columns == 0:
			b.WriteString("),(")
		default:
			b.WriteByte(',')
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n + 1))
	}
	b.WriteByte(')')
	return b.String()
}

// querier is a database, a transaction or a connection.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// collect runs a query and calls scan for each row.
func collect(ctx context.Context, q querier, scan func(*sql.Rows) error, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	return each(rows, err, scan)
}

// each calls scan for each row of a query that was made.
func each(rows *sql.Rows, err error, scan func(*sql.Rows) error) error {
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

// removePublished deletes the rows that marks name.
func removePublished(ctx context.Context, q querier, table string, marks []driver.Mark) error {
	for _, m := range marks {
		if _, err := q.ExecContext(ctx, in(table, `DELETE FROM {t} WHERE topic = $1 AND sequence <= $2`), m.Topic, int64(m.Sequence)); err != nil {
			return err
		}
	}
	return nil
}

const topicStates = `
SELECT k.topic, k.last, COALESCE((SELECT MIN(o.sequence) - 1 FROM {t} o WHERE o.topic = k.topic), k.last)
FROM {t}_topic k ORDER BY k.topic`

func readTopics(ctx context.Context, q querier, table string) ([]driver.Topic, error) {
	var topics []driver.Topic
	err := collect(ctx, q, func(rows *sql.Rows) error {
		var t driver.Topic
		if err := rows.Scan(&t.Name, &t.Last, &t.Removed); err != nil {
			return err
		}
		topics = append(topics, t)
		return nil
	}, in(table, topicStates))
	return topics, err
}

// moment makes a time of milliseconds; SQLite has no type for times.
func moment(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return time.UnixMilli(ms.Int64).UTC()
}
