package resn

import (
	"fmt"
	"net/url"
	"slices"
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
	// "https://api.example". A notice of any other is refused. Default: any.
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
	if len(a.Origins) == 0 {
		return nil
	}
	u, err := url.Parse(e.Href)
	if err != nil {
		return fmt.Errorf("%w: href %q can't be parsed", ErrNotice, clip(e.Href))
	}
	if own := u.Scheme + "://" + u.Host; !slices.Contains(a.Origins, own) {
		return fmt.Errorf("%w: href %q is of origin %s; allowed are %q", ErrNotice, clip(e.Href), own, a.Origins)
	}
	return nil
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
