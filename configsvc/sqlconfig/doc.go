// Package sqlconfig keeps configuration in PostgreSQL or SQLite, through
// database/sql and whichever driver the program has opened the database with.
//
//	db, err := sql.Open("pgx", url)
//	…
//	d := sqlconfig.New(db, sqlconfig.PostgreSQL, nil)
//	err = d.Migrate(ctx)
//	…
//	s := store.New(d, nil)
//
// # What a crash leaves
//
// A commit is one transaction. Whoever is killed in the middle of it leaves
// nothing of it, and what Commit has returned survives as far as the database
// promises: for SQLite open it with synchronous(FULL) if a power cut must not
// take the last commits.
//
// # Several processes
//
// Commits take the log's only row first, so they queue up for it: revisions are
// in the order in which transactions became visible, without holes. Reads take
// no lock.
//
// SQLite wants a busy timeout, or a second writer fails instead of waiting:
//
//	sql.Open("sqlite", "file:config.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)")
//
// # Notices in the same transaction
//
// [Options].InTx is called inside the transaction of each commit. An outbox
// there makes a notice that is never lost and never about a change that wasn't
// made.
package sqlconfig
