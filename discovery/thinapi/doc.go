// Package thinapi is the door of a system: a handler that does for each request
// what the rules say, and forwards it through a transport that finds an
// instance.
//
//	door, err := thinapi.New(transport, &thinapi.Options{
//		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
//		LastGood:       "/var/lib/edge/rules.json",
//	})
//	err = door.Load(data) // rules as JSON; again whenever they change
//	server := &http.Server{Handler: door, ReadHeaderTimeout: 10 * time.Second}
//
// # What it does to a request
//
// It refuses what backends may read in different ways (see Refused), finds the
// client's address behind trusted proxies, gives the request an id, answers
// CORS preflights, and asks the rules. They may throttle it (429), mark the
// answer as deprecated, answer on the spot, send a copy elsewhere, and route
// it. A request that no rule answers is a 404; without rules it is a 503.
// Errors of its own are problem documents (RFC 9457) with the request's id.
//
// # Refused
//
// Paths with dot segments, empty segments, backslashes, control characters or
// escaped slashes; targets that aren't paths; CONNECT and TRACE; bodies of GET
// and HEAD; Connection fields that name anything but keep-alive, close, te and
// upgrade; names of header fields that differ
// only by an underscore (these are dropped, and so is Proxy). Contradictory
// framing is refused by net/http, or resolved by it before this handler sees
// the request; either way backends get one framing, which is the transport's
// own. Upgrades pass only for WebSocket and only if Options say so. Trailers
// aren't forwarded.
//
// # Trust
//
// Only peers in TrustedProxies are believed about who the client is and about
// the rules' proxy inputs. From all others forwarding fields and the header
// fields that rules believe of proxies are removed before anything looks at
// them. Backends get X-Forwarded-For, -Host and -Proto as this handler sees
// them.
//
// # Throttles
//
// A request over a rule's rate is answered 429 with Retry-After. A limiter that
// can't tell, because its store is gone, lets requests pass: Counts has them as
// Untold.
//
// # Deadlines
//
// Each request gets a deadline, that of its route or the handler's; the
// context carries it into the transport. When it passes, the answer is a 504.
//
// # Rules that change
//
// Load checks and lints rules and swaps them in one step; requests under way
// keep those that they began with. Rules that aren't accepted change nothing.
// Accepted ones are kept in the file LastGood with a checksum, and New begins
// with them, so that the door opens though nobody can be asked for rules.
//
// # Shutdown
//
// Stop the server first, then Close, which waits for shadows under way.
package thinapi
