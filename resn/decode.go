package resn

import "github.com/goswale/swale/bus"

// Decode reads what came over the bus on a topic, for those who look at the
// messages themselves, as a gateway does: a notice, bare or as a CloudEvent, or
// a watermark. The other of the two is zero; a notice has a Type. Nothing of ce
// is trusted: what isn't well-formed, names another topic, or is a notice with
// a payload, is an error that wraps [ErrNotice].
func Decode(topic string, ce *bus.Event) (Event, Watermark, error) {
	m, err := parse(topic, ce)
	if err != nil {
		return Event{}, Watermark{}, err
	}
	return m.notice, m.watermark, nil
}
