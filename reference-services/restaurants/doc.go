// Package restaurants is a domain service: it owns restaurants, serves them as
// HAL over HTTP, and announces every change on the topic "restaurants".
//
//	db, err := restaurants.OpenDB("data/restaurants.db")
//	…
//	s, err := restaurants.New(ctx, db, b, &restaurants.Options{BaseURL: "http://localhost:8081"})
//	…
//	go s.Run(ctx) // publishes what the outbox holds
//	http.ListenAndServe(":8081", s.Handler())
//
// # Resources
//
// The root leads to everything else by links. The collection is a list of
// links and nothing else, so that each restaurant is cached once, under its own
// URL. Restaurants change by PUT and PATCH (RFC 7396) with If-Match; a write
// without a condition is answered 428, one that lost a race 412.
//
// # Coherence
//
// A change and its notice commit in one transaction, and the version in the
// ETag comes from a counter of the whole table beside a word that is made with
// the database, so that no ETag ever comes back: not when what was deleted is
// made again, and not when the database is begun anew. Responses say
// resn="restaurants"; lists, and answers that there is no such restaurant, are in
// the cache group of that name.
//
// # Files
//
//   - state.go is what a restaurant is: what clients may write, and what is wrong
//   - store.go keeps it, one column a field; document.go is it on the wire
//   - service.go makes changes and announces them, handler.go answers requests
//   - cmd/restaurants is the program
package restaurants
