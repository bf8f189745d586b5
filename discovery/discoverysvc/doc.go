// Package discoverysvc serves discovery and bindings over HTTP, for processes
// that can't or shouldn't reach the store themselves, for people, and for
// programs in other languages.
//
//	server, err := discoverysvc.New(driver, &discoverysvc.Options{
//		Base:      "https://kernel.example/discovery",
//		Authorise: authorise, // who may register what
//		Bindings:  store,
//		Bus:       b, // all replicas; one announces
//	})
//	mux.Handle("/discovery/", http.StripPrefix("/discovery", server))
//
// and on the other side
//
//	registry := discovery.New(discoverysvc.Dial("https://kernel.example/discovery", nil), nil)
//	table := binding.NewTable(discoverysvc.DialBindings("https://kernel.example/discovery", nil), nil)
//
// # Resources
//
// HAL documents with strong ETags; errors are problem documents.
//
//	GET  /                                   where to begin
//	GET  /status                             whether what is shown is current
//	GET  /services                           all services
//	GET  /services/{service}                 its versions, its instances as links, or embedded with ?embed=item
//	GET  /services/{service}/instances/{id}
//	GET  /bindings
//	GET, PUT, DELETE  /bindings/{service}    conditional: If-Match: "r7", or If-None-Match: * for a first one
//	POST /bindings/{service}                 brings back a revision, {"to": 3}; conditional; a form of the document
//	GET  /bindings/{service}/history
//
// # Records
//
// What instances and watchers use, and the client speaks:
//
//	GET    /records?service=orders           the living records
//	GET    /records/events?service=orders    server-sent events: reset, put, delete, current
//	PUT    /records/{kind}/{service}/{id}    with the owner's name and the lease
//	POST   /records/{kind}/{service}/{id}/renewals
//	DELETE /records/{kind}/{service}/{id}
//	GET    /bindings/events                  server-sent events: revisions
//
// A lease belongs to whoever knows its owner's name (the Lease-Owner field),
// not to the server that took the call: it may be renewed through another
// server, and a server that dies unlists nobody.
//
// # Notices
//
// Documents name the topics "services" and "bindings"; a server with a Bus
// announces what changes there, so that a cache kept by package resn holds
// them until told. What is shown and what is announced change in one step. One
// replica has the Bus; the others' answers may be older than a notice, by as
// much as Options.Lag says.
//
// # Access
//
// There is no default: Authorise is asked about everything, and [AllowAll] is
// for a developer's machine. Registrations may be signed besides
// (discovery.Options.Sign and Verify), in which case not even the server can
// make one up.
//
// # Shutdown
//
// Close the server before the http.Server's Shutdown, or that waits for its
// streams; then the driver, the store and the bus.
package discoverysvc
