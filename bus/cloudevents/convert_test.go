package cloudevents_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/cloudevents"
	"github.com/goswale/swale/bus/driver"
)

// samples leave out two things: JSON under a "+json" media type, which the SDK
// doesn't take for JSON in structured mode (README), and '<' in JSON, which
// encoding/json rewrites.
func samples() []bus.Event {
	at := time.Date(2026, 11, 21, 9, 25, 0, 123456789, time.UTC)
	return []bus.Event{
		{ID: "1", Source: "/s", Type: "t"},
		{ID: "2", Source: "https://h/p?q=1#f", Type: "a.b", Subject: "/r/203?x=\"ü\"", Time: at},
		{ID: "3", Source: "urn:x:y", Type: "t", Time: at, DataContentType: "application/json", Data: []byte(`{"a":[1,2,"x"],"b":null}`)},
		{ID: "4", Source: "/s", Type: "t", DataContentType: "text/plain", Data: []byte("line\n\"q\" é")},
		{ID: "5", Source: "/s", Type: "t", DataContentType: "application/octet-stream", Data: []byte{0, 1, 0xff}},
		{ID: "6", Source: "/s", Type: "t", DataSchema: "https://h/schema#1", Extensions: map[string]string{"partitionkey": "käse", "sequence": "42"}},
		{ID: "7", Source: "/s", Type: "t", DataContentType: "text/json", Data: []byte(`"text"`)},
	}
}

func same(a, b bus.Event) error {
	switch {
	case a.ID != b.ID || a.Source != b.Source || a.Type != b.Type || a.Subject != b.Subject ||
		a.DataContentType != b.DataContentType || a.DataSchema != b.DataSchema:
		return fmt.Errorf("attributes differ:\n%+v\n%+v", a, b)
	case !a.Time.Equal(b.Time):
		return fmt.Errorf("times differ: %v, %v", a.Time, b.Time)
	case !maps.Equal(a.Extensions, b.Extensions):
		return fmt.Errorf("extensions differ: %q, %q", a.Extensions, b.Extensions)
	case !bytes.Equal(a.Data, b.Data):
		return fmt.Errorf("data differ: %q, %q", a.Data, b.Data)
	}
	return nil
}

func TestConvert(t *testing.T) {
	for _, want := range samples() {
		sdk, err := cloudevents.ToSDK(want)
		if err != nil {
			t.Fatalf("event %s: %v", want.ID, err)
		}
		got, err := cloudevents.FromSDK(sdk)
		if err != nil {
			t.Fatalf("event %s: %v", want.ID, err)
		}
		if err := same(got, want); err != nil {
			t.Errorf("event %s must survive the way to the SDK's type and back: %v", want.ID, err)
		}
	}
	if _, err := cloudevents.ToSDK(bus.Event{}); !errors.Is(err, bus.ErrInvalidEvent) {
		t.Errorf("an invalid event is refused, got %v", err)
	}
	if _, err := cloudevents.FromSDK(event.New(event.CloudEventsVersionV03)); !errors.Is(err, bus.ErrInvalidEvent) {
		t.Errorf("version 0.3 is refused, got %v", err)
	}
}

// The SDK reads what we write, and we read what the SDK writes.
func TestStructured(t *testing.T) {
	for _, want := range samples() {
		ours, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var sdk event.Event
		if err := json.Unmarshal(ours, &sdk); err != nil {
			t.Fatalf("the SDK must read %s: %v", ours, err)
		}
		got, err := cloudevents.FromSDK(sdk)
		if err != nil {
			t.Fatal(err)
		}
		if err := same(got, want); err != nil {
			t.Errorf("the SDK reads %s otherwise: %v", ours, err)
		}
		theirs, err := json.Marshal(sdk)
		if err != nil {
			t.Fatal(err)
		}
		var back bus.Event
		if err := json.Unmarshal(theirs, &back); err != nil {
			t.Fatalf("we must read the SDK's %s: %v", theirs, err)
		}
		if err := same(back, want); err != nil {
			t.Errorf("we read the SDK's %s otherwise: %v", theirs, err)
		}
	}
}

func TestTypedExtensions(t *testing.T) {
	sdk := event.New()
	sdk.SetID("1")
	sdk.SetSource("/s")
	sdk.SetType("t")
	sdk.SetExtension("num", 42)
	sdk.SetExtension("flag", true)
	sdk.SetExtension("bin", []byte{1, 2})
	body, err := json.Marshal(sdk)
	if err != nil {
		t.Fatal(err)
	}
	var e bus.Event
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"num": "42", "flag": "true", "bin": "AQI="}
	if !maps.Equal(e.Extensions, want) {
		t.Errorf("typed extensions become their canonical strings: got %q, want %q", e.Extensions, want)
	}
	if f, err := cloudevents.FromSDK(sdk); err != nil || !maps.Equal(f.Extensions, want) {
		t.Errorf("FromSDK must agree with the JSON: got %q, %v", f.Extensions, err)
	}
}

func TestBatch(t *testing.T) {
	ours, err := bus.MarshalBatch(samples())
	if err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(ours))
	request.Header.Set("Content-Type", driver.ContentTypeBatch)
	events, err := binding.ToEvents(t.Context(), cehttp.NewMessageFromHttpRequest(request), request.Body)
	if err != nil {
		t.Fatalf("the SDK must read our batch: %v", err)
	}
	for i, want := range samples() {
		got, err := cloudevents.FromSDK(events[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := same(got, want); err != nil {
			t.Errorf("event %d of a batch: %v", i, err)
		}
	}
	theirs, err := json.Marshal(events)
	if err != nil {
		t.Fatal(err)
	}
	back, err := bus.UnmarshalBatch(theirs)
	if err != nil {
		t.Fatalf("we must read the SDK's batch: %v", err)
	}
	if !slices.EqualFunc(back, samples(), func(a, b bus.Event) bool { return same(a, b) == nil }) {
		t.Error("we read the SDK's batch otherwise")
	}
}

// Binary mode travels through a broker's headers; the SDK's HTTP binding is the
// peer, because its attributes go through the same canonical strings.
func TestBinary(t *testing.T) {
	for _, want := range samples() {
		sdk, err := cloudevents.ToSDK(want)
		if err != nil {
			t.Fatal(err)
		}
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
		if err := cehttp.WriteRequest(binding.WithForceBinary(t.Context()), binding.ToMessage(&sdk), request); err != nil {
			t.Fatal(err)
		}
		theirs := driver.Message{ContentType: request.Header.Get("Content-Type")}
		for name, values := range request.Header {
			if len(name) > 3 && name[:3] == "Ce-" {
				theirs.Attributes = append(theirs.Attributes, driver.Attribute{Name: string(bytes.ToLower([]byte(name[3:]))), Value: values[0]})
			}
		}
		if request.Body != nil {
			var buf bytes.Buffer
			if _, err := buf.ReadFrom(request.Body); err != nil {
				t.Fatal(err)
			}
			theirs.Body = buf.Bytes()
		}
		got, err := bus.FromMessage(theirs)
		if err != nil {
			t.Fatalf("we must read the SDK's binary event %s: %v", want.ID, err)
		}
		if err := same(got, want); err != nil {
			t.Errorf("event %s in binary mode: %v", want.ID, err)
		}
		ours, err := bus.ToBinary(want)
		if err != nil {
			t.Fatal(err)
		}
		header := make(http.Header)
		header.Set("Content-Type", ours.ContentType)
		for _, a := range ours.Attributes {
			header.Set("Ce-"+a.Name, a.Value)
		}
		message := cehttp.NewMessage(header, readCloser{bytes.NewReader(ours.Body)})
		read, err := binding.ToEvent(t.Context(), message)
		if err != nil {
			t.Fatalf("the SDK must read our binary event %s: %v", want.ID, err)
		}
		if got, err = cloudevents.FromSDK(*read); err != nil {
			t.Fatal(err)
		}
		if err := same(got, want); err != nil {
			t.Errorf("the SDK reads our binary event %s otherwise: %v", want.ID, err)
		}
	}
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

func BenchmarkEncodeSDK(b *testing.B) {
	sdk, err := cloudevents.ToSDK(samples()[2])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := json.Marshal(sdk); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeSwale(b *testing.B) {
	e := samples()[2]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.AppendJSON(nil); err != nil {
			b.Fatal(err)
		}
	}
}
