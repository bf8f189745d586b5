// Package outbox publishes events if and only if the transaction that caused them
// commits: the event is a row in the same database, written in the same
// transaction, and a relay takes rows to the bus.
//
//	box := outbox.New(db, outbox.SQLite, nil) // or outbox.PostgreSQL
//	err := box.Migrate(ctx)
//
//	err = box.InTx(ctx, func(tx *sql.Tx) error {
//		if _, err := tx.ExecContext(ctx, `UPDATE restaurants SET …`); err != nil {
//			return err
//		}
//		return box.Append(ctx, tx, "restaurants", event)
//	})
//
//	relay := outbox.NewRelay(box, b, nil)
//	go relay.Run(ctx) // in every process; one of them leads
//
// # Order and numbers
//
// Each event gets a number in its topic, from 1 and without holes, and carries it
// as the extension "sequence" beside "epoch", an id made once per database.
// Numbers are durable before anything is published, so an event that is published
// again after a crash has the number that it had: readers recognise it.
//
// Numbers follow the order of commits: that in which transactions become visible to
// others. Whatever ids their rows have, a transaction that began after another had
// committed has the greater numbers, and one that waited for another's row lock too.
//
// On SQLite, which has one writer at a time, Append gives the number. On PostgreSQL
// ids are given in another order than transactions commit, and a relay that
// remembered the last id would lose events. There each row takes its place in the
// order while its transaction commits, under a lock that is released when the commit
// is visible, and the relay counts places. With Options.DisableNotify no commit
// waits for that lock, and the relay gives the places: then of two transactions that
// it finds at the same time the one that inserted first is first, so where
// transactions wait for each other's row locks, call Append after the statement that
// takes the lock.
//
// # Watermarks
//
// With RelayOptions.Watermark the relay says on every topic, several times a
// second, that every change committed before T has been announced and that the last
// number was N. This is true by construction. T is taken before the rows are read,
// N and the rows are of the same reading, and the watermark goes out after all of
// them are safe on the bus. A row whose transaction is still open isn't visible and
// holds nothing up; it counts from its commit, which is after T.
//
// T is by the clock of the database on PostgreSQL (now() of the statement that
// reads), because that is one clock for all relays and doesn't jump when another
// one leads; and by the clock of the process on SQLite, whose database is on the
// same machine. While rows wait because the bus refuses them T stands still.
//
// # One relay at a time
//
// On PostgreSQL the leader holds an advisory lock, and reads and removes rows on the
// very connection that holds it. On SQLite it holds a lease in a row, which it checks in
// the transaction in which it reads. A relay that was suspended, and wakes up after
// somebody else took over, may repeat events, with the numbers that they have; it
// can't give numbers, and what its watermark says is old but true.
//
// # Failures
//
// A topic that the bus refuses waits, with backoff, and keeps its order; other
// topics go on. An event that the bus will never take, because it is too large,
// holds up its topic until somebody deletes the row; [Relay.Stats] and the log say
// which. When the database fails the relay gives up leadership and tries again.
//
// # Waking
//
// [Outbox.InTx] and [Outbox.Wake] wake the relay of the same process. On PostgreSQL
// NOTIFY wakes those of other processes, given RelayOptions.Listen (package
// pgxnotify). The relay polls all the same.
//
// # Shutdown
//
// [Relay.Run] returns after its context has ended, what was under way is published,
// published rows are removed and leadership is given up.
package outbox
