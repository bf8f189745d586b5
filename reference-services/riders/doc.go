// Package riders is a domain service: it owns riders, announces every change of one
// on the topic "riders", and publishes where they are on the stream
// "rider-positions".
//
//	db, err := restaurants.OpenDB("data/riders.db")
//	…
//	s, err := riders.New(ctx, db, b, &riders.Options{BaseURL: "http://localhost:8086"})
//	…
//	go s.Run(ctx) // publishes what the outbox holds
//	http.ListenAndServe(":8086", s.Handler())
//
// # Riders and their positions
//
// A rider is a resource: it has a name, is off, free or busy, and changes by the
// transitions that it links to, like an order. Each change has its notice.
//
// A position is a value: it has no identity, never changes, and is worth nothing
// when the next one is there. So it is no resource and has no notice, is in no cache
// and in no database. It goes over the bus as a [resn.Stream], which keeps the
// latest of each rider for an hour; [Positions] opens it. Only when a rider comes
// into another area (a geohash of five characters, some 5 km) does the rider change.
//
// # Files
//
//   - state.go is what a rider is, and how one is made
//   - position.go is where riders are
//   - service.go has the transitions and the HTTP API; package internal/owner keeps
//     riders, announces changes, and answers requests
package riders
