package rows

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding/format"
	cloudevent "github.com/cloudevents/sdk-go/v2/event"

	"github.com/goswale/swale/benchmarks/internal/ratio"
	"github.com/goswale/swale/bus"
)

func busRows() []ratio.Row {
	row := func(name string, limit float64, note string, ops func(e bus.Event, text []byte) (ours, theirs ratio.Op, err error)) ratio.Row {
		return ratio.Row{
			Name: name, Unit: "x", Bound: ratio.AtMost(limit), Note: note,
			Open: func(context.Context) (func() (float64, error), func(), error) {
				e := sampleEvent()
				text, err := e.AppendJSON(nil)
				if err != nil {
					return nil, nil, err
				}
				ours, theirs, err := ops(e, text)
				return ratio.Versus(ours, theirs), nil, err
			},
		}
	}
	encode := func(e bus.Event) ratio.Op { return func() error { _, err := e.AppendJSON(nil); return err } }
	read := func(text []byte) ratio.Op {
		return func() error { var e bus.Event; return e.UnmarshalJSON(text) }
	}
	return []ratio.Row{
		row("bus.encode.vs_json", 1.3, "an event of nine attributes and a little JSON, against json.Marshal of a struct with the same fields",
			func(e bus.Event, _ []byte) (ratio.Op, ratio.Op, error) {
				plain := samplePlain()
				return encode(e), func() error { _, err := json.Marshal(plain); return err }, same(e, plain)
			}),
		row("bus.encode.vs_cloudevents_sdk", 0.333, "the same event, against the JSON format of the CloudEvents SDK, as its clients use it",
			func(e bus.Event, _ []byte) (ratio.Op, ratio.Op, error) {
				theirs := sampleSDK()
				return encode(e), func() error { _, err := format.JSON.Marshal(theirs); return err }, same(e, theirs)
			}),
		row("bus.decode.vs_json", 1, "the same event read and checked, against json.Unmarshal into that struct, which checks nothing",
			func(_ bus.Event, text []byte) (ratio.Op, ratio.Op, error) {
				return read(text), decode[plainEvent](text, json.Unmarshal), nil
			}),
		row("bus.decode.vs_cloudevents_sdk", 0.5, "the same event read, against the JSON format of the CloudEvents SDK",
			func(_ bus.Event, text []byte) (ratio.Op, ratio.Op, error) {
				return read(text), func() error { var e cloudevent.Event; return format.JSON.Unmarshal(text, &e) }, nil
			}),
	}
}

// plainEvent has the fields of sampleEvent, for encoding/json.
type plainEvent struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Subject     string          `json:"subject,omitempty"`
	Time        time.Time       `json:"time"`
	ContentType string          `json:"datacontenttype,omitempty"`
	Sequence    string          `json:"sequence,omitempty"`
	Topic       string          `json:"topic,omitempty"`
	Data        json.RawMessage `json:"data,omitempty"`
}

func sampleEvent() bus.Event {
	return bus.Event{
		ID: "01J8Z3K5V9Q2", Source: "/restaurants", Type: "resn.update", Subject: "https://api.example/restaurants/203",
		Time: time.Date(2026, 11, 21, 9, 25, 0, 123000000, time.UTC), DataContentType: "application/json",
		Extensions: map[string]string{"sequence": "184467", "topic": "restaurants"}, Data: []byte(`{"lat":51.5,"lon":-0.12,"at":"2026-11-21"}`),
	}
}

func samplePlain() *plainEvent {
	e := sampleEvent()
	return &plainEvent{bus.SpecVersion, e.ID, e.Source, e.Type, e.Subject, e.Time, e.DataContentType, e.Extension("sequence"), e.Extension("topic"), e.Data}
}

func sampleSDK() *cloudevent.Event {
	e := sampleEvent()
	out := cloudevent.New(bus.SpecVersion)
	out.SetID(e.ID)
	out.SetSource(e.Source)
	out.SetType(e.Type)
	out.SetSubject(e.Subject)
	out.SetTime(e.Time)
	for name, value := range e.Extensions {
		out.SetExtension(name, value)
	}
	_ = out.SetData(e.DataContentType, e.Data) // bytes are taken as they are
	return &out
}

// same checks that the other side writes the same event.
func same(e bus.Event, other any) error {
	want, err := e.AppendJSON(nil)
	if err != nil {
		return err
	}
	text, err := json.Marshal(other)
	if err != nil {
		return err
	}
	var got bus.Event
	if err := got.UnmarshalJSON(text); err != nil {
		return err
	}
	again, err := got.AppendJSON(nil)
	if err == nil && string(again) != string(want) {
		err = fmt.Errorf("the sides write different events: %s and %s", want, again)
	}
	return err
}
