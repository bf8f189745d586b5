package rabbitbus

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/goswale/swale/bus/driver"
)

func TestBindingsOfOthersAreRead(t *testing.T) {
	attributes := []driver.Attribute{{Name: "id", Value: "1"}, {Name: "specversion", Value: "1.0"}}
	for name, c := range map[string]struct {
		contentType string
		headers     amqp.Table
		want        []driver.Attribute
	}{
		"underscore":          {"text/plain", amqp.Table{"cloudEvents_specversion": "1.0", "cloudEvents_id": "1"}, attributes},
		"colon":               {"text/plain", amqp.Table{"cloudEvents:specversion": "1.0", "cloudEvents:id": "1"}, attributes},
		"ce_":                 {"", amqp.Table{"ce_specversion": "1.0", "ce_id": "1", "x-death": amqp.Table{}}, attributes},
		"ce-":                 {"", amqp.Table{"ce-specversion": "1.0", "ce-id": "1", "traceparent": "x"}, attributes},
		"structured wins":     {"application/cloudevents+json; charset=utf-8", amqp.Table{"cloudEvents_specversion": "1.0"}, nil},
		"no CloudEvent":       {"text/plain", amqp.Table{"cloudEvents_id": "1", "other": "x"}, nil},
		"a table for a value": {"", amqp.Table{"ce_specversion": amqp.Table{}}, nil},
	} {
		m := received(c.contentType, c.headers, []byte("body"))
		slices.SortFunc(m.Attributes, func(a, b driver.Attribute) int { return strings.Compare(a.Name, b.Name) })
		if diff := cmp.Diff(c.want, m.Attributes); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestTypedHeadersBecomeCanonicalStrings(t *testing.T) {
	for _, c := range []struct {
		in   any
		want string
	}{
		{"text", "text"}, {true, "true"}, {int32(-5), "-5"}, {int64(1 << 40), "1099511627776"}, {byte(7), "7"},
		{time.Date(2026, 11, 22, 1, 2, 3, 0, time.FixedZone("", 3600)), "2026-11-22T00:02:03Z"}, {[]byte("hi"), "aGk="},
	} {
		if got, ok := canonical(c.in); !ok || got != c.want {
			t.Errorf("CloudEvents 1.0 section 3.1: %v of type %T is written %q, got %q", c.in, c.in, c.want, got)
		}
	}
	if _, ok := canonical(1.5); ok {
		t.Error("CloudEvents has no type for floating point numbers")
	}
}

func TestMessagesReadAsWritten(t *testing.T) {
	for _, m := range []driver.Message{
		{ContentType: driver.ContentTypeEvent, Body: []byte(`{}`)},
		{ContentType: "text/plain", Attributes: []driver.Attribute{{Name: "specversion", Value: "1.0"}}, Body: []byte("x")},
	} {
		p := publishing(&m)
		if p.DeliveryMode != amqp.Persistent {
			t.Error("events must be persistent")
		}
		if diff := cmp.Diff(m, received(p.ContentType, p.Headers, p.Body)); diff != "" {
			t.Errorf("(-written +read):\n%s", diff)
		}
	}
}

func TestEventAsTheDataOfAnotherStaysBinary(t *testing.T) {
	m := driver.Message{ContentType: driver.ContentTypeEvent, Attributes: []driver.Attribute{{Name: "specversion", Value: "1.0"}}, Body: []byte(`{}`)}
	p := publishing(&m)
	got := received(p.ContentType, p.Headers, p.Body)
	want := driver.Attribute{Name: "datacontenttype", Value: driver.ContentTypeEvent}
	if got.ContentType != "" || !slices.Contains(got.Attributes, want) {
		t.Errorf("a dead letter in binary mode must not be taken for the event inside: %q, %v", got.ContentType, got.Attributes)
	}
}

func TestAttemptsComeFromTheQueue(t *testing.T) {
	for _, c := range []struct {
		d    amqp.Delivery
		want int
	}{
		{amqp.Delivery{}, 1},
		{amqp.Delivery{Redelivered: true}, 2},
		{amqp.Delivery{Redelivered: true, Headers: amqp.Table{"x-delivery-count": int64(4)}}, 5},
		{amqp.Delivery{Headers: amqp.Table{"x-delivery-count": int64(-4)}}, 1},
	} {
		if got := attempt(&c.d); got != c.want {
			t.Errorf("attempt of %+v is %d, got %d", c.d.Headers, c.want, got)
		}
	}
}

func TestNamesFitIntoAMQP(t *testing.T) {
	n := names{"swale"}
	long := strings.Repeat("t", 128)
	a, b := n.queue(long, long+"a"), n.queue(long, long+"b")
	if len(a) > 255 || a == b {
		t.Errorf("long names must fit and stay apart: %d bytes, the same: %t", len(a), a == b)
	}
	if n.queue("a.b", "c") == n.queue("a", "b.c") {
		t.Error("topic and group must stay apart in a queue's name")
	}
}
