// Package sqlidempotency keeps idempotency keys and the answers of the requests
// that they name in a SQL database, so that a request that is sent again gets the
// first answer after a restart too, and from any instance.
//
//	store := sqlidempotency.New(db, nil)
//	if err := store.Migrate(ctx); err != nil {
//		return err
//	}
//	handler = service.Idempotent(store, nil)(handler)
//
// It works with PostgreSQL 12 or newer and SQLite 3.35 or newer, over database/sql
// and a driver of the program's choice.
//
// # What it promises
//
// That of [service.IdempotencyStore]. The answer isn't part of the transaction that
// does the work: when the process dies between the two, the key stays claimed for
// the rest of its lease, and then the handler may run again.
//
// # Bounds
//
// A row has a hash of the key, and the answer for as long as it is kept:
// IdempotencyOptions.Keep, 24 hours by default. Its size is bounded by
// IdempotencyOptions.MaxBytes. Rows that are over are deleted now and then, by
// whoever claims a key.
//
// # Clocks
//
// Leases are reckoned with the clocks of the processes, which therefore must not be
// apart by anything near to a lease, 2 minutes by default.
package sqlidempotency
