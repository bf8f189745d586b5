// Package console is a page that shows a running system: which instances there
// are, which version gets which requests, how stale the answers of each cache
// may be at this moment, what caches save their owners, and what just changed.
//
//	page := console.New(registry, b, nil)
//	go page.Run(ctx)
//	http.ListenAndServe(addr, page)
//
// It is an edge service: it owns nothing and keeps the last two minutes. It
// knows the instances from the registry, asks each once a second at the admin
// port that the instance named there (attribute "admin"), and hears notices as
// everybody does.
//
// # Whom it trusts
//
// Anybody who may register could name any URL as an admin port. Only one on the
// same host as the instance's own endpoints is asked, by GET, without following
// redirects; answers are bounded in size and time, and shown as text. The page
// itself changes nothing, but shows the insides of the system: serve it where
// operators are.
//
// # Files
//
//   - console.go: the handler and what runs beside it
//   - probe.go asks an admin port, history.go keeps what it said
//   - feed.go hears notices
//   - view.go, page.html, page.css and page.js are the page
package console
