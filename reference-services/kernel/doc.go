// Package kernel is the services that the others stand on: discovery and
// bindings, configuration, and login. They are modules of Swale and nothing
// else, put together in one process as they would be in several.
//
//	k, err := kernel.New(ctx, b, &kernel.Options{BaseURL: "http://127.0.0.1:8083", Dir: dir, Registry: driver})
//	…
//	go k.Run(ctx)
//	http.Serve(l, k.Handler())
//
// What they own is in SQLite files. A change of configuration or of an account
// and its notice are one transaction; those of instances and bindings are
// published by discovery, whose watchers don't need them.
//
// Kernels of one directory relay together and own the topics together. One of
// another directory on the same bus is refused: its watermarks would vouch for
// changes that it knows nothing of.
//
// # Access
//
// This is a developer's machine: whoever comes from it is its developer and may
// do everything but see what nobody may see. Who comes from elsewhere may read.
// Pages of other sites can't use the developer's browser to write, nor can a
// name that was pointed at this machine.
package kernel
