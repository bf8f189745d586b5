// Package orders is a domain service: it owns orders, from the moment that they
// are placed until they are delivered or cancelled, and announces every change on
// the topic "orders".
//
//	db, err := restaurants.OpenDB("data/orders.db")
//	…
//	s, err := orders.New(ctx, db, b, &orders.Options{BaseURL: "http://localhost:8085"})
//	…
//	go s.Run(ctx) // publishes what the outbox holds
//	http.ListenAndServe(":8085", s.Handler())
//
// # What can be done
//
// An order changes by transitions. It links to those that are possible now, and
// only to those, each a POST on condition of the version that the client has read
// (If-Match). So a client knows what it can do without knowing the statuses:
//
//	placed → accept → ready → collect → deliver
//
// assign gives it a rider, as often as need be until it is collected, and cancel
// ends it at any time. What isn't possible is answered 409 with what is.
//
// # Lists
//
// The list of open orders is in the cache group of the topic: who hears notices has
// it from the cache until an order changes, and never longer.
//
// # Files
//
//   - state.go is what an order is, and how one is placed
//   - service.go has the transitions and the HTTP API; package internal/owner keeps
//     orders, announces changes, and answers requests
package orders
