package resn

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/goswale/swale/bus"
)

func TestEventJSONIsTheTalks(t *testing.T) {
	e := Event{Topic: "restaurants", Type: Update, Href: "https://api.example/restaurants/203"}
	got, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"topic":"restaurants","type":"update","href":"https://api.example/restaurants/203"}`
	if string(got) != want {
		t.Errorf("a plain notice is written as\n%s\nwant, as in the talk,\n%s", got, want)
	}
}

func TestEventRoundTrip(t *testing.T) {
	want := Event{
		Topic: "restaurants", Type: Delete, Href: "https://api.example/restaurants?geohash=dr5r",
		Time: time.Date(2026, 11, 21, 9, 25, 0, 123e6, time.UTC), ETag: `"v7"`, Seq: 184467, Epoch: "b3Yk",
	}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var bare Event
	if err := json.Unmarshal(data, &bare); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, bare); diff != "" {
		t.Errorf("bare form changed on the way (-want +got):\n%s", diff)
	}
	ce := want.CloudEvent("/restaurants")
	m, err := parse("restaurants", &ce)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, m.notice); diff != "" {
		t.Errorf("CloudEvent changed on the way (-want +got):\n%s", diff)
	}
	if len(ce.Data) != 0 {
		t.Errorf("a notice has a payload: %q", ce.Data)
	}
	plain := bus.Event{Type: "com.example.anything", Data: data}
	if m, err = parse("restaurants", &plain); err != nil || !cmp.Equal(m.notice, want) {
		t.Errorf("the bare form on the bus gave %+v, %v", m.notice, err)
	}
}

func TestParseRejects(t *testing.T) {
	good := Event{Topic: "restaurants", Type: Update, Href: "https://api.example/1"}
	with := func(change func(*bus.Event)) bus.Event {
		ce := good.CloudEvent("/s")
		change(&ce)
		return ce
	}
	for name, ce := range map[string]bus.Event{
		"a payload":               with(func(e *bus.Event) { e.Data = []byte(`{"name":"Joe's"}`) }),
		"an unknown type":         with(func(e *bus.Event) { e.Type = "resn.replace" }),
		"another topic":           with(func(e *bus.Event) { e.Extensions["topic"] = "orders" }),
		"a relative href":         with(func(e *bus.Event) { e.Subject = "/restaurants/1" }),
		"a file href":             with(func(e *bus.Event) { e.Subject = "file:///etc/passwd" }),
		"user information":        with(func(e *bus.Event) { e.Subject = "https://u:p@api.example/1" }),
		"a fragment":              with(func(e *bus.Event) { e.Subject = "https://api.example/1#x" }),
		"a long href":             with(func(e *bus.Event) { e.Subject += strings.Repeat("x", MaxHref) }),
		"a long etag":             with(func(e *bus.Event) { e.Extensions["etag"] = strings.Repeat("x", MaxETag+1) }),
		"a number without epoch":  with(func(e *bus.Event) { e.Extensions["sequence"] = "1" }),
		"a number that isn't one": with(func(e *bus.Event) { e.Extensions["sequence"] = "-1" }),
		"a watermark of no epoch": {Type: watermarkType, Time: time.Now(), Extensions: map[string]string{"sequence": "1"}},
		"a watermark of no time":  {Type: watermarkType, Extensions: map[string]string{"sequence": "1", "epoch": "e"}},
		"JSON that isn't":         {Type: "x", Data: []byte(`{"topic":`)},
		"an array":                {Type: "x", Data: []byte(`[]`)},
		"nothing":                 {},
	} {
		if _, err := parse("restaurants", &ce); !errors.Is(err, ErrNotice) {
			t.Errorf("a message with %s was accepted, or its error doesn't say ErrNotice: %v", name, err)
		}
	}
}

func TestUnknownMembersAreIgnored(t *testing.T) {
	var e Event
	err := json.Unmarshal([]byte(`{"topic":"t","type":"create","href":"http://h/","mood":"good"}`), &e)
	if err != nil {
		t.Errorf("a notice from a later version of the protocol was refused: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("resn.update", "https://h/1", "topic", "1", "e", []byte(nil))
	f.Add("resn.watermark", "", "topic", "00000000000000000007", "e", []byte(nil))
	f.Add("x", "", "", "", "", []byte(`{"topic":"topic","type":"noop","href":"https://h/"}`))
	f.Fuzz(func(t *testing.T, typ, subject, topic, seq, epoch string, data []byte) {
		ce := bus.Event{Type: typ, Subject: subject, Data: data, Extensions: map[string]string{
			"topic": topic, "sequence": seq, "epoch": epoch,
		}}
		m, err := parse("topic", &ce)
		if err != nil || m.isWatermark {
			return
		}
		if err := m.notice.Validate(); err != nil {
			t.Errorf("parse let through what Validate refuses: %v", err)
		}
		again := m.notice.CloudEvent("/s")
		if back, err := parse("topic", &again); err != nil || !cmp.Equal(back.notice, m.notice) {
			t.Errorf("%+v came back as %+v, %v", m.notice, back.notice, err)
		}
	})
}

// What is taken for well-formed at first sight is so at second sight, too.
func TestPlainHrefsAreHrefs(t *testing.T) {
	plain := []string{
		"https://api.example/restaurants/203", "http://owner.example", "https://api.example/?near=u173z&size=50",
		"https://api.example/restaurants?near=u173z", "http://10.0.0.7/a_b~c/D,e+f:g", "https://a.b//",
	}
	for _, href := range plain {
		if !plainHref(href) {
			t.Errorf("%s is looked at twice", href)
		}
	}
	alphabet := []rune("ab./:?#@%&=-_~ [é\x00")
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		href := "http://"
		for range rng.IntN(8) {
			href += string(alphabet[rng.IntN(len(alphabet))])
		}
		u, err := url.Parse(href)
		if plainHref(href) && (err != nil || u.Host == "" || u.User != nil || strings.Contains(href, "#")) {
			t.Fatalf("%q is taken for a well-formed href", href)
		}
	}
}
