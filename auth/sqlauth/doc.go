// Package sqlauth keeps what package login stores in SQLite or PostgreSQL.
//
//	store, err := sqlauth.New(db, nil)
//	err = store.Migrate(ctx)
//	service, err := login.New(store, &login.Options{…})
//
// With Options.Announce the notice of a change is written in the transaction of
// the change, usually to an outbox, so that neither is there without the other:
//
//	box := outbox.New(db, outbox.SQLite, nil)
//	store, err := sqlauth.New(db, &sqlauth.Options{
//		Announce: func(ctx context.Context, tx *sql.Tx, all []driver.Announcement) error {
//			for _, a := range all {
//				e := resn.Event{Topic: "sessions", Type: a.Type, Href: a.Href, ETag: a.ETag, Time: a.Time}
//				if err := box.Append(ctx, tx, e.Topic, e.CloudEvent("/login")); err != nil {
//					return err
//				}
//			}
//			return nil
//		},
//		Announced: box.Wake,
//	})
//
// The statements are the same on both databases, and the driver is yours:
// modernc.org/sqlite and github.com/jackc/pgx/v5/stdlib are tested. On SQLite
// set a busy timeout and write-ahead logging:
//
//	file:login.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)
//
// # Durability
//
// A write is as durable as the database's commit: fsynced on PostgreSQL, and on
// SQLite with synchronous(FULL), which is the default. With synchronous(NORMAL)
// the last commits may be lost with the machine's power, never with the process.
//
// A Store is safe for concurrent use, by any number of processes.
package sqlauth
