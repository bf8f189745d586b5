// Package natsdiscovery keeps the registry of package discovery in a key-value
// bucket of NATS JetStream.
//
//	r, err := natsdiscovery.Open(ctx, "nats://localhost:4222", nil)
//	if err != nil {
//		return err
//	}
//	defer r.Shutdown(context.Background())
//
// # Leases
//
// A lease is the time to live of the record's last message; a renewal writes it
// again. With servers from 2.11 on the server ends it and tells whoever watches.
// Older ones can't: there each reader ends it by its own clock, corrected by the
// difference to the server's that it measured when it connected.
//
// # Who may register
//
// The subject of a record is $KV.<bucket>.instances.<service>.<id>, so a user's
// publish permissions at the server can be confined to one service's records. The
// server sees no difference between writing and deleting. Who may read the bucket
// may read every owner's name and so, if it may also write, act for it.
package natsdiscovery
