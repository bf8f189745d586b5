package sqladapter

import (
	"context"
	"database/sql/driver"
	"net"
)

// Dial opens a connection to a server.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// A Connector makes a driver's connector for a configuration. Its connections
// should use dial: what is opened by other means can't be cut (Config.Drain).
// Package postgres has one; the documentation of this package shows others.
type Connector func(c Config, dial Dial) (driver.Connector, error)

// DSN returns a Connector for a driver that is given a text, made from the
// configuration by dsn, password included. Its connections can't be cut.
func DSN(d driver.Driver, dsn func(Config) (string, error)) Connector {
	return func(c Config, _ Dial) (driver.Connector, error) {
		text, err := dsn(c)
		if err != nil {
			return nil, err
		}
		if d, ok := d.(driver.DriverContext); ok {
			return d.OpenConnector(text)
		}
		return plain{d, text}, nil
	}
}

// plain is the connector of a driver that has none.
type plain struct {
	driver driver.Driver
	dsn    string
}

func (p plain) Connect(context.Context) (driver.Conn, error) { return p.driver.Open(p.dsn) }
func (p plain) Driver() driver.Driver                        { return p.driver }
