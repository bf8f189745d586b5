// Package pgxnotify wakes an outbox's relay by PostgreSQL's LISTEN and NOTIFY
// through pgx, so that an event is published as soon as its transaction, in
// whatever process, has committed:
//
//	relay := outbox.NewRelay(box, b, &outbox.RelayOptions{Listen: pgxnotify.Listen})
//
// It is a package of its own so that package outbox needs database/sql alone.
// database/sql has no notion of notifications; a driver other than pgx needs a
// function like this one.
package pgxnotify

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// Listen takes a connection out of db, whose driver must be pgx's stdlib, listens
// on the channel, and calls wake once when it began to and then after each
// notification. It returns when ctx ends or the connection is lost, never nil, and
// closes the connection.
func Listen(ctx context.Context, db *sql.DB, channel string, wake func()) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("pgxnotify: %w", err)
	}
	defer func() { _ = conn.Close() }() // closed already by ErrBadConn below
	err = conn.Raw(func(raw any) error {
		c, ok := unwrapped(raw).(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("pgxnotify: the database's driver is not pgx: its connection is a %T", raw)
		}
		// The connection listens from now on, so it must not go back to the pool.
		return errors.Join(listen(ctx, c.Conn(), channel, wake), driver.ErrBadConn)
	})
	return fmt.Errorf("pgxnotify: %w", err)
}

// unwrapped returns the connection of the driver itself, out of whatever says by a
// method Raw that it is around one.
func unwrapped(raw any) any {
	for {
		around, ok := raw.(interface{ Raw() driver.Conn })
		if !ok {
			return raw
		}
		raw = around.Raw()
	}
}

func listen(ctx context.Context, c *pgx.Conn, channel string, wake func()) error {
	if _, err := c.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
		return err
	}
	for {
		wake() // at first for what was committed before LISTEN
		if _, err := c.WaitForNotification(ctx); err != nil {
			return err
		}
	}
}
