// Package door is the thin API of the reference system: the one address that
// clients know. Its rules are configuration, so that changing where a request
// goes is a write with an author, a history and a way back, and nothing is
// restarted.
//
//	d, err := door.New(ctx, transport, client, nil)
//	…
//	defer d.Close(ctx)
//	http.Serve(l, d)
//
// # Rules that change
//
// They are the document [Key] of the configuration service. The service may have
// it checked by [Check] before it is written. Whatever comes is checked again
// here: rules that aren't valid, or that lint has something to say about, are
// rejected and reported to the service, where they are visible, and those before
// stay. The client keeps the last good ones on disk, and the door opens with them
// though the service can't be reached. While nothing was written, [Default]
// holds.
package door
