// Package discovery lets services find each other: a registry of running
// instances under leases, and an http.RoundTripper that sends each request to a
// fit one. The store is a driver's affair: package memdiscovery is the one inside
// the process, the modules natsdiscovery and etcddiscovery speak to servers.
//
//	r := memdiscovery.New(nil)
//	defer r.Shutdown(ctx)
//
//	reg, err := r.Register(ctx, discovery.Instance{
//		Service: "restaurants", Version: "1.4.0", Zone: "eu-west-1a",
//		Endpoints: []discovery.Endpoint{{Scheme: "http", Address: "10.0.0.7:8080"}},
//	}, nil)
//
// # Registration
//
// [Registry.Register] keeps an instance registered until
// [Registration.Deregister]: it renews the lease, registers anew when the lease
// was lost, tries again with backoff when the store can't be reached, and calls
// RegisterOptions.OnGiveUp after two minutes without success. The lease belongs to
// the instance, not to a connection or a registry server.
//
// # Views
//
// [Registry.Watch] hands on a [View] after each change. A view outlives its
// store: when the watch is lost the last known instances stay, View.Live is false
// and View.Staleness grows, and the watch is tried again with backoff. Instances
// that a store has forgotten while it was away stay for Options.Grace.
//
// # Heartbeats
//
// A lease says that a process renews it, not that it answers. A [Checker] asks
// every instance; one that doesn't answer is shown as failing, then removed, and
// stays hidden until it does. Run one beside the registry:
//
//	err := discovery.NewChecker(r, nil).Run(ctx)
//
// # Calling
//
// A [Resolver] picks instances, and a [Transport] sends requests to them:
//
//	resolver := discovery.NewResolver(r, &discovery.ResolverOptions{Zone: "eu-west-1a"})
//	client := &http.Client{Transport: discovery.NewTransport(nil, resolver, nil)}
//	resp, err := client.Get("http://restaurants/restaurants/203")
//
// A pick reads one atomic pointer and allocates nothing. Of the instances that are
// fit (registered, serving, breaker closed, no outlier) those of the caller's zone
// come first, and of two drawn at random the one with less under way and less
// latency is taken. A zone that has lost instances keeps 1.4 times what it has left
// and spills the rest to its region; one that is overloaded spills what others
// would finish in half the time. New instances start slowly. When nobody is fit
// the least unfit are tried: a resolver never makes an outage of its own.
//
// What couldn't be sent goes to another instance, whatever it is. What may have
// been sent is repeated if it is idempotent and its body replayable, within a
// budget. Small response bodies of known length are read before the response is
// handed on, so that the death of an instance in the middle of one isn't seen.
//
// # Versions
//
// TransportOptions.Splitter divides the requests for a service between its
// versions: see [Split]. The version is chosen before the instance, so the
// proportions don't depend on how many instances each version has.
//
// # Errors
//
// [ErrNoInstances] when there is nobody to send to, [*AttemptError] when sending
// failed, [ErrUnknownService] when a strict transport is asked for something else,
// [ErrInvalidInstance], [ErrProof], [ErrClosed], and the driver's [driver.ErrTaken]
// and [driver.ErrDenied]. The store's own error stays reachable by errors.As.
//
// # Shutdown
//
// First the resolver, then the registry; each returns after its last goroutine.
//
// # Who may register
//
// A store's own access control is the first line; each driver says what it can
// do ([driver.Info].Authorises). Where many may write to one store, let instances
// sign: with Options.Sign and Options.Verify ([SignEd25519], [VerifyEd25519]) a
// record that isn't authorised for its service is ignored by everybody who reads
// it.
package discovery
