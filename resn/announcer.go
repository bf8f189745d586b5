package resn

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goswale/swale/bus"
)

// Announcer makes an owner's notices, for an outbox for example, and refuses what
// readers would reject and what isn't the owner's to say.
//
//	notices := resn.Announcer{Topic: "restaurants", Origins: []string{"https://api.example"}}
//	e, err := notices.Notice(resn.Event{Type: resn.Update, Href: href, ETag: etag})
//	…
//	err = box.Append(ctx, tx, "restaurants", e)
type Announcer struct {
	// Topic is the topic; a notice that names none is given it.
	Topic string

	// Source names the owner in CloudEvents. Default "/" and the topic.
	Source string

	// Origins are those whose resources the owner announces, such as
	// "https://api.example", by which readers read. A notice of any other is refused. Default: any,
	// which is enough where hrefs are made of configuration. Name them where an
	// href is made of a request: a client that sends a Host header of its own would
	// have that address announced, and nobody told of the true one.
	Origins []string
}

// Notice returns the notice as it travels. It has no payload, whatever is
// announced. The error wraps [ErrNotice].
func (a *Announcer) Notice(e Event) (bus.Event, error) {
	if e.Topic == "" {
		e.Topic = a.Topic
	}
	if err := a.check(&e); err != nil {
		return bus.Event{}, err
	}
	source := a.Source
	if source == "" {
		source = "/" + a.Topic
	}
	return e.CloudEvent(source), nil
}

func (a *Announcer) check(e *Event) error {
	if e.Topic != a.Topic {
		return fmt.Errorf("%w: topic is %q; this owner announces %q", ErrNotice, clip(e.Topic), a.Topic)
	}
	if err := e.Validate(); err != nil {
		return err
	}
	if err := validTag(e.ETag); err != nil {
		return err
	}
	if len(a.Origins) == 0 {
		return nil
	}
	at, err := parseHref(e.Href)
	if err != nil {
		return err
	}
	if !slices.Contains(a.Origins, at.origin) && !slices.ContainsFunc(a.Origins, at.isOf) {
		return fmt.Errorf("%w: href %q is of origin %s; allowed are %q", ErrNotice, clip(e.Href), at.origin, a.Origins)
	}
	return nil
}

// isOf reports whether an origin, however it is spelled, is the href's.
func (at hrefParts) isOf(origin string) bool {
	own, err := parseHref(origin)
	return err == nil && own.path == "/" && own.origin == at.origin
}

// validTag checks an entity tag (RFC 9110 section 8.8.3): what no ETag field can
// have would name a version that no response is.
func validTag(tag string) error {
	opaque := strings.TrimPrefix(tag, "W/")
	if tag == "" || len(opaque) > 1 && opaque[0] == '"' && opaque[len(opaque)-1] == '"' {
		return nil
	}
	return fmt.Errorf("%w: etag is %s; it must be as in the ETag field, with its quotes: %q", ErrNotice, clip(tag), strings.Trim(opaque, `"`))
}

// Watermarks makes the watermarks of an outbox's relay, in the name of the source:
//
//	relay := outbox.NewRelay(box, b, &outbox.RelayOptions{
//		Topics:    []string{"restaurants"},
//		Watermark: resn.Watermarks[outbox.Watermark]("/restaurants"),
//	})
//
// W is package outbox's Watermark, which this package doesn't know.
func Watermarks[W ~struct {
	Epoch    string
	Sequence uint64
	Time     time.Time
}](source string,
) func(topic string, w W) bus.Event {
	return func(topic string, w W) bus.Event {
		m := struct {
			Epoch    string
			Sequence uint64
			Time     time.Time
		}(w)
		return Watermark{Topic: topic, Epoch: m.Epoch, Seq: m.Sequence, Time: m.Time}.CloudEvent(source)
	}
}
