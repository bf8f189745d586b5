package cloudevents

import (
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/goswale/swale/bus"
)

// ToSDK returns the event as the SDK's, version 1.0. It shares nothing with e. An
// event that breaks a rule of CloudEvents is an error that is bus.ErrInvalidEvent.
func ToSDK(e bus.Event) (event.Event, error) {
	if err := e.Validate(); err != nil {
		return event.Event{}, err
	}
	out := event.New(event.CloudEventsVersionV1)
	out.SetID(e.ID)
	out.SetSource(e.Source)
	out.SetType(e.Type)
	if e.Subject != "" {
		out.SetSubject(e.Subject)
	}
	if !e.Time.IsZero() {
		out.SetTime(e.Time)
	}
	if e.DataContentType != "" {
		out.SetDataContentType(e.DataContentType)
	}
	if e.DataSchema != "" {
		out.SetDataSchema(e.DataSchema)
	}
	for name, value := range e.Extensions {
		out.SetExtension(name, value)
	}
	if e.Data != nil {
		out.DataEncoded = append([]byte{}, e.Data...)
	}
	if err := out.Validate(); err != nil {
		return event.Event{}, fmt.Errorf("%w: %w", bus.ErrInvalidEvent, err)
	}
	return out, nil
}

// FromSDK returns the SDK's event as ours. It shares nothing with e. Events of
// version 0.3 are an error.
func FromSDK(e event.Event) (bus.Event, error) {
	if e.SpecVersion() != event.CloudEventsVersionV1 {
		return bus.Event{}, fmt.Errorf("%w: specversion is %q, not %q", bus.ErrInvalidEvent, e.SpecVersion(), bus.SpecVersion)
	}
	out := bus.Event{
		ID: e.ID(), Source: e.Source(), Type: e.Type(), Subject: e.Subject(), Time: e.Time(),
		DataContentType: e.DataContentType(), DataSchema: e.DataSchema(),
	}
	for name, value := range e.Extensions() {
		s, err := types.Format(value)
		if err != nil {
			return bus.Event{}, fmt.Errorf("%w: extension %s: %w", bus.ErrInvalidEvent, name, err)
		}
		out.SetExtension(name, s)
	}
	if data := e.Data(); data != nil {
		out.Data = append([]byte{}, data...)
	}
	return out, out.Validate()
}
