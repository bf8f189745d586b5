// Package etcddiscovery keeps the registry of package discovery in etcd.
//
//	r, err := etcddiscovery.Open(ctx, []string{"http://localhost:2379"}, nil)
//	if err != nil {
//		return err
//	}
//	defer r.Shutdown(context.Background())
//
// # Leases
//
// A lease is one of etcd's, which is renewed without a write, so that those who
// watch hear of changes only. Its number is kept with the record, and so anybody
// who speaks for the owner may renew it: it doesn't belong to the connection that
// made it. etcd counts in seconds and keeps none shorter than two by default.
//
// # Who may register
//
// The key of a record is <prefix>/<service>/instances/<id>, so a role in etcd can
// be confined to one service's records.
package etcddiscovery
