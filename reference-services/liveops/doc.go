// Package liveops is a domain service: it owns live issues, which are what goes
// wrong with orders while they are under way, and announces every change of one on
// the topic "live-issues".
//
//	s, err := liveops.New(ctx, db, b, client, &liveops.Options{
//		BaseURL: "http://localhost:8087", Orders: "http://localhost:8085/", Riders: "http://localhost:8086/",
//	})
//	…
//	w, err := liveops.Watch(ctx, configuration, s) // or s.Load, for rules that stay
//	…
//	go s.Run(ctx)
//	http.ListenAndServe(":8087", s.Handler())
//
// # From an order's change to an issue
//
// A notice that an order or a rider changed is a reason to look, and nothing else:
// the handler reads the order through the cache, which is never older than the
// notice, and makes of it what the rules say. What is so is taken from the order's
// own times, so notices that are repeated, late or out of order lead to the same
// issues. The issue and its notice are written in one transaction before the order's
// notice is acknowledged: a process that is killed in between is followed by one
// that gets the notice again.
//
// Most trouble is that something has not happened. When that becomes an issue is
// known as soon as the order changes; it is kept in the database, and one timer
// waits for the next of these times. Nobody is asked in between.
//
// # Issues
//
// One issue of a kind is open for an order at a time. It goes by itself when its
// cause does. Who resolves it by hand has the last word for as long as that trouble
// lasts, and what was acknowledged stays acknowledged. Its links are what can be
// done: acknowledge, resolve, and those of the order's own links that may help.
//
// # Rules
//
// They are the document [Key] of the configuration, and say per kind of trouble
// after which time it is how bad, for all orders or for some: by area, restaurant or
// rider. Which of several decides is the business of discovery/rules, the one rules
// engine, with its order of precedence and its lint. Its rules are about requests,
// and do what can be done with those; here each rule is compiled to one of them, the
// kind as its path, and only who wins is asked. New rules hold at once, for orders
// that are open already too. Some that can't be used are refused, with the place.
//
// # Not given
//
//   - What was wrong and over before anybody looked is known only where an order's
//     times tell: it is for lateness of kitchens and riders, not for a rider who was
//     busy with an order that had been cancelled.
//   - While an order's owner can't be asked nothing is decided about it, unless the
//     cache may vouch for what it has.
//   - Issues are kept for ever, and there is one process at a database.
//
// # Files
//
//   - rule.go is a rule, default.go those that hold at first, watch.go where others
//     come from
//   - owner.go is what is read of orders and riders; judge.go says what is wrong
//     with them
//   - hear.go hears notices, deadline.go waits, and both lead to decide.go
//   - issue.go is an issue, store.go keeps it, service.go and handler.go serve it
//   - dashboard is the page for people
package liveops
