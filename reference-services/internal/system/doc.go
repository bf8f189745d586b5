// Package system puts the reference services together in one process: an
// embedded bus, the domain service and the edge service, each with a server
// and a port of its own, and talking to each other as they would from three
// machines.
//
//	s, err := system.Start(ctx, system.Options{Data: "swale-data", Listen: "127.0.0.1:8080"})
//	…
//	err = s.Shutdown(ctx)
//
// # Order
//
// Start locks the data directory and opens the ports first, because those can
// be refused; then it starts the bus, the domain service with its relay, and
// the edge service. Shutdown goes the other way, so that whoever is still
// answering requests can still ask those that it depends on.
package system
