// Package binding says which versions of a service get which part of its
// requests, as data with a history, and is the discovery.Splitter that a
// transport asks.
//
//	table := binding.NewTable(binding.NewMemory(), nil)
//	defer table.Close(ctx)
//	transport := discovery.NewTransport(nil, resolver, &discovery.TransportOptions{Splitter: table})
//
//	_, err := table.Put(ctx, binding.Binding{
//		Service: "orders",
//		Shares:  []binding.Share{{Version: "v2", Percent: 10}},
//		Rest:    "v1",
//		By:      "attr:customer",
//	}, binding.Change{Author: "ada", Message: "try v2 on a tenth"})
//
// # Shares
//
// A percentage is the version's, however many instances of it run. Shares add
// up to 100, or Rest names who gets what is left, "*" being all versions that
// aren't named: a new version's tenth never leaves the old one with nothing. A
// version with 0 percent is drained. A version needs MinHealthy instances to
// be chosen; otherwise Fallback is, if there is one. Without a binding all
// versions are alike.
//
// # Sticking
//
// By names what sticks to a version: a header, a cookie, or an attribute, such
// as a token's claim. The choice is salted rendezvous hashing, so a key keeps
// its version for as long as the shares allow, and different bindings choose
// independently. As in package rules, headers and cookies need a declared
// trust.
//
// # Exceptions
//
// Rules send some requests by other shares: staff to v2, a region to v1. They
// are those of package rules, the most specific first, and route by versions
// only; what none matches goes by the shares.
//
// # Changes
//
// Each write names the revision that it changes, so that nobody overwrites
// what they haven't seen; it keeps its author and message, and any revision of
// the history can be brought back. Tables watch the store and swap a snapshot:
// a write is in use everywhere as soon as the watch tells, which is well
// within a second, and what a store that is gone last said stays in use.
//
// # Ramps
//
// A [Ramper] raises a version's share in steps, pauses at each, and puts back
// what was before if the version fails more often or answers more slowly than
// the others.
package binding
