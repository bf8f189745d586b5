// Package auth says who is asking and what they may do: it verifies access
// tokens where they arrive, drops them when they are revoked, and attaches them
// to requests on their way out. Package login beside it is the service that
// issues them.
//
// A service verifies with the issuer's metadata alone (RFC 8414). It asks
// nobody about a token: signatures are checked here, once for each token, and
// that a session was ended or a role taken away is heard over the bus.
//
//	verifier, err := auth.NewVerifier(b, "https://login.example", "https://orders.example", nil)
//	…
//	mux := verifier.Mux()
//	mux.Handle("GET /orders/{id}", auth.Scope("orders:read"), orders)
//	mux.Handle("GET /health", auth.Public, health)
//
// Every route of a [Mux] names its policy; there is no other way in. A handler
// finds who is asking by [FromContext]. A handler of your own is wrapped by
// [Verifier.Middleware] and [Verifier.Require].
//
// # Revocation
//
// Tokens live for minutes. Before they end, the issuer announces on the topic
// "sessions" that a session or an account has changed (package resn: that, never
// what). Every verifier that hears it refuses the tokens that were issued before,
// at once; whoever holds one asks for a new one, and gets it with the new roles,
// or doesn't.
//
// A request is judged when it begins. A handler that streams for longer is told
// by [VerifierOptions.OnRevoked] whose streams to end.
//
// While a verifier can't be sure to hear of it, because the bus is away or
// notices were missed, it goes on accepting what it can verify: a token then
// lives for its lifetime at the most. Scopes that are too dangerous for that are
// named in [VerifierOptions.Strict]: routes that require them answer 503 until
// the topic is live again, and refuse tokens from before the gap.
// [Verifier.State] shows the mode and the bound on staleness.
//
// # Tokens on the way out
//
// [NewTransport] attaches tokens to requests to the origins that they are for,
// and to no others. Under a cache it carries the identity of the service:
//
//	cache → breaker → retry → token → discovery → network
//
// A token that belongs to whoever is being served stands outside of the cache,
// which then keeps identities apart; see [Partition].
//
// # Errors
//
// Refusals are problem documents (RFC 9457) with a WWW-Authenticate field (RFC
// 6750 section 3) that says what is missing and nothing else. What was wrong
// with a token goes to the log, never the token itself.
//
// # Concurrency
//
// Everything here is safe for concurrent use.
package auth
