package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"net/url"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/resn"
)

// tolerance is how far in the future a publisher's timestamp may lie: clocks
// differ.
const tolerance = 2 * time.Second

// pushed is the body of a push.
type pushed struct {
	Type      *string         `json:"type"`
	URL       *string         `json:"url"`
	Timestamp *float64        `json:"timestamp"` // Ruby writes 1.6e12 as well as 1600000000000
	Data      json.RawMessage `json:"data"`
}

// push publishes one event. The answer comes when the bus has it safe.
func (g *Gateway) push(w http.ResponseWriter, r *http.Request, c client) error {
	topic := r.PathValue("topic")
	var p pushed
	if err := readJSON(r, &p); err != nil {
		return err
	}
	event, err := g.eventOf(topic, &p, time.Now())
	if err != nil {
		return err
	}
	if err := g.publish(r, c, topic, event); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// publish publishes events of a topic that belongs to the client, or to nobody
// yet.
func (g *Gateway) publish(r *http.Request, c client, topic string, events ...bus.Event) error {
	if err := g.authorize(r, c, Publish, topic); err != nil {
		return err
	}
	if err := g.claim(r, c, topic); err != nil {
		return err
	}
	if err := g.bus.Publish(r.Context(), topic, events...); err != nil {
		return err
	}
	g.events.add(topic, int64(len(events)))
	g.stats.published.Add(uint64(len(events)))
	return nil
}

// claim makes the client the topic's publisher if nobody is.
func (g *Gateway) claim(r *http.Request, c client, topic string) error {
	t, err := g.store.Topic(r.Context(), topic)
	if errors.Is(err, fs.ErrNotExist) || err == nil && t.Owner == "" {
		t, err = g.store.ClaimTopic(r.Context(), topic, c.ID)
	}
	if err != nil {
		return err
	}
	if t.Owner != c.ID {
		return &statusError{http.StatusForbidden, "topic claimed: another client publishes " + topic}
	}
	return nil
}

// eventOf makes a bus event of what was pushed.
func (g *Gateway) eventOf(topic string, p *pushed, now time.Time) (bus.Event, error) {
	if p.Type == nil || p.URL == nil {
		return bus.Event{}, bad("bad event: type and url are needed")
	}
	at, err := p.time(now)
	if err != nil {
		return bus.Event{}, err
	}
	if err := g.checkURL(*p.URL); err != nil {
		return bus.Event{}, err
	}
	notice := resn.Event{Topic: topic, Type: *p.Type, Href: *p.URL, Time: at}
	if err := notice.Validate(); err != nil {
		return bus.Event{}, bad("bad event: " + err.Error())
	}
	event := notice.CloudEvent(g.opts.Source)
	if len(p.Data) == 0 || string(p.Data) == "null" {
		p.Data = nil
	}
	stream, ok := g.opts.Streams[topic]
	switch {
	case ok:
		return streamEvent(event, *p.Type, p.Data, &stream)
	case p.Data == nil:
	case g.opts.Data == DataDropped:
		g.stats.dataDropped.Add(1)
	default:
		return bus.Event{}, bad("bad event: topic " + topic + " announces changes and carries no data; subscribers fetch the url instead")
	}
	return event, nil
}

// streamEvent gives the event of a stream topic its data.
func streamEvent(event bus.Event, kind string, data json.RawMessage, stream *StreamTopic) (bus.Event, error) {
	event.Type = streamPrefix + kind
	if data == nil {
		return event, nil
	}
	if trimmed := bytes.TrimSpace(data); trimmed[0] != '{' {
		return bus.Event{}, bad("bad event: data must be an object")
	}
	most := stream.MaxBytes
	or(&most, 1024)
	if len(data) > most {
		return bus.Event{}, bad(fmt.Sprintf("bad event: data has %d bytes; this topic takes %d", len(data), most))
	}
	event.DataContentType, event.Data = "application/json", data
	return event, nil
}

// time reads milliseconds since 1970; none is now.
func (p *pushed) time(now time.Time) (time.Time, error) {
	if p.Timestamp == nil {
		return now.UTC().Truncate(time.Millisecond), nil
	}
	ms := *p.Timestamp
	if ms != math.Trunc(ms) || ms < 0 || ms > float64(now.Add(tolerance).UnixMilli()) {
		return time.Time{}, bad("bad event: timestamp must be whole milliseconds since 1970, and not in the future")
	}
	return time.UnixMilli(int64(ms)).UTC(), nil
}

func (g *Gateway) checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" && (u.Scheme != "http" || !g.opts.AllowHTTP) {
		return bad("bad event: url is not HTTPS")
	}
	return nil
}

// topicInfo is a topic in GET /topics.
type topicInfo struct {
	Name      string  `json:"name"`
	Publisher *string `json:"publisher"`
	Events    int64   `json:"events"`
}

// listTopics names publishers, and doesn't show their tokens.
func (g *Gateway) listTopics(w http.ResponseWriter, r *http.Request, _ client) error {
	topics, err := g.store.Topics(r.Context())
	if err != nil {
		return err
	}
	names, err := g.names(r)
	if err != nil {
		return err
	}
	list := make([]topicInfo, len(topics))
	for i, t := range topics {
		list[i] = topicInfo{Name: t.Name, Events: t.Events + g.events.get(t.Name)}
		if t.Owner != "" {
			name := names[t.Owner]
			list[i].Publisher = &name
		}
	}
	return writeJSON(w, http.StatusOK, list)
}

// names returns how clients are shown, by ID.
func (g *Gateway) names(r *http.Request) (map[string]string, error) {
	tokens, err := g.store.Tokens(r.Context())
	names := make(map[string]string, len(tokens))
	for _, t := range tokens {
		names[t.ID] = t.Name
	}
	return names, err
}

// removeTopic gives a topic up. Subscribers are unsubscribed from it, and what
// is queued of it goes.
func (g *Gateway) removeTopic(w http.ResponseWriter, r *http.Request, c client) error {
	name := r.PathValue("topic")
	t, err := g.store.Topic(r.Context(), name)
	if errors.Is(err, fs.ErrNotExist) {
		return &statusError{http.StatusNotFound, "topic not found"}
	}
	if err != nil {
		return err
	}
	if !c.root && t.Owner != c.ID {
		return &statusError{http.StatusForbidden, "topic claimed: only its publisher may delete it"}
	}
	if err := g.store.RemoveTopic(r.Context(), name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := g.sync(r.Context()); err != nil {
		return err
	}
	return noContent(w)
}
