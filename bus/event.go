package bus

import (
	"maps"
	"time"
)

// SpecVersion is the version of CloudEvents that Event speaks.
const SpecVersion = "1.0"

// Event is a CloudEvent, version 1.0. The zero Event isn't valid: ID, Source and
// Type are required by the specification; Publish fills in a missing ID, a
// missing Time, and a missing Source from [Options].
//
// An Event is a value. Copies share Extensions and Data; [Event.Clone] doesn't.
type Event struct {
	// ID is unique among the events of one Source.
	ID string
	// Source is a URI-reference that names where the event happened.
	Source string
	// Type says what kind of thing happened, such as "resn.update".
	Type string
	// Subject is what in Source the event is about. It is also the key whose
	// order a group keeps, unless the extension "partitionkey" is there.
	Subject string
	// Time is when it happened. The zero time is left out.
	Time time.Time
	// DataContentType is the media type of Data; empty means JSON when Data is JSON.
	DataContentType string
	// DataSchema is an absolute URI of the schema of Data.
	DataSchema string
	// Extensions holds the extension attributes in the canonical string form of
	// CloudEvents 1.0 section 3.1: "true", "42", RFC 3339 times. Names are made of
	// a-z and 0-9.
	Extensions map[string]string
	// Data is the payload; nil is none.
	Data []byte
}

// PartitionKey is the name of the extension that overrides Subject as the key of
// order.
const PartitionKey = "partitionkey"

// Key returns what order is kept for: the extension "partitionkey", or else
// Subject. Events with an empty key have no order among each other.
func (e *Event) Key() string {
	if k, ok := e.Extensions[PartitionKey]; ok {
		return k
	}
	return e.Subject
}

// Extension returns the extension attribute of that name, or "".
func (e *Event) Extension(name string) string { return e.Extensions[name] }

// SetExtension sets an extension attribute, making the map where needed. It
// changes the map that copies of the event share.
func (e *Event) SetExtension(name, value string) {
	if e.Extensions == nil {
		e.Extensions = make(map[string]string, 4)
	}
	e.Extensions[name] = value
}

// Clone returns a copy that shares nothing with e.
func (e *Event) Clone() Event {
	c := *e
	c.Extensions = maps.Clone(e.Extensions)
	if e.Data != nil {
		c.Data = append([]byte{}, e.Data...)
	}
	return c
}
