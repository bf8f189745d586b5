// Package store is the service's half of configuration: it checks what is to be
// written, keeps every version of it, and compiles it for those who read.
//
//	s := store.New(memconfig.New(), &store.Options{Sealer: sealer})
//
//	commit, err := s.Write(ctx, store.Write{
//		Author: "ada", Message: "larger pool",
//		Edits: []store.Edit{{Key: "base/orders", Value: value, Expect: 7}},
//	})
//
// Package server puts it on HTTP. It may as well be used inside a program.
//
// # Before a write lands
//
// All edits of a write are checked, and then made together or not at all: names,
// sizes, the JSON Schemas of their keys, [Options].Validators, and that whoever
// is known to compile one of the keys still can. Preview does everything but
// write, and says for each of those what would change.
//
// A schema is itself a document: that at _schemas/base/orders is for the key
// base/orders and everything below, that at _schemas for all. It has versions
// and can be rolled back like any other. A schema that a document of today
// breaks is refused. Writing a schema and a document at the same moment in two
// places isn't checked against each other.
//
// # Secrets
//
// {"$secret": "hunter2"} in a document is encrypted by [Options].Sealer before
// it is stored, together with its key, so that it can't be moved to another.
// Whatever is read shows {"$redacted": mark}; who writes that back leaves the
// secret as it is. Only Compile with Reveal, and validators, see it.
//
// # Rollouts
//
// A rollout gives a change to a part of the instances first. See [Rollout].
package store
