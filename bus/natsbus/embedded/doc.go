// Package embedded runs a NATS server with JetStream inside the process, for
// development, tests and programs of one machine.
//
//	server, err := embedded.Start(ctx, &embedded.Options{Dir: "data/nats"})
//	if err != nil {
//		return err
//	}
//	defer server.Shutdown()
//	b, err := natsbus.Open(ctx, server.URL(), &natsbus.Options{Conn: server.InProcess()})
//
// It is a package of its own so that nobody who only connects links the server.
// By default it listens on a free port of the loopback interface. With NoListen
// nothing listens, and only connections from inside the process exist.
package embedded
