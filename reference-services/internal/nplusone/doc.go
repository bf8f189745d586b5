// Package nplusone measures what a page costs that is made of one list and N
// items, while the items change: the N+1 problem, met in four ways.
//
//	report, err := nplusone.Run(ctx, nplusone.Options{Root: root, Bus: b})
//	report.WriteTable(os.Stdout)
//
// # What is compared
//
// The page code is the storefront's own, the same for all; only the transport
// under it differs. No cache; an ETag asked about every time; max-age believed
// for as long as it says; and package resn, which is told of changes. They
// take turns of a fraction of a second at the same machine, the same service
// and the same stream of updates.
//
// # What is true
//
// Package nplusone makes the updates itself, so it knows from the owner's
// answers which version was in force when. An item is stale if, before its
// reading began, the owner had answered to a newer version or its notice had
// come; staleness is for how long that had been so. It is stale after notice if
// this process had taken in that notice before the reading began: a count that
// must be zero for resn, whatever else happens.
//
// Both moments are taken on the late side. The owner commits before it
// answers, and a notice counts when both the demo's own subscription and the
// client's have it. So no strategy is blamed for what it couldn't know, and
// staleness is the least that it was.
package nplusone
