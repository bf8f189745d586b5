// Package sqlbinding keeps version bindings and their history in a database:
// PostgreSQL, SQLite, or another that knows their common SQL.
//
//	db, err := sql.Open("sqlite", "file:bindings.db?_pragma=busy_timeout(5000)")
//	store := sqlbinding.New(db, nil)
//	err = store.Migrate(ctx)
//	table := binding.NewTable(store, nil)
//
// A write is one statement that also checks what the writer has seen. Watches
// ask for the newest numbers every Poll, so a write is told within that time
// on every process; nothing is deleted.
package sqlbinding
