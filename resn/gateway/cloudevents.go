package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/driver"
	"github.com/goswale/swale/resn"
)

// Media types of the JSON event format.
const (
	mediaEvent = driver.ContentTypeEvent
	mediaBatch = driver.ContentTypeBatch
)

// handshake answers the validation request of those who would deliver events
// here (HTTP 1.1 Web Hooks for Event Delivery, section 4). Whoever may deliver
// has a token, so every origin is welcome to try.
func (g *Gateway) handshake(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Allow", "OPTIONS, POST")
	if origin := r.Header.Get("WebHook-Request-Origin"); origin != "" {
		w.Header().Set("WebHook-Allowed-Origin", origin)
		rate := "*"
		if g.opts.AllowedRate > 0 {
			rate = strconv.Itoa(g.opts.AllowedRate)
		}
		w.Header().Set("WebHook-Allowed-Rate", rate)
	}
	return noContent(w)
}

// receive publishes CloudEvents, in binary, structured or batch mode.
func (g *Gateway) receive(w http.ResponseWriter, r *http.Request, c client) error {
	if !g.rates.allow(c.ID, time.Now()) {
		return &statusError{http.StatusTooManyRequests, "more requests a minute than WebHook-Allowed-Rate says"}
	}
	topic := r.PathValue("topic")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	events, err := readEvents(r.Header, body)
	if err != nil {
		return err
	}
	for i := range events {
		if err := g.checkEvent(topic, &events[i]); err != nil {
			return err
		}
	}
	if len(events) > 0 {
		if err := g.publish(r, c, topic, events...); err != nil {
			return err
		}
	}
	return noContent(w)
}

// readEvents reads the events of a request in the mode that its media type
// says.
func readEvents(header http.Header, body []byte) ([]bus.Event, error) {
	contentType := header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil && contentType != "" {
		return nil, &statusError{http.StatusUnsupportedMediaType, "the media type can't be read"}
	}
	var events []bus.Event
	switch {
	case media == mediaBatch:
		events, err = bus.UnmarshalBatch(body)
	case media == mediaEvent:
		events = make([]bus.Event, 1)
		err = json.Unmarshal(body, &events[0])
	case strings.HasPrefix(media, "application/cloudevents"):
		return nil, &statusError{http.StatusUnsupportedMediaType, "of the event formats only JSON is understood"}
	default:
		events = make([]bus.Event, 1)
		events[0], err = readBinary(header, body)
	}
	if err != nil {
		return nil, bad("bad event: " + err.Error())
	}
	return events, nil
}

// checkEvent checks that an event is what the topic is for.
func (g *Gateway) checkEvent(topic string, e *bus.Event) error {
	if stream, ok := g.opts.Streams[topic]; ok {
		most := stream.MaxBytes
		or(&most, 1024)
		if len(e.Data) > most {
			return bad(fmt.Sprintf("bad event: data has %d bytes; this topic takes %d", len(e.Data), most))
		}
		return checkTopic(topic)
	}
	if g.opts.Data == DataDropped && strings.HasPrefix(e.Type, "resn.") && len(e.Data) > 0 {
		e.Data, e.DataContentType, e.DataSchema = nil, "", ""
		g.stats.dataDropped.Add(1)
	}
	notice, _, err := resn.Decode(topic, e)
	if err != nil {
		return bad("bad event: " + err.Error())
	}
	if notice.Type == "" {
		// Who numbers a topic does so with an outbox beside its data.
		return bad("bad event: watermarks are not taken over HTTP")
	}
	if notice.Seq != 0 {
		return bad("bad event: numbered notices are not taken over HTTP")
	}
	return g.checkURL(notice.Href)
}

func checkTopic(topic string) error {
	if err := (resn.Event{Topic: topic, Type: resn.Noop, Href: "https://localhost/"}).Validate(); err != nil {
		return bad(err.Error())
	}
	return nil
}

// readBinary reads an event in binary mode (CloudEvents HTTP binding 1.0.2,
// section 3.1).
func readBinary(header http.Header, body []byte) (bus.Event, error) {
	m := driver.Message{ContentType: header.Get("Content-Type"), Body: body}
	for name, values := range header {
		attribute, ok := strings.CutPrefix(strings.ToLower(name), "ce-")
		if !ok {
			continue
		}
		if len(values) != 1 {
			return bus.Event{}, fmt.Errorf("header %s stands more than once", name)
		}
		value := values[0]
		if attribute != "etag" { // the quotes of an entity tag are its own
			value = unquote(value)
		}
		// Some senders, the SDK for Go among them, don't encode what they should.
		if decoded, err := url.PathUnescape(value); err == nil {
			value = decoded
		}
		if attribute == "datacontenttype" || attribute == "data" {
			return bus.Event{}, fmt.Errorf("header %s is not one of CloudEvents", name)
		}
		m.Attributes = append(m.Attributes, driver.Attribute{Name: attribute, Value: value})
	}
	if len(m.Attributes) == 0 {
		return bus.Event{}, errors.New("no CloudEvent: neither a media type of CloudEvents nor ce- headers")
	}
	return bus.FromMessage(m)
}

// unquote takes double quotes off a header's value, which receivers must.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' && i+1 < len(s)-1 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// writeBinary writes an event in binary mode and returns the body.
func writeBinary(header http.Header, e *bus.Event) ([]byte, error) {
	m, err := bus.ToBinary(*e)
	if err != nil {
		return nil, err
	}
	for _, a := range m.Attributes {
		header.Set("ce-"+a.Name, escape(a.Value))
	}
	if m.ContentType != "" {
		header.Set("Content-Type", m.ContentType)
	}
	return m.Body, nil
}

// escape percent-encodes what section 3.1.3.2 says: space, quote, percent, and
// all that isn't printable ASCII.
func escape(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c > 0x20 && c < 0x7f && c != '"' && c != '%' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

// greet asks a callback whether it wants events from here (section 4.1), and
// returns how many requests a minute it takes, 0 for as many as there are.
func (g *Gateway) greet(ctx context.Context, s *Subscription) (rate int, err error) {
	ctx, cancel := context.WithTimeout(ctx, g.opts.Callbacks.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodOptions, s.Callback, http.NoBody)
	if err != nil {
		return 0, err
	}
	credential, err := g.secrets.open(s.Subscriber, s.Credential)
	if err != nil {
		return 0, err
	}
	if credential != "" {
		req.Header.Set("Authorization", "Bearer "+credential)
	}
	req.Header.Set("WebHook-Request-Origin", g.opts.Origin)
	req.Header.Set("User-Agent", "swale-gateway")
	resp, err := g.client.Do(req)
	if err != nil {
		g.log.Info("handshake failed", "subscriber", s.Subscriber, "error", withoutURL(err))
		// Why is not for those who would explore the network by it.
		return 0, errors.New("it can't be reached from here")
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return 0, fmt.Errorf("it answers OPTIONS with %d", resp.StatusCode)
	}
	if origin := resp.Header.Get("WebHook-Allowed-Origin"); origin != "*" && !strings.EqualFold(origin, g.opts.Origin) {
		return 0, fmt.Errorf("WebHook-Allowed-Origin is %.80q and not %q", origin, g.opts.Origin)
	}
	allowed := resp.Header.Get("WebHook-Allowed-Rate")
	if allowed == "" || allowed == "*" {
		return 0, nil
	}
	if rate, err = strconv.Atoi(allowed); err != nil || rate <= 0 {
		return 0, fmt.Errorf("WebHook-Allowed-Rate is %.80q; it must be a number of requests a minute", allowed)
	}
	return rate, nil
}
