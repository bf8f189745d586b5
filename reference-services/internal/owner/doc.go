// Package owner is what services have in common that own the resources of one
// topic and change them by transitions: what a resource is, which transitions it
// has and when each is possible is theirs to say, and is all that they say.
//
//	c, err := owner.New(ctx, db, b, "orders", transitions, view, &owner.Options{BaseURL: base})
//	…
//	go c.Run(ctx) // publishes what the outbox holds
//	mux := c.Mux() // GET, and a POST for each transition
//
// # Affordances
//
// A resource links to the transitions that are possible in its state, and to no
// others, so that a client needs no copy of the state machine. A transition is a
// POST to its link, on condition of the version that the client has read: by
// If-Match, or by the target of the form, which names the version that it was made
// for. What isn't possible is answered 409 with what is.
//
// # Files
//
//   - table.go keeps states in SQLite as JSON, a change and its notice in one
//     transaction
//   - transition.go is a transition and its form
//   - serve.go answers requests
package owner
