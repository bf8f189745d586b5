// Package dashboard is the page of live operations, /live/: the issues that aren't
// resolved, on a plot and in a list, where riders are, and what can be done.
//
//	page, err := dashboard.Open(ctx, b, client, &dashboard.Options{Root: "http://localhost:8087/"})
//	…
//	mux.Handle("/live/", page)
//	defer page.Shutdown(ctx)
//
// It is an edge service: it owns nothing. The page reads issues at the service that
// owns them, which must be on the page's own origin, and is told by WebSocket that
// one changed: never what it became. It asks again for that one, marks it as
// possibly outdated until the answer is there, and takes no answer that was asked
// for before the last notice. When the socket breaks it says so, asks for everything
// every ten seconds, and goes on where it was when the socket is back.
//
// Where riders are is no resource and never noticed: positions come from their
// stream, by [Page.Saw], and the page asks for all of them every two seconds.
//
// # What can be done
//
// An issue links to what the order's owner says can be done with the order. A
// browser can't send that to another origin, so [Page] does it for the page: it
// looks the link up at the issue, and sends it with the version of the order that
// its cache has, so that nobody decides about an order that is another by now.
//
// # Files
//
//   - page.go: the handler; remedy.go does what can be done; fleet.go has positions
//   - page.html, page.css and page.js are the page
package dashboard
