// Package gateway is an event bus over HTTP for services in any language: they
// push notices of change to topics, subscribe with a callback, and get batches
// POSTed to it. Its API is Routemaster's, so that clients of that bus work
// unchanged, and CloudEvents over HTTP beside it.
//
//	store, err := sqlstore.New(db, nil)
//	…
//	g, err := gateway.Open(ctx, b, store, &gateway.Options{RootToken: root, Key: key})
//	…
//	defer g.Shutdown(ctx) // before the bus
//	err = http.ListenAndServeTLS(":443", cert, certKey, g)
//
// A client has a token, which it shows as the user name of HTTP Basic. Who
// pushes to a topic first owns it:
//
//	POST /topics/restaurants
//	{"type":"update","url":"https://api.example/restaurants/203"}
//
// A subscriber names its topics, where batches go, and how long and how large a
// batch may become:
//
//	POST /subscription
//	{"topics":["restaurants"],"callback":"https://app.example/events","uuid":"…","timeout":500,"max":100}
//
// The wire is written down in PROTOCOL.md.
//
// # Delivery
//
// At least once: each subscriber has a durable group on each of its topics, and
// an event is acknowledged on the bus when the callback answered 2xx. Events of
// one url come in the order of their publication. The bus keeps the queue; the
// gateway holds no more than two batches of each topic.
//
// # Failure
//
// After the first failure a subscriber is left alone for half a second, and
// after each further one in a row for twice as long, up to five minutes. What a
// callback refuses is sent in ever smaller batches, until the one event that it
// stumbles over travels alone; that one becomes a dead letter of the subscriber's
// group after ten refusals, while all others have long been delivered. A
// callback that can't be reached refuses nothing: its events wait as long as
// the bus keeps them. A host that is down is left alone by all subscribers
// behind it.
//
// Subscribing anew, leaving a topic and unsubscribing take effect at once,
// however deep in backoff the subscriber is.
//
// # Notices, not data
//
// Events name a url and carry no payload. Routemaster took small data; here
// Options.Data says whether such a push is refused or stripped, and
// Options.Streams which topics are for value objects that carry some. Notices
// that come in over HTTP aren't numbered, so caches hear them and are never
// vouched for by them; an owner that wants that uses an outbox.
//
// # Trust
//
// Clients choose where callbacks go, so addresses that aren't public are refused
// when the connection is made ([CallbackOptions]). Tokens are kept as hashes,
// credentials of callbacks sealed with Options.Key, and neither is ever shown,
// logged or put into an error. TLS, and the redirect of those who come without,
// are the server's in front.
package gateway
