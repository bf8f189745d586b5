package gateway

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/resn"
)

// What is accepted as a push is a valid event of the topic, and is written to
// callbacks as the url that came in.
func FuzzPush(f *testing.F) {
	for _, seed := range []string{
		`{"type":"create","url":"https://a.example/1","timestamp":null}`,
		`{"type":"update","url":"https://a.example/1?x=<y>","timestamp":9.466848e11,"data":{"a":1}}`,
		`{"type":"noop","url":"https://[::1]:1/%41","timestamp":1e300}`, `[]`, `{"type":1}`, `{"url":"https://user@a/"}`,
	} {
		f.Add(seed)
	}
	g := &Gateway{opts: Options{Streams: map[string]StreamTopic{"stream": {}}}}
	g.opts.fill()
	f.Fuzz(func(t *testing.T, body string) {
		var p pushed
		if json.Unmarshal([]byte(body), &p) != nil {
			return
		}
		for _, topic := range []string{"things", "stream"} {
			q := p
			event, err := g.eventOf(topic, &q, time.Now())
			if err != nil {
				continue
			}
			event.ID = "1"
			if err := event.Validate(); err != nil {
				t.Fatalf("accepted what is no event: %v", err)
			}
			e, wanted := g.read(topic, &event, nil)
			if topic == "things" && (!wanted || e.URL != *p.URL || e.Data != nil) {
				t.Fatalf("%q was published and is delivered as %+v, %v", body, e, wanted)
			}
			out, err := writeEntries([]*parcel{{entry: e}})
			var batch []wireEntry
			if err != nil || json.Unmarshal(out, &batch) != nil || len(batch) != 1 || utf8.ValidString(*p.URL) && batch[0].URL != *p.URL {
				t.Fatalf("%q is delivered as %s, %v", body, out, err)
			}
		}
	})
}

// A subscription that is accepted asks for what can be given.
func FuzzSubscription(f *testing.F) {
	for _, seed := range []string{
		`{"topics":["a"],"callback":"https://a.example/","uuid":"u","timeout":500,"max":100}`,
		`{"topics":["a","a"],"callback":"https://u:p@a.example/x","format":"cloudevents-batch","types":["noop"]}`,
		`{"topics":[],"callback":"https://127.0.0.1/"}`, `{"topics":["A"]}`, `{"callback":"https://[fe80::1%25eth0]/"}`,
	} {
		f.Add(seed)
	}
	g := &Gateway{}
	g.opts.fill()
	f.Fuzz(func(t *testing.T, body string) {
		var a asked
		if json.Unmarshal([]byte(body), &a) != nil {
			return
		}
		s, err := g.subscriptionOf("reader", &a)
		if err != nil {
			return
		}
		if !strings.HasPrefix(s.Callback, "https://") || s.Max < 1 || s.Max > maxBatch || s.Deadline < 0 || s.Deadline > maxDeadline || strings.Contains(s.Callback, "@") && !strings.Contains(body, "%40") && strings.Contains(s.Callback[:strings.Index(s.Callback+"/", "/")+2], "@") {
			t.Fatalf("%q was accepted as %+v", body, s)
		}
		if _, err := http.NewRequest(http.MethodPost, s.Callback, http.NoBody); err != nil {
			t.Fatalf("a callback was accepted that can't be asked: %v", err)
		}
		for _, topic := range s.Topics {
			if err := bus.CheckName(topic); err != nil {
				t.Fatalf("a topic was accepted that the bus doesn't take: %v", err)
			}
		}
		if err := bus.CheckName(group(s.Subscriber)); err != nil {
			t.Fatal(err)
		}
	})
}

// Events that are read in one mode are written in binary mode and read again as
// they were.
func FuzzCloudEvent(f *testing.F) {
	f.Add("application/cloudevents+json", "", "", `{"specversion":"1.0","id":"1","source":"/a","type":"resn.update","subject":"https://a.example/1"}`)
	f.Add("application/cloudevents-batch+json", "", "", `[{"specversion":"1.0","id":"1","source":"/a","type":"t"}]`)
	f.Add("text/plain", `"a %22quoted\" text"`, "50% off", "data")
	f.Fuzz(func(t *testing.T, contentType, subject, etag, body string) {
		h := http.Header{
			"Content-Type": {contentType}, "Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/a"}, "Ce-Type": {"t"},
			"Ce-Subject": {subject}, "Ce-Etag": {etag},
		}
		events, err := readEvents(h, []byte(body))
		if err != nil {
			return
		}
		for i := range events {
			e := &events[i]
			if err := e.Validate(); err != nil {
				t.Fatalf("accepted what is no event: %v", err)
			}
			again := http.Header{}
			data, err := writeBinary(again, e)
			if err != nil {
				t.Fatalf("what was read can't be written: %v", err)
			}
			if e.DataContentType == mediaEvent || e.DataContentType == mediaBatch || strings.HasPrefix(e.DataContentType, "application/cloudevents") {
				continue // an event that carries an event can't travel in binary mode
			}
			for name, values := range again {
				if name != "Content-Type" && strings.ContainsFunc(values[0], func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
					t.Fatalf("header %s holds %q", name, values[0])
				}
			}
			back, err := readBinary(again, data)
			if err != nil || back.Subject != e.Subject || back.Extension("etag") != e.Extension("etag") || string(back.Data) != string(e.Data) {
				t.Fatalf("%+v came back as %+v, %v", e, back, err)
			}
			_, _, _ = resn.Decode("things", e)
		}
	})
}

// A proxy from the environment would make connections that nobody checks.
func TestProxyOfTheEnvironmentIsIgnored(t *testing.T) {
	transport, ok := (&CallbackOptions{}).client().Transport.(*http.Transport)
	if !ok || transport.Proxy != nil {
		t.Error("callbacks are asked directly, whatever HTTPS_PROXY says")
	}
}
