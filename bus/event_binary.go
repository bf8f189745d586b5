package bus

import (
	"errors"
	"fmt"
	"time"

	"github.com/goswale/swale/bus/driver"
)

// binary writes the event in binary mode: attributes beside the data.
func (e *Event) binary(m *driver.Message) error {
	if err := e.Validate(); err != nil {
		return err
	}
	a := make([]driver.Attribute, 0, 8+len(e.Extensions))
	a = append(a,
		driver.Attribute{Name: "specversion", Value: SpecVersion},
		driver.Attribute{Name: "id", Value: e.ID},
		driver.Attribute{Name: "source", Value: e.Source},
		driver.Attribute{Name: "type", Value: e.Type})
	if e.Subject != "" {
		a = append(a, driver.Attribute{Name: "subject", Value: e.Subject})
	}
	if !e.Time.IsZero() {
		a = append(a, driver.Attribute{Name: "time", Value: e.Time.Format(time.RFC3339Nano)})
	}
	if e.DataSchema != "" {
		a = append(a, driver.Attribute{Name: "dataschema", Value: e.DataSchema})
	}
	for name, value := range e.Extensions {
		a = append(a, driver.Attribute{Name: name, Value: value})
	}
	m.Attributes, m.ContentType, m.Body = a, e.DataContentType, e.Data
	return nil
}

// fromBinary reads a binary-mode message. Data is the message's body.
func (e *Event) fromBinary(m *driver.Message) error {
	*e = Event{DataContentType: m.ContentType}
	if len(m.Body) > 0 {
		e.Data = m.Body
	}
	var version, at, media string
	for _, a := range m.Attributes {
		var to *string
		switch a.Name {
		case "specversion":
			to = &version
		case "id":
			to = &e.ID
		case "source":
			to = &e.Source
		case "type":
			to = &e.Type
		case "subject":
			to = &e.Subject
		case "time":
			to = &at
		case "datacontenttype":
			to = &media
		case "dataschema":
			to = &e.DataSchema
		default:
			if old, twice := e.Extensions[a.Name]; twice && old != a.Value {
				return fmt.Errorf("%w: %s stands twice", ErrInvalidEvent, a.Name)
			}
			e.SetExtension(a.Name, a.Value)
			continue
		}
		// The same twice is how some write for readers of two bindings.
		if *to != "" && *to != a.Value {
			return fmt.Errorf("%w: %s stands twice", ErrInvalidEvent, a.Name)
		}
		*to = a.Value
	}
	if media != "" {
		e.DataContentType = media
	}
	if at != "" {
		t, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalidEvent, err)
		}
		e.Time = t
	}
	if version != SpecVersion {
		return fmt.Errorf("%w: specversion is %q, not %q", ErrInvalidEvent, version, SpecVersion)
	}
	return e.Validate()
}

var (
	errBatch      = errors.New("a batch holds several events")
	errEmptyBatch = fmt.Errorf("%w: a batch without events", ErrInvalidEvent)
)

// fromMessage reads a message in whichever mode it is.
func (e *Event) fromMessage(m *driver.Message) error {
	switch {
	case isMedia(m.ContentType, driver.ContentTypeEvent):
		return e.decode(m.Body)
	case isBatch(m):
		return errBatch
	case len(m.Attributes) > 0:
		return e.fromBinary(m)
	}
	return e.decode(m.Body)
}

// isBatch reports whether the message says that it is a batch, or says nothing and
// looks like one.
func isBatch(m *driver.Message) bool {
	if m.ContentType == "" && len(m.Attributes) == 0 {
		return len(m.Body) > 0 && m.Body[0] == '['
	}
	return isMedia(m.ContentType, driver.ContentTypeBatch)
}

// carriesEvent reports whether the event's data is itself an event, as a dead
// letter's is. In binary mode nobody could tell it from that event in
// structured mode: both have its media type.
func carriesEvent(e *Event) bool {
	return isMedia(e.DataContentType, driver.ContentTypeEvent) || isMedia(e.DataContentType, driver.ContentTypeBatch)
}

// isMedia compares a media type without its parameters.
func isMedia(contentType, media string) bool {
	return contentType == media ||
		len(contentType) > len(media) && contentType[:len(media)] == media && (contentType[len(media)] == ';' || contentType[len(media)] == ' ')
}

// ToBinary returns the event in binary mode: context attributes under their own
// names, which a protocol binding writes as headers, and Data as the body. It is
// for bridges to other transports.
func ToBinary(e Event) (driver.Message, error) {
	var m driver.Message
	err := e.binary(&m)
	m.ID, m.Source, m.Key = e.ID, e.Source, e.Key()
	return m, err
}

// FromMessage reads an event in structured or binary mode, whichever the message
// is in. The event is made of parts of m.Body, which must not be changed from then
// on.
func FromMessage(m driver.Message) (Event, error) {
	var e Event
	err := e.fromMessage(&m)
	return e, err
}
