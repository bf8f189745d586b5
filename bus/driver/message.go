package driver

// Content types that the core knows. Anything else in Message.ContentType is
// the media type of a binary-mode event's data.
const (
	// ContentTypeEvent marks a Body that is one CloudEvent in JSON format.
	ContentTypeEvent = "application/cloudevents+json"
	// ContentTypeBatch marks a Body that is a JSON array of CloudEvents.
	ContentTypeBatch = "application/cloudevents-batch+json"
)

// MaxBatchBytes is up to which size a batch is taken even by a bus whose events
// are bounded to less. A driver that puts several structured events into one
// message (as a JSON array, with ContentTypeBatch or none) stays below it.
const MaxBatchBytes = 64 << 10

// Message is one event on its way, in the form in which it travels.
//
// In structured mode Body is the whole event and Attributes is empty. In binary
// mode Body is the event's data, ContentType its media type, and Attributes the
// context attributes; the driver writes and reads them under the names of its
// protocol binding ("ce-id" on NATS, "cloudEvents_id" on AMQP 0-9-1).
type Message struct {
	// ID and Source are the event's, set on messages to be published. Together, and
	// for one topic, they name an event; a driver may use them so that the broker
	// drops repeats, and needn't.
	ID, Source string
	// Key is what order is kept for, set on messages to be published. It may be
	// empty and may hold any text.
	Key string
	// ContentType is the media type of Body. Empty on a received message means
	// that the sender didn't say; the core then looks at Attributes and Body.
	ContentType string
	// Attributes are the context attributes of a binary-mode event, without prefix.
	Attributes []Attribute
	// Body is the payload.
	Body []byte
}

// Attribute is one context attribute in the canonical string form of
// CloudEvents 1.0 section 3.1.
type Attribute struct {
	Name, Value string
}

// Size returns what the message weighs towards a broker's payload limit.
func (m *Message) Size() int {
	n := len(m.Body)
	for _, a := range m.Attributes {
		n += len(a.Name) + len(a.Value)
	}
	return n
}
