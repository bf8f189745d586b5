// Package memdiscovery is a registry inside the process: for tests, examples,
// and programs of one process.
//
//	r := memdiscovery.New(nil)
//
// It passes the same conformance suite as every other driver, and is the model
// that they are measured by.
//
// # Several processes
//
// Registries of one [Store] are to each other like processes at one server:
//
//	store := memdiscovery.NewStore()
//	here, there := store.Connect(nil), store.Connect(nil)
//
// # Faults
//
// A test that wants to see bad days takes the store down with [Store.SetDown],
// makes it forget everything with [Store.Wipe], or breaks its watches with
// [Store.BreakWatches].
package memdiscovery
