// Package service is the chassis: what every service does besides its work.
//
//	func main() {
//		service.Main(service.Options{Name: "restaurants", Setup: setup})
//	}
//
//	func setup(ctx context.Context, s *service.Service) error {
//		b, err := natsbus.Open(ctx, os.Getenv("NATS_URL"), nil)
//		if err != nil {
//			return err
//		}
//		s.Defer("bus", b.Shutdown) // opened first, closed last
//		s.Go("relay", relay.Run)   // if it ends by itself, so does the service
//		s.Check("database", db.PingContext)
//		s.Handle(handler)
//		return s.Register(registry, nil)
//	}
//
// # Start
//
// The environment is read ([Environment]), both ports are opened, and the admin
// port answers: alive, not ready. Then Setup opens what the service needs. After
// it the checks run; when all of them pass, the public port is served and the
// instance enters the registry. An error in any of this stops what was started,
// in reverse, and is returned with the name of the part.
//
// # Run
//
// Checks run in the background, every few seconds, each within a time limit;
// what the admin port and the registry say is the outcome of the latest round,
// so nobody can load a database by asking whether it is well. A part given to
// [Service.Go] that ends, with an error or without, ends the service: a relay
// that died silently is worse than a restart.
//
// # Drain
//
// When the context ends or somebody calls [Service.Stop]:
//
//  1. readiness fails, and the instance leaves the registry;
//  2. for Drain.Delay it serves on, for callers that haven't heard yet, and asks
//     them on each response to connect elsewhere;
//  3. it accepts nothing more and finishes what it was asked for, Drain.Timeout
//     at the most; streams end now ([Stream]), others hear of it by [Draining];
//  4. the parts end, the last one first, so the bus goes when the last handler
//     that might publish has returned;
//  5. the admin port closes.
//
// What didn't end in time is cut off and named in the error.
//
// # Several in one process
//
// [Start] returns when a service is ready, [Service.Stop] and [Service.Wait] end
// it. A program that stops them in the reverse order of their start lets each
// finish while those that it asks still answer. The environment is that of one
// service; the program gives each its own [Environment], and ports that it has
// opened itself by Options.Listener.
//
// # Requests
//
// Around the handler, from the outside: panics become problem documents (RFC 9457)
// and log lines; each request has an id; what it was and how it went is logged
// and given to Options.Observe (package otelservice makes traces and metrics of
// it); its deadline is the caller's if that is sooner
// than ours ([Deadline]); bodies are bounded; and each caller has a bounded number
// of requests at once ([LimitCallers]). [Idempotent] is for handlers that want it.
package service
