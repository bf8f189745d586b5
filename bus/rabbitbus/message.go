package rabbitbus

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/goswale/swale/bus/driver"
)

// prefix begins the headers that carry context attributes. The binding for AMQP
// 1.0 names "cloudEvents_" and "cloudEvents:"; the first may also stand in JMS.
const prefix = "cloudEvents_"

// prefixes are those that others write.
var prefixes = [...]string{prefix, "cloudEvents:", "ce_", "ce-"}

// structured begins the content types of structured mode and of batches.
const structured = "application/cloudevents"

// publishing writes a message in the form of AMQP 0-9-1: persistent, structured
// mode by its content type, binary mode with the attributes as headers.
func publishing(m *driver.Message) amqp.Publishing {
	p := amqp.Publishing{ContentType: m.ContentType, DeliveryMode: amqp.Persistent, MessageId: m.ID, Body: m.Body}
	if len(p.MessageId) > 255 {
		p.MessageId = "" // a short string; the event has its id in any case
	}
	if len(p.ContentType) > 255 {
		p.ContentType = ""
	}
	if len(m.Attributes) > 0 {
		p.Headers = make(amqp.Table, len(m.Attributes))
		for _, a := range m.Attributes {
			p.Headers[prefix+a.Name] = a.Value
		}
		if strings.HasPrefix(m.ContentType, structured) {
			// An event as another one's data: as the message's content type it would
			// say that the message is that event.
			p.ContentType, p.Headers[prefix+"datacontenttype"] = "", m.ContentType
		}
	}
	return p
}

// received reads a message from anybody.
func received(contentType string, headers amqp.Table, body []byte) driver.Message {
	m := driver.Message{ContentType: contentType, Body: body}
	if len(headers) == 0 || strings.HasPrefix(contentType, structured) {
		return m
	}
	version := false
	for key, value := range headers {
		for _, p := range prefixes {
			name, ok := strings.CutPrefix(key, p)
			if !ok {
				continue
			}
			if text, ok := canonical(value); ok {
				m.Attributes = append(m.Attributes, driver.Attribute{Name: name, Value: text})
				version = version || name == "specversion"
			}
			break
		}
	}
	if !version {
		m.Attributes = nil
	}
	return m
}

// canonical writes a header's value as CloudEvents 1.0 section 3.1 does.
func canonical(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), true
	case []byte:
		return base64.StdEncoding.EncodeToString(v), true
	}
	if n, ok := integer(v); ok {
		return strconv.FormatInt(n, 10), true
	}
	return "", false
}

// integer reads any of the integers of an AMQP table.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int8:
		return int64(v), true
	case int16:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	case byte:
		return int64(v), true
	}
	return 0, false
}

// attempt reads how often the broker delivered this message.
func attempt(d *amqp.Delivery) int {
	if n, ok := integer(d.Headers["x-delivery-count"]); ok && n >= 0 && n < 1<<30 {
		return int(n) + 1
	}
	if d.Redelivered {
		return 2
	}
	return 1
}
