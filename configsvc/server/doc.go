// Package server is the configuration service on HTTP: HAL documents, ETags,
// problem documents, and a page for people.
//
//	s := store.New(d, &store.Options{Sealer: sealer})
//	h := server.New(s, &server.Options{
//		BaseURL:  "https://config.example",
//		Bus:      b,
//		Identify: whoIsIt,
//		Allow:    server.Grants{{Who: "*", Action: server.Read}, {Who: "ada", Action: server.Write, Prefix: "base"}}.Allow,
//	})
//	http.ListenAndServe(":8500", h)
//
// It is plain HTTP and needs nothing else to run, so that it can be the first
// service of a system; the bus may come and go.
//
// # Resources
//
//	GET    /                          where everything is
//	GET    /keys?prefix=&after=       keys
//	GET    /keys/{key}?version=       a document
//	PUT    /keys/{key}                writes it; If-Match or If-None-Match: * is required
//	PATCH  /keys/{key}                a merge patch (RFC 7396)
//	DELETE /keys/{key}
//	POST   /changes                   several keys at once, or a preview (dryRun)
//	GET    /changes?prefix=&before=   history;  GET /changes/{revision} one commit
//	GET    /diff?key=&from=&to=       what differs between two versions
//	POST   /rollbacks                 a key, or a set, back to a revision or moment
//	GET    /compile?key=&key=         the merged configuration;  POST: many at once
//	GET    /explain?key=&key=         which layer set each value
//	GET    /instances                 who runs what;  PUT /instances/{service}/{id} reports it
//	GET    /rollouts                  changes that go to a part of the instances
//	GET    /schemas/{key}             the JSON Schemas that a key obeys
//	GET    /page/                     the page
//
// # Who may what
//
// [Options].Identify says who sends a request and [Options].Allow what they may,
// by action and key. Without them everybody may read, and nobody may write or
// see a secret. Everything that changes something, shows a secret, or is denied
// goes to [Options].Audit.
//
// # Notices
//
// After each commit a RESN notice for every key is published on [Options].Bus, so
// that clients ask at once. A notice that gets lost costs a client its poll
// interval and nothing else. With a database, an outbox makes notices that can't
// be lost: see [Notices] and [Options].Announced.
package server
