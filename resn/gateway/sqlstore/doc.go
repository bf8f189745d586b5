// Package sqlstore keeps what a gateway must not forget in a database, PostgreSQL
// or SQLite, through any database/sql driver.
//
//	store, err := sqlstore.New(db, nil)
//	…
//	err = store.Migrate(ctx)
//	…
//	g, err := gateway.Open(ctx, b, store, opts)
//
// Several gateways may share it.
package sqlstore
