package sqladapter

import (
	"context"
	"database/sql/driver"
	"errors"
)

// conn is a driver's connection that knows when it is no longer wanted. It has
// every method that database/sql asks for, and answers for a driver that hasn't
// one as database/sql does itself.
type conn struct {
	driver.Conn
	of     *generation
	in     *Database
	closed bool
}

var (
	_ driver.QueryerContext     = (*conn)(nil)
	_ driver.ExecerContext      = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.NamedValueChecker  = (*conn)(nil)
	_ driver.SessionResetter    = (*conn)(nil)
	_ driver.Validator          = (*conn)(nil)
	_ driver.Pinger             = (*conn)(nil)
)

// Raw returns the driver's own connection, for those who get this one from
// sql.Conn.Raw.
func (c *conn) Raw() driver.Conn { return c.Conn }

// IsValid is asked when the connection has been used: one of an earlier
// configuration is closed then.
func (c *conn) IsValid() bool {
	if c.outdated() {
		return false
	}
	v, ok := c.Conn.(driver.Validator)
	return !ok || v.IsValid()
}

// ResetSession is asked before it is used again.
func (c *conn) ResetSession(ctx context.Context) error {
	if c.outdated() {
		return driver.ErrBadConn
	}
	if r, ok := c.Conn.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

func (c *conn) outdated() bool { return c.of != c.in.current.Load() }

// Close closes the driver's connection. One to an old place is closed beside: many
// drivers take leave of the server, which may be the reason why the place is old.
func (c *conn) Close() error {
	if c.closed {
		return driver.ErrBadConn
	}
	c.closed = true
	shut := func() error {
		defer c.of.count(-1)
		return c.Conn.Close()
	}
	if c.outdated() && c.in.closers.run(shut) {
		return nil
	}
	return shut()
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if q, ok := c.Conn.(driver.QueryerContext); ok {
		return q.QueryContext(ctx, query, args)
	}
	return nil, driver.ErrSkip
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if e, ok := c.Conn.(driver.ExecerContext); ok {
		return e.ExecContext(ctx, query, args)
	}
	return nil, driver.ErrSkip
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if p, ok := c.Conn.(driver.ConnPrepareContext); ok {
		return p.PrepareContext(ctx, query)
	}
	s, err := c.Prepare(query)
	if err == nil && ctx.Err() != nil {
		_ = s.Close()
		return nil, ctx.Err()
	}
	return s, err
}

func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if b, ok := c.Conn.(driver.ConnBeginTx); ok {
		return b.BeginTx(ctx, opts)
	}
	switch {
	case opts.Isolation != 0:
		return nil, errors.New("sqladapter: the driver has no isolation levels but its default")
	case opts.ReadOnly:
		return nil, errors.New("sqladapter: the driver has no read-only transactions")
	}
	tx, err := c.Begin() // all that such a driver has
	if err == nil && ctx.Err() != nil {
		_ = tx.Rollback()
		return nil, ctx.Err()
	}
	return tx, err
}

func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	if n, ok := c.Conn.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *conn) Ping(ctx context.Context) error {
	if p, ok := c.Conn.(driver.Pinger); ok {
		return p.Ping(ctx)
	}
	return nil
}
