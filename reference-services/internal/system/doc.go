// Package system puts the reference services together in one process: an
// embedded bus and, each on package service's chassis, with ports and a connection
// to the bus of its own, the kernel, the domain services, the edge service and the
// door. They talk to each other as they would from as many machines.
//
//	s, err := system.Start(ctx, system.Options{Data: "swale-data", Listen: "127.0.0.1:8080"})
//	…
//	<-s.Ended() // one of them has, or call Stop when it is time
//	err = s.Stop()
//
// # Order
//
// Start locks the data directory and opens the ports first, because those can
// be refused; then it starts the bus, and the services in the order above. Stop
// goes the other way, so that whoever is still answering requests can still ask
// those that it depends on. What each does when it starts and ends is package
// service's; chassis.go says what these have in common.
package system
