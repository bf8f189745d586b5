// Package postgres connects a sqladapter.Database to PostgreSQL by pgx.
//
//	db, err := sqladapter.Open(ctx, client, keys, postgres.Connector, nil)
//
// The URL's parameters are those of pgx and libpq: sslmode, application_name,
// default_query_exec_mode and so on. Several hosts in it are tried in turn.
package postgres

import (
	"database/sql/driver"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/goswale/swale/service/sqladapter"
)

var _ sqladapter.Connector = Connector

// Connector is a [sqladapter.Connector].
func Connector(c sqladapter.Config, dial sqladapter.Dial) (driver.Connector, error) {
	cfg, err := pgx.ParseConfig(c.URL)
	if err != nil {
		return nil, err
	}
	if c.User != "" {
		cfg.User = c.User
	}
	if c.Password != "" {
		cfg.Password = c.Password.Reveal()
	}
	cfg.ConnectTimeout = time.Duration(c.ConnectTimeout)
	cfg.DialFunc = pgconn.DialFunc(dial)
	if c.StatementTimeout > 0 {
		cfg.RuntimeParams["statement_timeout"] = strconv.FormatInt(max(1, time.Duration(c.StatementTimeout).Milliseconds()), 10)
	}
	return stdlib.GetConnector(*cfg), nil
}
