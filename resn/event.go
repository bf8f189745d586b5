package resn

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/goswale/swale/bus"
)

// The kinds of change that a notice announces.
const (
	Create = "create"
	Update = "update"
	Delete = "delete"
	// Noop announces that a resource exists, and that nothing changed. It is
	// numbered like every notice and invalidates nothing.
	Noop = "noop"
)

// Limits on what is accepted from the bus, in bytes.
const (
	MaxHref  = 2048
	MaxETag  = 512
	MaxTopic = 128
)

// eventPrefix begins the CloudEvents type of every message of the protocol.
const eventPrefix = "resn."

// watermarkType is the CloudEvents type of a [Watermark].
const watermarkType = eventPrefix + "watermark"

// Names of the CloudEvents extension attributes.
const (
	extTopic    = "topic"
	extETag     = "etag"
	extSequence = "sequence"
	extEpoch    = "epoch"
)

// ErrNotice is wrapped by every error about a message that is not a
// well-formed notice or watermark.
var ErrNotice = errors.New("resn: not a notice")

// Event is a notice: it says that a resource changed, never what it became.
type Event struct {
	Topic string // the topic that the owner announces it on
	Type  string // Create, Update, Delete or Noop
	Href  string // the resource, an absolute http or https URL

	Time  time.Time // when it changed by the owner's clock; may be zero
	ETag  string    // the version it has now, as in its ETag field; may be empty
	Seq   uint64    // its number in the topic and epoch, from 1; 0 if unnumbered
	Epoch string    // what the number counts in; empty if unnumbered
}

// wireEvent is the JSON form. Time is formatted apart, because encoding/json
// would write the zero time.
type wireEvent struct {
	Topic string `json:"topic"`
	Type  string `json:"type"`
	Href  string `json:"href"`
	Time  string `json:"time,omitempty"`
	ETag  string `json:"etag,omitempty"`
	Seq   uint64 `json:"seq,omitempty"`
	Epoch string `json:"epoch,omitempty"`
}

// MarshalJSON writes the bare form of the notice.
func (e Event) MarshalJSON() ([]byte, error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	return json.Marshal(wireEvent{e.Topic, e.Type, e.Href, formatTime(e.Time), e.ETag, e.Seq, e.Epoch})
}

// UnmarshalJSON reads the bare form of a notice. Unknown members are ignored,
// so that notices may grow; anything else that [Event.Validate] rejects is an
// error that wraps [ErrNotice].
func (e *Event) UnmarshalJSON(data []byte) error {
	var w wireEvent
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("%w: %w", ErrNotice, err)
	}
	at, err := parseTime(w.Time)
	if err != nil {
		return err
	}
	got := Event{w.Topic, w.Type, w.Href, at, w.ETag, w.Seq, w.Epoch}
	if err := got.Validate(); err != nil {
		return err
	}
	*e = got
	return nil
}

// Validate says what is wrong with the notice, or nil. The error wraps
// [ErrNotice].
func (e Event) Validate() error {
	switch e.Type {
	case Create, Update, Delete, Noop:
	default:
		return fmt.Errorf("%w: type is %q; it must be create, update, delete or noop", ErrNotice, clip(e.Type))
	}
	if err := validTopic(e.Topic); err != nil {
		return err
	}
	if len(e.ETag) > MaxETag {
		return fmt.Errorf("%w: etag has %d bytes; at most %d are allowed", ErrNotice, len(e.ETag), MaxETag)
	}
	if (e.Seq == 0) != (e.Epoch == "") {
		return fmt.Errorf("%w: seq %d with epoch %q; a numbered notice has both, an unnumbered one neither", ErrNotice, e.Seq, clip(e.Epoch))
	}
	return validHref(e.Href)
}

// CloudEvent returns the notice as it travels on a bus. Source names the
// owner, as in CloudEvents. The notice has no payload.
func (e Event) CloudEvent(source string) bus.Event {
	ext := map[string]string{extTopic: e.Topic}
	if e.ETag != "" {
		ext[extETag] = e.ETag
	}
	if e.Seq != 0 {
		ext[extSequence], ext[extEpoch] = formatSequence(e.Seq), e.Epoch
	}
	return bus.Event{
		Source:     source,
		Type:       eventPrefix + e.Type,
		Subject:    e.Href,
		Time:       e.Time,
		Extensions: ext,
	}
}

// Watermark says that every change committed before Time has been announced
// on the topic, and that the last notice was number Seq.
type Watermark struct {
	Topic string
	Epoch string
	Seq   uint64    // 0 before the first notice
	Time  time.Time // by the owner's clock
}

// CloudEvent returns the watermark as it travels on a bus.
func (w Watermark) CloudEvent(source string) bus.Event {
	return bus.Event{
		Source:     source,
		Type:       watermarkType,
		Time:       w.Time,
		Extensions: map[string]string{extTopic: w.Topic, extSequence: formatSequence(w.Seq), extEpoch: w.Epoch},
	}
}

// message is what a topic carries: a notice or a watermark.
type message struct {
	notice      Event
	watermark   Watermark
	isWatermark bool
}

// parse reads what came over the bus on a topic. Nothing of it is trusted:
// the topic must be the one that it came on, and a notice has no payload.
func parse(topic string, ce *bus.Event) (message, error) {
	var m message
	switch {
	case ce.Type == watermarkType:
		m.isWatermark = true
		seq, err := parseSequence(ce.Extensions[extSequence])
		if err != nil {
			return m, err
		}
		m.watermark = Watermark{Topic: ce.Extensions[extTopic], Epoch: ce.Extensions[extEpoch], Seq: seq, Time: ce.Time}
		if m.watermark.Topic == "" {
			m.watermark.Topic = topic
		}
		if m.watermark.Topic != topic {
			return m, fmt.Errorf("%w: watermark of topic %q came on topic %q", ErrNotice, clip(m.watermark.Topic), topic)
		}
		if m.watermark.Epoch == "" || ce.Time.IsZero() {
			return m, fmt.Errorf("%w: watermark without epoch or time", ErrNotice)
		}
		return m, nil
	case len(ce.Type) > len(eventPrefix) && ce.Type[:len(eventPrefix)] == eventPrefix:
		if len(ce.Data) != 0 {
			return m, fmt.Errorf("%w: it has a payload of %d bytes; a notice has none", ErrNotice, len(ce.Data))
		}
		m.notice = Event{
			Topic: ce.Extensions[extTopic],
			Type:  ce.Type[len(eventPrefix):],
			Href:  ce.Subject,
			Time:  ce.Time,
			ETag:  ce.Extensions[extETag],
			Epoch: ce.Extensions[extEpoch],
		}
		if m.notice.Topic == "" {
			m.notice.Topic = topic
		}
		if s := ce.Extensions[extSequence]; s != "" {
			seq, err := parseSequence(s)
			if err != nil {
				return m, err
			}
			m.notice.Seq = seq
		}
		if err := m.notice.Validate(); err != nil {
			return m, err
		}
	case len(bytes.TrimSpace(ce.Data)) != 0:
		if err := m.notice.UnmarshalJSON(ce.Data); err != nil {
			return m, err
		}
	default:
		return m, fmt.Errorf("%w: CloudEvents type %q is unknown", ErrNotice, clip(ce.Type))
	}
	if m.notice.Topic != topic {
		return m, fmt.Errorf("%w: notice of topic %q came on topic %q", ErrNotice, clip(m.notice.Topic), topic)
	}
	return m, nil
}

// numbering reads the number of a message whose rest may be malformed, so
// that a notice that can't be applied still counts.
func numbering(ce *bus.Event) (epoch string, seq uint64) {
	seq, err := parseSequence(ce.Extensions[extSequence])
	if err != nil {
		return "", 0
	}
	return ce.Extensions[extEpoch], seq
}

// sequenceDigits is the width of a written number: the CloudEvents sequence
// extension asks for values whose lexical order is theirs.
const sequenceDigits = 20

func formatSequence(n uint64) string {
	var buf [sequenceDigits]byte
	for i := len(buf) - 1; i >= 0; i-- {
		buf[i] = byte('0' + n%10)
		n /= 10
	}
	return string(buf[:])
}

func parseSequence(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: sequence is %q; it must be a decimal number", ErrNotice, clip(s))
	}
	return n, nil
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: time is %q; it must be written as in RFC 3339", ErrNotice, clip(s))
	}
	return t, nil
}

// validTopic checks the grammar of a topic: what is safe both as a name on a
// bus and inside a quoted string of a header field.
func validTopic(topic string) error {
	if topic == "" || len(topic) > MaxTopic {
		return &topicError{fmt.Sprintf("topic has %d bytes; it must have 1 to %d", len(topic), MaxTopic)}
	}
	for i := range len(topic) {
		c := topic[i]
		letter := 'a' <= c && c <= 'z'
		inner := '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
		if !letter && (!inner || i == 0) {
			return &topicError{fmt.Sprintf("topic is %q; it must be lower-case letters, digits, '-', '_' and '.', and begin with a letter", clip(topic))}
		}
	}
	return nil
}

// topicError is about the name of a topic, which isn't always a notice's.
type topicError struct{ text string }

func (e *topicError) Error() string { return "resn: " + e.text }

func (*topicError) Is(target error) bool { return target == ErrNotice }

func validHref(href string) error {
	if len(href) > MaxHref {
		return fmt.Errorf("%w: href has %d bytes; at most %d are allowed", ErrNotice, len(href), MaxHref)
	}
	if plainHref(href) {
		return nil
	}
	u, err := url.Parse(href)
	switch {
	case err != nil:
		return fmt.Errorf("%w: href %q can't be parsed", ErrNotice, clip(href))
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("%w: href is %q; it must be an absolute http or https URL", ErrNotice, clip(href))
	case u.User != nil:
		return fmt.Errorf("%w: href %q carries user information; it may not", ErrNotice, clip(u.Redacted()))
	case u.Fragment != "":
		return fmt.Errorf("%w: href %q has a fragment; it names a part and not a resource", ErrNotice, clip(href))
	}
	return nil
}

// plainHref reports whether an href is well-formed at first sight, as nearly all
// are: a host in lower case and a path and query of characters that stand for
// themselves.
func plainHref(href string) bool {
	rest, ok := strings.CutPrefix(href, "https://")
	if !ok {
		if rest, ok = strings.CutPrefix(href, "http://"); !ok {
			return false
		}
	}
	host := true
	for i := range len(rest) {
		c := rest[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '.':
		case c == '/' || c == '?':
			if host && i == 0 {
				return false
			}
			host = false
		case host:
			return false // a port, an address, a name: worth a closer look
		case 'A' <= c && c <= 'Z', c == '_', c == '~', c == '=', c == '&', c == ',', c == '+', c == ':':
		default:
			return false
		}
	}
	return rest != ""
}

// clip keeps hostile input out of the length of errors and logs.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
