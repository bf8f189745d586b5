// Package natsconfig keeps configuration in a JetStream key-value bucket.
//
//	nc, err := nats.Connect(url)
//	…
//	d, err := natsconfig.Open(ctx, nc, nil)
//	…
//	defer d.Close()
//	s := store.New(d, nil)
//
// # How
//
// The bucket is the log: each commit is one entry, whose key is the commit's
// number, and which is only ever created. So a commit of several keys is there
// as a whole or not at all, two processes can't make the same one, and nothing
// is overwritten. A process keeps the whole log in memory and follows the bucket;
// a read first asks the server how far the bucket is, so that it sees every
// commit that has returned anywhere.
//
// The log is as large as what was ever written, in every process: megabytes are
// fine, gigabytes are for a database. How durable a commit is, is the server's
// affair: replicas by [Options].Replicas, fsync by its sync_interval.
package natsconfig
