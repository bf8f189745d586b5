// Package configsvc is layered configuration that can't take a service down:
// JSON documents that are merged from the weakest layer to the strongest, kept
// with their whole history by a service, and watched by its clients as a typed
// value that is always there and always good.
//
//	type Config struct {
//		Pool    int                `json:"pool" default:"10" check:"min=1,max=100"`
//		Timeout configsvc.Duration `json:"timeout" default:"1s"`
//	}
//
//	client, err := configsvc.NewClient("https://config.example", &configsvc.ClientOptions{
//		Bus: b, Dir: "/var/lib/orders", Service: "orders",
//	})
//	…
//	defer client.Close(ctx)
//	w, err := configsvc.Watch[Config](ctx, client, configsvc.Layers("orders", "eu-west-1", "live")...)
//	…
//	pool := w.Get().Pool // each time; it takes a nanosecond
//
// # Layers
//
// [Compile] merges documents as merge patches do (RFC 7396): objects merge, null
// deletes, anything else replaces. Two layers that say values of different kinds
// are an error that names both and the path. [Compiled.Explain] says which layer
// and version set each value, and [Diff] what differs between two. A [Value]
// keeps every digit of a number.
//
// # Watching
//
// A watcher asks when a notice comes, when notices may have been missed, and
// every ClientOptions.Poll in any case, conditionally. Each version becomes a
// new T, which never changes afterwards: readers need no lock and see one
// version, whole. A version that doesn't decode, that breaks the rules of T's
// tags, or that T's Validate refuses, is rejected: the last good one stays, and
// the service shows who rejects what and why.
//
// What fits may still not work: [WatchOptions].Try is asked whether it does.
// [Follow] does so for what is made anew of each configuration.
//
// # Starting without the service
//
// With ClientOptions.Dir the last good version is kept on disk, readable by its
// owner alone, with a checksum. A client that can't reach the service starts from
// it, and catches up when it can.
//
// # The service
//
// Package store checks and keeps what is written, package server puts it on
// HTTP with a page for people, package configcmd is the command. Drivers keep
// the log: memconfig here, and the modules sqlconfig and natsconfig.
//
// # Errors
//
// [ErrKey], [ErrSyntax], [ErrConflict], [ErrSecret], [ErrCopy], [ErrTag],
// [ErrEnvironment], [ErrNotYet], [ErrClosed]. What the service refuses is a *hal.Problem.
//
// # Shutdown
//
// Close the client before the bus. Values that were read stay valid.
package configsvc
