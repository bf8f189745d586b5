// Package cache is a private HTTP cache (RFC 9111) that is an
// [http.RoundTripper], and that stays coherent when the owner of the data says
// "this changed".
//
//	client := &http.Client{Transport: cache.New(nil, nil)}
//	resp, err := client.Get("https://api.example/restaurants/203")
//	fmt.Println(resp.Header.Get("Cache-Status")) // Swale; fwd=uri-miss; fwd-status=200; stored
//
// It needs nothing else: without notices it does what HTTP says. All methods
// are safe for concurrent use.
//
// # What is reused
//
// A stored response is reused without asking while somebody vouches for it.
// HTTP knows one voucher, the clock: max-age, Expires, or a heuristic. This
// cache knows a second: a [Scope], which a response joins by an extension of
// Cache-Control that other caches ignore:
//
//	Cache-Control: max-age=5, resn="restaurants"
//
// Whoever listens to the change notices of "restaurants" calls [Scope.Vouch]
// as long as he hears everything, and [Transport.Apply] for each notice. So
// the response is kept until it is told to have changed, not for five
// seconds. When he hears nothing any more he calls [Scope.Suspend], or
// [Scope.Reset] if he may have missed something; then the five seconds count
// again, and a 304 restores what was vouched for. Package resn does all of
// that over a message bus. A document that embeds others names the scopes of
// all of them, as in resn="orders restaurants", and is vouched for if each of
// them vouches.
//
// must-revalidate is satisfied by a voucher: he would have told of a change.
// no-cache isn't: it asks for the origin's word each time. A caller's own
// directives (no-cache, max-age, min-fresh, max-stale, only-if-cached) are
// always obeyed; only a max-age doesn't end what is immutable (RFC 8246).
//
// # What a notice does
//
// It ends every stored response of its resource: all variants (Vary), all
// partitions, all queries, negative responses too, and the members of its
// groups (Cache-Groups, RFC 9875). What ended is kept for its ETag and never
// served stale. A question that is under way when the notice arrives is
// answered to those who asked before, but what it brings isn't kept as fresh,
// and nobody who comes later joins it. The next question asks through
// intermediaries (no-cache). If the notice names an ETag, an answer that
// doesn't have it is used but not vouched for: it comes from a replica that
// hasn't seen the change. An owner whose reads lag without that says so, as in
// resn-lag=2.
//
// A successful write through the same Transport invalidates what RFC 9111
// section 4.4 says before it returns; so does one that ended in a transport
// error or a gateway's, because nobody knows what it did. What is asked for
// after a write is given to others only if it has the ETag that the write's
// answer named, or once the owner must have announced the write: a replica may
// not have seen it. See [Scope.Heard].
//
// # Identities
//
// The Authorization field separates entries. So the transport that attaches a
// token belongs outside of the cache:
//
//	retry → token → cache → discovery → TCP
//
// If it must be inside, or if all requests speak for one identity although
// their tokens differ, see [Options.ShareAuthorized] and [Options.Partition].
// Cookies separate only if the response says Vary: Cookie.
//
// Request targets that are spelled in different ways ("/a/../b", "/%62" and "/b")
// have entries of their own: that is how they are sent, and the origin may tell
// them apart. Notices and writes reach all of them, whichever they name.
//
// # Bodies
//
// A body streams to its reader as it comes and is taken in beside that. It is
// kept if all its bytes came, also if the reader stopped before, as a
// [encoding/json.Decoder] does. A body that was cut short is never kept, and
// its reader sees the error.
//
// A body from the store implements
//
//	DecodeOnce(typ any, decode func(body []byte) (any, error)) (any, error)
//
// which decodes once for each stored version and shares the value, and
// [Transport.LoadTyped] returns that value without making a response.
//
// # Errors
//
// RoundTrip returns errors of the transport inside as they are, and the cause
// of the request's context if that ended. Nothing else fails: a second level
// that doesn't answer or holds something else is a miss.
//
// # Goroutines
//
// Nothing runs when nothing is under way. A question runs in a goroutine that
// ends with its body; a background refresh ends after 30 seconds at the
// latest, a body that nobody reads any more after 10. [Transport.Close] ends
// both and waits.
package cache
