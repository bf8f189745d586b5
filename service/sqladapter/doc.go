// Package sqladapter is a *sql.DB that follows its configuration: address,
// credentials, time-outs and the pool's limits change while the program runs.
//
//	db, err := sqladapter.Open(ctx, client, configsvc.Layers("orders/database", "eu-west-1", "live"), postgres.Connector, nil)
//	if err != nil {
//		return err
//	}
//	s.Defer("database", db.Shutdown)
//	s.Check("database", db.PingContext)
//	s.Show("database", func() any { return db.State() })
//	store := orders.NewStore(db.DB) // a *sql.DB as any other
//
// What it is made of is a [Config] under keys of its own, or a part of a larger
// configuration ([New]).
//
// # What changes how
//
// The limits of the pool are set at once; no connection is closed for them. With
// another password or time-out new connections use it, those that nobody uses are
// closed, and each of the others when its work is done. With another URL or user it
// is the same, and after Config.Drain what is still open to the old place is cut.
// Until its connections have ended a program talks to both places, and another
// program may change over sooner or later: a move of data needs more than this.
//
// # What doesn't work
//
// A configuration that connects to nothing is rejected before it comes into force:
// the one before stays, the configuration service shows who rejects what and why,
// and it is tried again with every poll, in case the database comes later. When a
// connection can't be opened, the service is asked whether there is something newer,
// at most once a second; until it has answered, or Config.ConnectTimeout is over,
// the query waits.
//
// # Rotating a password
//
// Of two users that take turns, or where a server takes the old password and the
// new: give the database the new one, then the configuration, and take the old
// one away when all instances run the new configuration. Where a user has one
// password: the configuration first, which is rejected as long as the database
// doesn't take it, and then the database; the first connection that is refused
// brings the new one into force. In the other order connections are refused until
// the configuration comes, and queries that need a new one fail after a second.
//
// # Secrets
//
// The password is a [configsvc.SecretText]; no error, no log line and no State has
// it, and a URL with a password in it is refused. What a driver writes by itself is
// the driver's.
//
// # The driver's connections
//
// sql.Conn.Raw gives a connection with a method Raw() driver.Conn, which returns the
// driver's own.
package sqladapter
