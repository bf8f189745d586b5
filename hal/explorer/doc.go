// Package explorer serves a page on which a person browses a HAL API: follows
// links, expands templates, fills in HAL-FORMS, edits resources, and sees what
// HTTP says about each: status, headers, ETag, Cache-Status, problem documents.
//
//	mux.Handle("/explorer/", explorer.New(&explorer.Options{
//		Start:   "http://127.0.0.1:8080/",
//		Origins: []string{"http://127.0.0.1:8081"},
//	}))
//
// # How it reaches the API
//
// An API of the page's own origin is called by the browser. Other origins are
// called by the handler, so that the page needs no CORS and sees every header;
// with Options.Transport a cache.Transport, it sees its Cache-Status too. The
// handler calls only the origins that the options name, follows no redirects,
// passes on neither cookies nor the browser's own headers, and refuses to be
// called by other sites' pages.
//
// # Security
//
// The page works under the strict Content-Security-Policy that the handler
// sends: scripts, styles and connections of its own origin, nothing else. It
// never makes markup of what an API says. Whoever can open the page can call
// the named origins from where the handler runs, so mount it where that is
// wanted: on a developer's machine, on an admin port, behind a login.
//
// # Accessibility
//
// Everything works by keyboard; what is loaded is announced and focused; the
// page follows the system's colours, contrast and motion.
package explorer
