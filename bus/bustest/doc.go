// Package bustest proves that a driver keeps the bus's promises. Drivers in this
// repository run it, and so does anybody who writes another one:
//
//	func TestConformance(t *testing.T) {
//		server := startServer(t)
//		bustest.Run(t, func(t *testing.T, opts bus.Options) *bus.Bus {
//			b, err := mybus.Open(t.Context(), server.URL, &mybus.Options{Bus: opts})
//			if err != nil {
//				t.Fatal(err)
//			}
//			return b
//		}, bustest.Features{Requests: true})
//	}
//
// Run it a second time with opts.Binary set, for the events that travel as headers.
// [Features] says what the broker can; checks of what it can't are skipped aloud.
//
// Each call of open makes another connection to the same broker, as another
// process would. The suite uses topics of its own, whose names it never uses
// again, and shuts the buses down. A check that fails says which rule it is that
// the driver breaks. It imports nothing but the standard library and the bus.
package bustest
