package bus_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/bus"
)

func TestEventJSON(t *testing.T) {
	at := time.Date(2026, 11, 21, 9, 25, 0, 123000000, time.UTC)
	for _, c := range []struct {
		name  string
		event bus.Event
		json  string
	}{
		{"smallest", bus.Event{ID: "1", Source: "/s", Type: "t"}, `{"specversion":"1.0","id":"1","source":"/s","type":"t"}`},
		{"all attributes", bus.Event{
			ID: "1", Source: "/s", Type: "t", Subject: "/r/203", Time: at, DataContentType: "application/json",
			DataSchema: "https://h/s", Extensions: map[string]string{"zz": "1", "aa": "x\"y"}, Data: []byte(`{"a": [1, 2]}`),
		}, `{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"/r/203","time":"2026-11-21T09:25:00.123Z","datacontenttype":"application/json","dataschema":"https://h/s","aa":"x\"y","zz":"1","data":{"a": [1, 2]}}`},
		{"JSON without a media type", bus.Event{ID: "1", Source: "/s", Type: "t", Data: []byte(`null`)}, `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":null}`},
		{"a suffix of JSON", bus.Event{ID: "1", Source: "/s", Type: "t", DataContentType: "application/hal+json; charset=utf-8", Data: []byte(`7`)}, `{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"application/hal+json; charset=utf-8","data":7}`},
		{"text", bus.Event{ID: "1", Source: "/s", Type: "t", DataContentType: "text/plain", Data: []byte("a\n\"b\" é")}, `{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"text/plain","data":"a\n\"b\" é"}`},
		{"bytes", bus.Event{ID: "1", Source: "/s", Type: "t", DataContentType: "image/png", Data: []byte{0xff, 0}}, `{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"image/png","data_base64":"/wA="}`},
		{"no bytes", bus.Event{ID: "1", Source: "/s", Type: "t", Data: []byte{}}, `{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":""}`},
		{"broken JSON under a JSON type", bus.Event{ID: "1", Source: "/s", Type: "t", DataContentType: "application/json", Data: []byte(`{`)}, `{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"application/json","data_base64":"ew=="}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.event.AppendJSON(nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.json, string(got)); diff != "" {
				t.Errorf("exact JSON (-want +got):\n%s", diff)
			}
			var back bus.Event
			if err := json.Unmarshal(got, &back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.event, back); diff != "" {
				t.Errorf("decoding gives the same event, to the byte (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecode(t *testing.T) {
	for _, c := range []struct{ name, json, data string }{
		{"white space", " {\n\"specversion\" : \"1.0\" , \"id\":\"1\",\"source\":\"/s\",\"type\":\"t\", \"data\" : 12 }\n", "12"},
		{"data first", `{"data":{"x":"}"},"specversion":"1.0","id":"1","source":"/s","type":"t"}`, `{"x":"}"}`},
		{"escapes", `{"specversion":"1.0","\u0069d":"\u0031","source":"\/s","type":"t","data":"a\\"}`, `"a\\"`},
		{"null attributes are unset", `{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":null,"time":null,"ext":null,"data_base64":null}`, ""},
		{"a string that isn't JSON", `{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"text/plain","data":"a\u00e9"}`, "aé"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var e bus.Event
			if err := json.Unmarshal([]byte(c.json), &e); err != nil {
				t.Fatal(err)
			}
			want := bus.Event{ID: "1", Source: "/s", Type: "t", DataContentType: e.DataContentType}
			if c.data != "" {
				want.Data = []byte(c.data)
			}
			if diff := cmp.Diff(want, e); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	var e bus.Event
	if err := json.Unmarshal([]byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t","n":-42,"b":true,"s":"x"}`), &e); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"n": "-42", "b": "true", "s": "x"}, e.Extensions); diff != "" {
		t.Errorf("extensions become canonical strings (-want +got):\n%s", diff)
	}
}

func TestDecodeRefuses(t *testing.T) {
	const ok = `"specversion":"1.0","id":"1","source":"/s","type":"t"`
	for name, in := range map[string]string{
		"nothing":                 ``,
		"no object":               `[1]`,
		"an open object":          `{` + ok,
		"something behind":        `{` + ok + `}x`,
		"version 0.3":             `{"specversion":"0.3","id":"1","source":"/s","type":"t"}`,
		"no version":              `{"id":"1","source":"/s","type":"t"}`,
		"no id":                   `{"specversion":"1.0","source":"/s","type":"t"}`,
		"an empty type":           `{"specversion":"1.0","id":"1","source":"/s","type":""}`,
		"an id that is a number":  `{"specversion":"1.0","id":1,"source":"/s","type":"t"}`,
		"an attribute twice":      `{` + ok + `,"id":"2"}`,
		"a source twice":          `{` + ok + `,"source":"/"}`,
		"a subject twice":         `{` + ok + `,"subject":"a","subject":"b"}`,
		"a time twice":            `{` + ok + `,"time":"2026-01-01T00:00:00Z","time":"2026-01-01T00:00:00Z"}`,
		"no comma":                `{` + ok + `"subject":"a"}`,
		"a comma too many":        `{` + ok + `,}`,
		"an extension twice":      `{` + ok + `,"x":"2","x":"3"}`,
		"a capital in a name":     `{` + ok + `,"Ext":"2"}`,
		"an extension of objects": `{` + ok + `,"ext":{}}`,
		"an extension of floats":  `{` + ok + `,"ext":1.5}`,
		"both kinds of data":      `{` + ok + `,"data":1,"data_base64":"AA=="}`,
		"bad base64":              `{` + ok + `,"data_base64":"*"}`,
		"bad data":                `{` + ok + `,"data":{1}}`,
		"a bad time":              `{` + ok + `,"time":"yesterday"}`,
		"a control character":     "{" + ok + ",\"subject\":\"a\u0001\"}",
		"an escaped control":      `{` + ok + `,"subject":"a\u0001"}`,
		"not UTF-8":               "{" + ok + ",\"subject\":\"\xff\"}",
		"a relative schema":       `{` + ok + `,"dataschema":"x"}`,
	} {
		var e bus.Event
		if err := e.UnmarshalJSON([]byte(in)); !errors.Is(err, bus.ErrInvalidEvent) {
			t.Errorf("%s must be refused with ErrInvalidEvent: got %v and %+v", name, err, e)
		}
	}
}

func TestValidate(t *testing.T) {
	good := bus.Event{ID: "1", Source: "/s", Type: "t"}
	for name, change := range map[string]func(e *bus.Event){
		"a name with a capital":     func(e *bus.Event) { e.SetExtension("Bad", "x") },
		"a name of the standard":    func(e *bus.Event) { e.SetExtension("id", "x") },
		"an empty name":             func(e *bus.Event) { e.SetExtension("", "x") },
		"a control in an extension": func(e *bus.Event) { e.SetExtension("x", "\x00") },
		"a space in the source":     func(e *bus.Event) { e.Source = "a b" },
		"the year 10000":            func(e *bus.Event) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"seconds in an offset":      func(e *bus.Event) { e.Time = time.Now().In(time.FixedZone("", 61)) },
		"a noncharacter":            func(e *bus.Event) { e.Subject = "\ufffe" },
	} {
		e := good.Clone()
		change(&e)
		if err := e.Validate(); !errors.Is(err, bus.ErrInvalidEvent) {
			t.Errorf("%s must be refused with ErrInvalidEvent, got %v", name, err)
		}
		if _, err := e.MarshalJSON(); err == nil {
			t.Errorf("%s must not be written", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":[1,"}"]}}`,
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"text/plain","data":"\ud83d\ude00"}`,
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","x":2147483647,"time":"2026-01-01T00:00:00+01:00","data_base64":"AA=="}`,
		`{"data":"\\","type":"data","data_base64":null}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var e bus.Event
		if e.UnmarshalJSON(in) != nil {
			return
		}
		if !json.Valid(in) {
			t.Fatalf("what isn't JSON must be refused: %q", in)
		}
		out, err := e.MarshalJSON()
		if err != nil {
			t.Fatalf("what was read can be written: %v", err)
		}
		if !json.Valid(out) {
			t.Fatalf("what is written is JSON: %q", out)
		}
		var back bus.Event
		if err := back.UnmarshalJSON(out); err != nil {
			t.Fatalf("what is written can be read: %v", err)
		}
		if diff := cmp.Diff(e, back, cmp.Transformer("time", func(t time.Time) int64 { return t.UnixNano() })); diff != "" {
			t.Fatalf("writing and reading changes nothing: %s", diff)
		}
	})
}

func TestKey(t *testing.T) {
	e := bus.Event{Subject: "s"}
	if e.Key() != "s" {
		t.Errorf("the key is the subject, got %q", e.Key())
	}
	e.SetExtension(bus.PartitionKey, "p")
	if e.Key() != "p" {
		t.Errorf("the key is the extension partitionkey where there is one, got %q", e.Key())
	}
}

func TestCheckName(t *testing.T) {
	for _, good := range []string{"a", "orders", "a.b-c_d.9", strings.Repeat("x", bus.MaxNameLength)} {
		if err := bus.CheckName(good); err != nil {
			t.Errorf("%q is a good name: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".", "a.", ".a", "a..b", "A", "a b", "a*", "a>", "ä", "a/b", strings.Repeat("x", bus.MaxNameLength+1)} {
		if err := bus.CheckName(bad); !errors.Is(err, bus.ErrInvalidTopic) {
			t.Errorf("%q must be refused, got %v", bad, err)
		}
	}
}

func TestBackoff(t *testing.T) {
	b := bus.Backoff{Min: 100 * time.Millisecond, Max: time.Second}
	for attempts, full := range map[int]time.Duration{1: 100, 2: 200, 3: 400, 4: 800, 5: 1000, math.MaxInt32: 1000} {
		full *= time.Millisecond
		seen := make(map[time.Duration]bool)
		for range 50 {
			d := b.Delay(attempts)
			if d < full/2 || d > full {
				t.Errorf("after %d attempts the wait is between %v and %v, got %v", attempts, full/2, full, d)
			}
			seen[d] = true
		}
		if len(seen) < 10 {
			t.Errorf("waits must be spread at random, got %d different of 50", len(seen))
		}
	}
	for random, want := range map[float64]time.Duration{0: 50, 0.5: 75, math.Nextafter(1, 0): 100} {
		b.Rand = func() float64 { return random }
		if d := b.Delay(1); d.Round(time.Microsecond) != want*time.Millisecond {
			t.Errorf("the random part is what Rand says: for %v the wait is %vms, got %v", random, int64(want), d)
		}
	}
}

func TestBatchIsReadWhole(t *testing.T) {
	events := []bus.Event{
		{ID: "1", Source: "/s", Type: "t", Subject: "one", Extensions: map[string]string{"a": "b"}},
		{ID: "2", Source: "/s", Type: "t", Subject: "zwei ü", Data: []byte(`{"x":[1,2]}`), DataContentType: "application/json"},
		{ID: "3", Source: "/s", Type: "t", Data: []byte{0, 1}, DataContentType: "application/octet-stream"},
	}
	text, err := bus.MarshalBatch(events)
	if err != nil {
		t.Fatal(err)
	}
	got, err := bus.UnmarshalBatch(text)
	if err != nil {
		t.Fatal(err)
	}
	clear(text)
	if diff := cmp.Diff(events, got); diff != "" {
		t.Errorf("a batch read again is another (-want +got):\n%s", diff)
	}
	one := `{"specversion":"1.0","id":"1","source":"/","type":"t"}`
	for _, bad := range []string{``, `[`, `[]]`, `[,]`, `[` + one, `[` + one + `,]`, `[` + one + one + `]`, `[` + one + `] x`, `{}`, `[1]`, `[` + one + `,{"specversion":"1.0"}]`} {
		if _, err := bus.UnmarshalBatch([]byte(bad)); !errors.Is(err, bus.ErrInvalidEvent) {
			t.Errorf("UnmarshalBatch(%s): %v; want an invalid event", bad, err)
		}
	}
	if got, err := bus.UnmarshalBatch([]byte(" [ ] ")); err != nil || len(got) != 0 {
		t.Errorf("an empty batch gave %v, %v", got, err)
	}
}
