// Package membus is a bus inside the process: for tests, examples, and programs
// of one process that lose nothing they can't make again.
//
//	b := membus.New(nil)
//
// It passes the same conformance suite as every other driver, and is the model
// that they are measured by. What is published is as durable as the process.
//
// # Several connections
//
// Members of one [Broker] are to each other like processes at one server:
//
//	broker := membus.NewBroker()
//	here, there := broker.Connect(nil), broker.Connect(nil)
//
// # Faults
//
// A test that wants to see bad days gives a connection [Faults]: messages dropped,
// repeated or delayed, confirmations lost, the connection cut and healed, or dead
// without anybody noticing.
package membus
