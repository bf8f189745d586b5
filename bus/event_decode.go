package bus

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"
)

// UnmarshalJSON reads one event in the JSON event format of CloudEvents 1.0 and
// checks it. The event shares nothing with b. Numbers and booleans in extensions
// become their canonical strings.
func (e *Event) UnmarshalJSON(b []byte) error {
	return e.decode(bytes.Clone(b))
}

// UnmarshalBatch reads events in the JSON batch format of CloudEvents 1.0. One
// bad event makes the whole batch an error. The events share nothing with b.
func UnmarshalBatch(b []byte) ([]Event, error) {
	events, err := decodeBatch(bytes.Clone(b), math.MaxInt, nil)
	if errors.Is(err, errEmptyBatch) {
		err = nil
	}
	return events, err
}

// decodeBatch is UnmarshalBatch of bytes that belong to the events from then on,
// none of which may be longer than limit. It appends them to events, which is
// empty.
func decodeBatch(b []byte, limit int, events []Event) ([]Event, error) {
	p := parser{b: b, attrs: shared(b)}
	p.space()
	if !p.take('[') {
		return nil, invalid(errBrackets)
	}
	p.space()
	for !p.take(']') {
		if len(events) > 0 {
			if !p.take(',') {
				return nil, invalid(errBrackets)
			}
			p.space()
		}
		if len(events) == 1 { // most are about as long as the first
			events = slices.Grow(events, len(b)/max(p.i, 1))
		}
		events = append(events, Event{})
		p.special = false
		start := p.i
		err := p.event(&events[len(events)-1])
		if err == nil && p.i-start > limit {
			err = fmt.Errorf("%w: %d bytes, allowed are %d", ErrTooLarge, p.i-start, limit)
		}
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", len(events)-1, invalid(err))
		}
		p.space()
	}
	p.space()
	if p.i != len(p.b) {
		return nil, invalid(errBrackets)
	}
	if len(events) == 0 {
		return nil, errEmptyBatch
	}
	return events, nil
}

// decode reads b, which belongs to the event from then on: Data is a part of it
// where the format allows, and so are the attributes unless b is long.
func (e *Event) decode(b []byte) error {
	*e = Event{}
	p := parser{b: b}
	err := p.event(e)
	if p.space(); err == nil && p.i != len(p.b) {
		err = errSyntax
	}
	if err != nil {
		*e = Event{}
	}
	return invalid(err)
}

// invalid has every error wrap ErrInvalidEvent.
func invalid(err error) error {
	if err == nil || errors.Is(err, ErrInvalidEvent) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrInvalidEvent, err)
}

// parser walks over the members of one JSON object. It exists because decoding
// with encoding/json costs several times what moving the message does.
type parser struct {
	b []byte
	i int
	// attrs is b, or a copy of it up to the data, made once; attributes are parts
	// of it.
	attrs string
	// special says that a string held something else than printable ASCII.
	special bool
}

var (
	errSyntax   = errors.New("not a JSON object")
	errBrackets = errors.New("not a JSON array")
	errUTF8     = errors.New("not UTF-8")
)

func (p *parser) event(e *Event) error {
	p.space()
	if !p.take('{') {
		return errSyntax
	}
	var version string
	var data, data64 []byte
	var seen uint16
	once := func(bit uint16, name string) error {
		if seen&bit != 0 {
			return fmt.Errorf("%w: %s stands twice", ErrInvalidEvent, name)
		}
		seen |= bit
		return nil
	}
	p.space()
	first := true
	if p.literal(usualStart) {
		version, seen, first = SpecVersion, 1|2, false
		if err := p.usual(e, &seen); err != nil {
			return err
		}
		p.space()
	}
	for ; !p.take('}'); first = false {
		if !first {
			if !p.take(',') {
				return errSyntax
			}
			p.space()
		}
		name, err := p.str()
		if err != nil {
			return err
		}
		p.space()
		if !p.take(':') {
			return errSyntax
		}
		p.space()
		var dup error
		switch name {
		case "specversion":
			dup = once(1, name)
			version, err = p.attr(name)
		case "id":
			dup = once(2, name)
			e.ID, err = p.attr(name)
		case "source":
			dup = once(4, name)
			e.Source, err = p.attr(name)
		case "type":
			dup = once(8, name)
			e.Type, err = p.attr(name)
		case "subject":
			dup = once(16, name)
			e.Subject, err = p.attr(name)
		case "time":
			dup = once(32, name)
			var s string
			if s, err = p.attr(name); err == nil && s != "" {
				e.Time, err = time.Parse(time.RFC3339Nano, s)
			}
		case "datacontenttype":
			dup = once(64, name)
			e.DataContentType, err = p.attr(name)
		case "dataschema":
			dup = once(128, name)
			e.DataSchema, err = p.attr(name)
		case "data":
			dup = once(256, name)
			data, err = p.raw()
		case "data_base64":
			dup = once(512, name)
			data64, err = p.base64()
		default:
			var value string
			var set bool
			if value, set, err = p.extension(name); set && err == nil {
				before := len(e.Extensions)
				if e.SetExtension(name, value); len(e.Extensions) == before {
					dup = fmt.Errorf("%w: %s stands twice", ErrInvalidEvent, name)
				}
			}
		}
		if err == nil {
			err = dup
		}
		if err != nil {
			return err
		}
		p.space()
	}
	if version != SpecVersion {
		return fmt.Errorf("%w: specversion is %q, not %q", ErrInvalidEvent, version, SpecVersion)
	}
	if data != nil && data64 != nil {
		return fmt.Errorf("%w: both data and data_base64", ErrInvalidEvent)
	}
	if err := setData(e, data, data64); err != nil {
		return err
	}
	if p.special || e.DataSchema != "" || e.Time.Year() > 9999 {
		return e.Validate()
	}
	// The rest has been checked on the way: names of extensions, printable ASCII.
	if e.ID == "" || e.Source == "" || e.Type == "" {
		return missing(e)
	}
	return checkSource(e.Source)
}

// usualStart is how this package and others write an event's beginning.
const usualStart = `"specversion":"1.0","id":"`

// usual reads the id, and what follows in the order in which this package writes,
// without taking names and values apart one by one; the rest is left. It stands
// behind usualStart.
func (p *parser) usual(e *Event, seen *uint16) (err error) {
	if e.ID, err = p.unquoted(); err != nil {
		return err
	}
	for _, a := range [...]struct {
		name  string
		bit   uint16
		value *string
	}{
		{`,"source":"`, 4, &e.Source}, {`,"type":"`, 8, &e.Type}, {`,"subject":"`, 16, &e.Subject},
	} {
		if !p.literal(a.name) {
			continue
		}
		*seen |= a.bit
		if *a.value, err = p.unquoted(); err != nil {
			return err
		}
	}
	if p.literal(`,"time":"`) {
		*seen |= 32
		var s string
		if s, err = p.unquoted(); err == nil && s != "" {
			e.Time, err = time.Parse(time.RFC3339Nano, s)
		}
	}
	return err
}

// setData gives the event its data: JSON as it stands, or the text of a JSON
// string when the media type isn't JSON (JSON format section 3.1).
func setData(e *Event, data, data64 []byte) error {
	switch {
	case data64 != nil:
		e.Data = data64
	case data == nil:
	case isJSONType(e.DataContentType):
		e.Data = data
	case data[0] == '"':
		var s string
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
		e.Data = []byte(s)
	case string(data) != "null":
		e.Data = data
	}
	return nil
}

func (p *parser) space() {
	for p.i < len(p.b) {
		switch p.b[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

func (p *parser) take(c byte) bool {
	if p.i < len(p.b) && p.b[p.i] == c {
		p.i++
		return true
	}
	return false
}

// maxShared is up to how many bytes an event's attributes are parts of what was
// received. Of a longer one they are a copy: who keeps the subject of an event
// shall not keep its data.
const maxShared = 1024

// shared returns b as a string that shares its memory. Nobody changes b from then
// on but the one who was given Data, in which no attribute is.
func shared(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // as said
}

// text returns b[i:j] as a string.
func (p *parser) text(i, j int) string {
	if j > len(p.attrs) {
		if len(p.b) <= maxShared {
			p.attrs = shared(p.b)
			return p.attrs[i:j]
		}
		// Attributes after long data are rare, so the copy of a long event ends
		// where it must.
		end := len(p.b)
		if k := bytes.Index(p.b[j:], []byte(`"data"`)); k >= 0 {
			end = j + k
		} else if k := bytes.Index(p.b[j:], []byte(`"data_base64"`)); k >= 0 {
			end = j + k
		}
		p.attrs = string(p.b[:end])
	}
	return p.attrs[i:j]
}

// str reads a JSON string.
func (p *parser) str() (string, error) {
	if !p.take('"') {
		return "", errSyntax
	}
	return p.unquoted()
}

// unquoted reads a JSON string from behind its quote.
func (p *parser) unquoted() (string, error) {
	start := p.i
	n := bytes.IndexByte(p.b[start:], '"')
	if n < 0 {
		return "", errSyntax
	}
	end := start + n
	if simple(p.b[start:end]) {
		p.i = end + 1
		return p.text(start, end), nil
	}
	return p.unusual(start)
}

// unusual reads a JSON string that isn't simple text; start is after its quote.
func (p *parser) unusual(start int) (string, error) {
	p.special = true
	b := p.b
	for i := start; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			p.i = i + 1
			if !utf8.Valid(b[start:i]) {
				return "", errUTF8
			}
			return p.text(start, i), nil
		case c == '\\':
			return p.escaped(start)
		case c < 0x20:
			return "", errSyntax
		}
	}
	return "", errSyntax
}

// escaped reads a JSON string that holds escapes; start is after its quote.
func (p *parser) escaped(start int) (string, error) {
	for i := start; i < len(p.b); i++ {
		switch p.b[i] {
		case '\\':
			i++
		case '"':
			p.i = i + 1
			if s, ok := unquoted(p.b[start:i]); ok {
				return s, nil
			}
			part := p.b[start-1 : i+1]
			if !utf8.Valid(part) {
				return "", errUTF8
			}
			var s string
			if err := json.Unmarshal(part, &s); err != nil {
				return "", err
			}
			return s, nil
		}
	}
	return "", errSyntax
}

// unquoted undoes the escapes of ASCII that has no others than an entity tag has:
// of quotes, backslashes and slashes.
func unquoted(part []byte) (s string, ok bool) {
	var short [64]byte
	out := short[:0]
	for i := 0; i < len(part); i++ {
		c := part[i]
		switch {
		case c == '\\' && i+1 < len(part) && (part[i+1] == '"' || part[i+1] == '\\' || part[i+1] == '/'):
			i++
			c = part[i]
		case c == '\\', c < 0x20, c >= utf8.RuneSelf:
			return "", false
		}
		out = append(out, c)
	}
	return string(out), true
}

// attr reads the value of a context attribute, a string or null for unset.
func (p *parser) attr(name string) (string, error) {
	if p.literal("null") {
		return "", nil
	}
	if p.i < len(p.b) && p.b[p.i] != '"' {
		return "", fmt.Errorf("%w: %s is not a string", ErrInvalidEvent, name)
	}
	return p.str()
}

func (p *parser) literal(word string) bool {
	if len(p.b)-p.i >= len(word) && string(p.b[p.i:p.i+len(word)]) == word {
		p.i += len(word)
		return true
	}
	return false
}

// extension reads an extension's value: a string, a boolean, an integer, or
// null for unset.
func (p *parser) extension(name string) (value string, set bool, err error) {
	if !extensionName(name) {
		return "", false, badName(name)
	}
	switch {
	case p.literal("null"):
		return "", false, nil
	case p.literal("true"):
		return "true", true, nil
	case p.literal("false"):
		return "false", true, nil
	case p.i < len(p.b) && p.b[p.i] == '"':
		value, err = p.str()
		return value, true, err
	}
	start := p.i
	for p.i < len(p.b) && strings.IndexByte("-0123456789", p.b[p.i]) >= 0 {
		p.i++
	}
	if number := p.b[start:p.i]; len(number) > 0 && len(number) <= 11 && json.Valid(number) {
		return string(number), true, nil
	}
	return "", false, fmt.Errorf("%w: extension %s is neither string, boolean nor integer", ErrInvalidEvent, name)
}

// raw reads any JSON value and returns its bytes.
func (p *parser) raw() ([]byte, error) {
	start := p.i
	if err := p.skip(); err != nil {
		return nil, err
	}
	value := bytes.TrimRight(p.b[start:p.i:p.i], " \t\r\n")
	value = slices.Clip(value)
	if !json.Valid(value) {
		return nil, errors.New("data is not JSON")
	}
	return value, nil
}

// skip goes past one JSON value by counting brackets; json.Valid judges it.
func (p *parser) skip() error {
	depth := 0
	for p.i < len(p.b) {
		switch p.b[p.i] {
		case '"':
			p.i++
			for p.i < len(p.b) && p.b[p.i] != '"' {
				if p.b[p.i] == '\\' {
					p.i++
				}
				p.i++
			}
			if p.i >= len(p.b) {
				return errSyntax
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return nil
			}
			depth--
		case ',':
			if depth == 0 {
				return nil
			}
		}
		if c := p.b[p.i]; depth == 0 && (c == '}' || c == ']' || c == '"') {
			p.i++
			return nil
		}
		p.i++
	}
	return errSyntax
}

func (p *parser) base64() ([]byte, error) {
	if p.literal("null") {
		return nil, nil
	}
	text, err := p.quoted()
	if err != nil {
		return nil, err
	}
	b := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(b, text)
	if err != nil {
		return nil, fmt.Errorf("data_base64: %w", err)
	}
	return b[:n], nil
}

// quoted reads a JSON string whose bytes are looked at once only.
func (p *parser) quoted() ([]byte, error) {
	if start := p.i + 1; p.i < len(p.b) && p.b[p.i] == '"' {
		if n := bytes.IndexByte(p.b[start:], '"'); n >= 0 && simple(p.b[start:start+n]) {
			p.i = start + n + 1
			return p.b[start : start+n], nil
		}
	}
	s, err := p.str()
	return []byte(s), err
}
