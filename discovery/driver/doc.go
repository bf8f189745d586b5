// Package driver is the contract between discovery and a store of leased
// records.
//
// Programs use package discovery; only somebody who connects a further store
// implements this package, and proves it with package discoverytest.
//
// # Who does what
//
// A driver translates, and nothing else. The core validates instances, encodes
// and signs them, renews, retries with backoff, merges marks into views, and
// keeps the last view when the store is gone. A driver keeps small opaque
// records alive for as long as somebody renews them, and tells who watches.
//
// # Leases belong to owners
//
// A record is held by whoever knows its owner's name, not by a session, a
// connection or the process that took the call. So a renewal may go through
// another replica of a discovery service than the registration did, and the
// death of such a replica ends no lease.
//
// # Growth
//
// What not every store can do is a small optional interface. Released
// interfaces are never widened.
package driver
