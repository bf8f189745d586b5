// Package life makes a city's day: customers place orders, kitchens accept them and
// get them ready, riders bring them, and now and then somebody forgets something.
//
//	l := life.New(b, &life.Options{Restaurants: "http://127.0.0.1:8081/", Orders: …, Riders: …, PerMinute: 20})
//	…
//	err := l.Run(ctx) // until ctx ends
//
// # By links alone
//
// It uses the services' HTTP APIs and nothing else. It begins at their roots, and
// what can be done with an order or a rider is what that links to: nothing here
// knows which status follows which. So whoever else changes an order, by hand or by
// a rule, is part of the same city. What it reads comes through one coherent
// client: everybody looks at their order all the time, and a service is asked only
// when something has changed.
//
// # A day that can be had again
//
// Everything happens in one goroutine, one thing after another, in an order that a
// seed and the clock decide. The same seed over the same services gives the same
// day.
//
// # Troubles
//
// Some kitchens forget to accept, some are slow, some riders get stuck on their way
// or forget to say that they are done; a customer whose order is very late cancels
// it. Troubles pass by themselves, so that a city that nobody looks after goes on.
// A service that doesn't answer is said to, once; everybody tries again.
//
// # Files
//
//   - life.go is the day: what happens next; watch.go notices who doesn't answer
//   - customer.go, kitchen.go and courier.go are who acts, and see.go is how they
//     look and act
package life
