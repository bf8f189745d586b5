// Package cloudevents converts between bus.Event and the event type of the
// CloudEvents SDK for Go, for programs that have that SDK already. The bus itself
// doesn't need it: it reads and writes CloudEvents by its own code, and the tests
// of this module prove that the two understand each other in structured, binary
// and batch mode.
//
//	e, err := cloudevents.FromSDK(sdkEvent)
//	sdkEvent, err := cloudevents.ToSDK(e)
//
// # What changes on the way
//
// A bus.Event holds extensions in their canonical string form, so that an integer
// extension of the SDK comes back as a string of digits. In structured mode the
// SDK refuses JSON under media types such as application/hal+json, which the bus
// writes as the format says.
package cloudevents
