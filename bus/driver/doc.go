// Package driver is the contract between the bus and a message broker.
//
// Programs use package bus; only somebody who connects a further broker
// implements this package, and proves it with package bustest.
//
// # Who does what
//
// A driver translates, and nothing else. The core validates topics and events,
// encodes and decodes CloudEvents, bounds what is in flight, retries, keeps the
// order of keys, backs off, writes dead letters, recovers panics and logs. A
// driver moves opaque messages, says truthfully when the broker has them safe,
// and reports what it notices about its connection.
//
// # Ownership
//
// A [Message] passed to a driver and the slices inside it belong to the core
// until the driver has called the matching done function, or returned the answer,
// and afterwards too if Info.Copies says so; the driver must not change them. A
// Message that a driver hands to the core belongs to the core from then on, and
// the driver must not touch its Body again.
//
// # Growth
//
// Everything that not every broker can do is a small optional interface
// ([Requester], [Questioner], [Streamer], [Reader]); a driver without it makes the core answer
// errors.ErrUnsupported, or do with less. Released interfaces are never widened.
package driver
