package natsbus

import (
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/goswale/swale/bus/driver"
)

// header writes a message's attributes as the NATS binding of CloudEvents does:
// "ce-" and the name, the value percent-encoded.
func header(m *driver.Message) nats.Header {
	if len(m.Attributes) == 0 {
		return nil
	}
	h := make(nats.Header, len(m.Attributes)+2)
	for _, a := range m.Attributes {
		h["ce-"+a.Name] = []string{escape(a.Value)}
	}
	if m.ContentType != "" {
		h["content-type"] = []string{m.ContentType}
	}
	return h
}

// message reads what came from NATS; its data belongs to the core from then on.
func message(m *nats.Msg) driver.Message {
	out := driver.Message{Body: m.Data}
	for name, values := range m.Header {
		if len(values) == 0 {
			continue
		}
		lower := strings.ToLower(name)
		if lower == "content-type" {
			out.ContentType = values[0]
		} else if attr, ok := strings.CutPrefix(lower, "ce-"); ok {
			for _, value := range values { // more than one different one are refused
				out.Attributes = append(out.Attributes, driver.Attribute{Name: attr, Value: unescape(value)})
			}
		}
	}
	return out
}

// escape percent-encodes what a header can't carry (HTTP binding section 3.1.3.2).
func escape(s string) string {
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = s[i] > 0x20 && s[i] < 0x7f && s[i] != '"' && s[i] != '%'
	}
	if plain {
		return s
	}
	const digits = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+16)
	for i := 0; i < len(s); i++ {
		if c := s[i]; c > 0x20 && c < 0x7f && c != '"' && c != '%' {
			b = append(b, c)
		} else {
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(b)
}

// unescape leaves alone what isn't an escape.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(n))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// place is where in a stream and consumer a delivered message stands.
type place struct {
	attempt  int
	stream   uint64 // its number in the stream
	consumer uint64 // its number in the consumer
	pending  uint64 // how many come behind it
}

// parsePlace reads the reply subject of a JetStream delivery:
// $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>,
// with a domain and account hash before the stream in the newer form.
func parsePlace(reply string) (p place, ok bool) {
	const prefix = "$JS.ACK."
	if !strings.HasPrefix(reply, prefix) {
		return p, false
	}
	skip := 2
	if strings.Count(reply, ".") > 8 {
		skip = 4
	}
	s := reply[len(prefix):]
	for ; skip > 0; skip-- {
		dot := strings.IndexByte(s, '.')
		if dot < 0 {
			return p, false
		}
		s = s[dot+1:]
	}
	var n [5]uint64
	for i := range n {
		value, more := uint64(0), 0
		for more < len(s) && s[more] != '.' {
			d := s[more] - '0'
			if d > 9 {
				return p, false
			}
			value = value*10 + uint64(d)
			more++
		}
		n[i] = value
		if more == len(s) {
			if i < len(n)-1 {
				return p, false
			}
			s = ""
		} else {
			s = s[more+1:]
		}
	}
	return place{attempt: int(n[0]), stream: n[1], consumer: n[2], pending: n[4]}, true
}
