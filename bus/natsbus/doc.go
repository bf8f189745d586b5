// Package natsbus connects package bus to NATS: JetStream for events and streams,
// core NATS for request and reply.
//
//	b, err := natsbus.Open(ctx, "nats://localhost:4222", nil)
//	if err != nil {
//		return err
//	}
//	defer b.Shutdown(context.Background())
//
// It wants a server with JetStream, best of version 2.11 or newer: older ones can't
// keep a group to one member, so that order per key holds only inside each
// process there, and Bus.Driver says so. Package embedded runs one inside the
// process.
//
// # Layout
//
// All event topics share one JetStream stream ("swale-events", or several by
// Options.Shards), so that ten thousand topics cost ten thousand subjects and not
// ten thousand streams. A topic is the subject "swale.e.0.<topic>". A bus.Stream
// has a JetStream stream of its own, a subject for each key, because its bounds
// are its own. "swale" is Options.Prefix.
//
// # Publish
//
// Asynchronous inside, in order, confirmed by JetStream. With file storage, the
// default, "safe" is written to the leader's file (and a majority of replicas),
// but fsynced only where the server's sync_interval is "always".
//
// # Groups
//
// A durable pull consumer for each group. One member works and the others stand
// by (JetStream's pinned client), so that order per key holds across processes;
// a member that dies is replaced after Options.PinTTL and what it held comes
// first. GroupOptions.Shared has all members work, with order only inside each.
//
// # Broadcast
//
// A push consumer without acks, watched by its sequence numbers and heartbeats.
// After a disconnect, a restart, or a consumer that is gone, it is made anew
// behind the last event that was seen, so that nothing is missed unless the stream
// itself has dropped it; then the state says so.
//
// # Without JetStream
//
// Options.Core sends events by core NATS: faster, kept nowhere, at most once, and
// no groups. They are numbered, so that a broadcast that misses some says that it
// has a hole before the next event of that publisher.
package natsbus
