// Package httpbus carries HTTP over the bus: any http.Handler is served on it, and
// any http.Client calls it, without an address, a port or a load balancer between.
//
//	server, err := httpbus.Serve(ctx, b, "restaurants", handler, nil)
//
//	client := &http.Client{Transport: httpbus.NewTransport(b, nil)}
//	resp, err := client.Get("http://restaurants/restaurants/203")
//
// REST stays REST: method, URL, header, trailers, status, and bodies in both
// directions are what they were, only the connection is the bus. A service is a
// name; its instances join and leave, and each request goes to one of them.
//
// # Bodies
//
// A request and a response that fit into one message each travel in one question
// and one answer. Larger bodies, and those of unknown length, are streamed: the
// client pulls the response as it is read and pushes the request as the handler
// reads it. Whoever is slower holds the other up, with no more than a window in
// memory. What a handler flushes arrives at once, so that server-sent events work,
// and both directions may run at the same time.
//
// # Endings
//
// io.EOF means that the other side said so, and that a declared Content-Length was
// met. A server that dies, a handler that panics, or a client that goes away in
// the middle is an error at the other side ([AbortError], which is an
// io.ErrUnexpectedEOF), never a shorter body. A cancelled request cancels the
// handler's context; a deadline travels with the request. Sides that fall silent
// without a word are noticed after TransportOptions.Silence, or twice that at the
// server.
//
// # Errors
//
// RoundTrip's error is bus.ErrNoResponders when nobody serves the service. No
// request is sent twice by this package; questions about a request that is under
// way are repeated when an answer is lost, which the protocol allows for.
//
// # What isn't carried
//
// Fields that belong to one hop (RFC 9110 section 7.6.1) are left out on both
// sides. Informational responses are dropped; Upgrade, CONNECT, hijacking and
// server push are not supported. PROTOCOL.md beside this file is the text of the
// protocol for implementers in other languages.
package httpbus
