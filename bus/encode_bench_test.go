package bus_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
)

// plainEvent has the same fields as an Event, for encoding/json.
type plainEvent struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Subject     string          `json:"subject,omitempty"`
	Time        time.Time       `json:"time"`
	ContentType string          `json:"datacontenttype,omitempty"`
	Topic       string          `json:"topic,omitempty"`
	Sequence    string          `json:"sequence,omitempty"`
	Data        json.RawMessage `json:"data,omitempty"`
}

func benchEvent() bus.Event {
	return bus.Event{
		ID: "01J8Z3K5V9Q2", Source: "/restaurants", Type: "resn.update", Subject: "https://api.example/restaurants/203",
		Time: time.Date(2026, 11, 21, 9, 25, 0, 123000000, time.UTC), DataContentType: "application/json",
		Extensions: map[string]string{"topic": "restaurants", "sequence": "184467"}, Data: []byte(`{"lat":51.5,"lon":-0.12,"at":"2026-11-21"}`),
	}
}

func BenchmarkEncode(b *testing.B) {
	e := benchEvent()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.AppendJSON(nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodePlainStruct(b *testing.B) {
	e := benchEvent()
	p := plainEvent{"1.0", e.ID, e.Source, e.Type, e.Subject, e.Time, e.DataContentType, "restaurants", "184467", e.Data}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := json.Marshal(p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	e := benchEvent()
	body, _ := e.AppendJSON(nil)
	b.ReportAllocs()
	var out bus.Event
	for b.Loop() {
		if err := out.UnmarshalJSON(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodePlainStruct(b *testing.B) {
	e := benchEvent()
	body, _ := e.AppendJSON(nil)
	b.ReportAllocs()
	var out plainEvent
	for b.Loop() {
		if err := json.Unmarshal(body, &out); err != nil {
			b.Fatal(err)
		}
	}
}
