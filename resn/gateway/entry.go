package gateway

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/resn"
)

// streamPrefix begins the CloudEvents type of what was pushed to a stream topic.
const streamPrefix = "stream."

// entry is what an event says, as Routemaster writes it.
type entry struct {
	Topic, Type, URL string
	Time             time.Time
	Data             json.RawMessage
}

// wireEntry is the JSON form in a batch.
type wireEntry struct {
	Topic string          `json:"topic"`
	Type  string          `json:"type"`
	URL   string          `json:"url"`
	T     int64           `json:"t"`
	Data  json.RawMessage `json:"data,omitempty"`
}

// size is about what the entry takes in a request.
func (e *entry) size() int { return 160 + len(e.Topic) + len(e.URL) + len(e.Data) }

// read returns what an event from the bus says, and whether it is for a
// subscriber to these types. A watermark has no Type.
func (g *Gateway) read(topic string, ce *bus.Event, types []string) (e entry, wanted bool) {
	if stream, ok := g.opts.Streams[topic]; ok {
		return readStream(topic, ce, &stream, types)
	}
	notice, _, err := resn.Decode(topic, ce)
	if err != nil {
		// Others may publish other things on the topic; they aren't for those who
		// were promised notices.
		g.log.Debug("skipped what is no notice", "topic", topic, "error", err)
		return entry{Topic: topic, Type: "?"}, false
	}
	if len(ce.Data) > 0 { // bare, inside of an event
		id := ce.ID
		*ce = notice.CloudEvent(ce.Source)
		ce.ID = id
	}
	e = entry{Topic: topic, Type: notice.Type, URL: notice.Href, Time: notice.Time}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	return e, e.Type != "" && wants(types, e.Type)
}

func readStream(topic string, ce *bus.Event, stream *StreamTopic, types []string) (entry, bool) {
	e := entry{Topic: topic, URL: ce.Subject, Time: ce.Time, Data: ce.Data}
	e.Type, _ = strings.CutPrefix(ce.Type, streamPrefix)
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if !json.Valid(e.Data) {
		e.Data = nil // only CloudEvents can carry it
	}
	age := stream.MaxAge
	or(&age, time.Hour)
	return e, wants(types, e.Type) && time.Since(e.Time) <= age
}

func wants(types []string, kind string) bool { return len(types) == 0 || slices.Contains(types, kind) }
