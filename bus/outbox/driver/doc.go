// Package driver is the contract between package outbox and a database. Who uses
// an outbox needs nothing of it; who brings a database that package outbox
// doesn't know implements [Dialect] and [Leadership].
//
// The dialects of package outbox are the examples to read: SQLite numbers rows
// when they are appended, because it has one writer at a time and so knows the
// order of commits beforehand; PostgreSQL has them placed by the commit itself, and
// counts places.
package driver
