package bus

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// UnmarshalJSON reads one event in the JSON event format of CloudEvents 1.0 and
// checks it. The event shares nothing with b. Numbers and booleans in extensions
// become their canonical strings.
func (e *Event) UnmarshalJSON(b []byte) error {
	return e.decode(bytes.Clone(b))
}

// UnmarshalBatch reads events in the JSON batch format of CloudEvents 1.0. One
// bad event makes the whole batch an error.
func UnmarshalBatch(b []byte) ([]Event, error) {
	var raws []json.RawMessage
	if err := json.Unmarshal(b, &raws); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidEvent, err)
	}
	events := make([]Event, len(raws))
	for i, raw := range raws {
		if err := events[i].decode(raw); err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
	}
	return events, nil
}

// decode reads b, which belongs to the event from then on: Data is a part of it
// where the format allows. Attributes are parts of one string copy.
func (e *Event) decode(b []byte) error {
	*e = Event{}
	p := parser{b: b}
	if err := p.event(e); err != nil {
		*e = Event{}
		if errors.Is(err, ErrInvalidEvent) {
			return err
		}
		return fmt.Errorf("%w: %w", ErrInvalidEvent, err)
	}
	return nil
}

// parser walks over the members of one JSON object. It exists because decoding
// with encoding/json costs several times what moving the message does.
type parser struct {
	b []byte
	i int
	// attrs is a copy of b up to the data, made once; attributes are parts of it.
	attrs string
	// special says that a string held something else than printable ASCII.
	special bool
}

var (
	errSyntax = errors.New("not a JSON object")
	errUTF8   = errors.New("not UTF-8")
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
	for first := true; !p.take('}'); first = false {
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
				if _, twice := e.Extensions[name]; twice {
					dup = fmt.Errorf("%w: %s stands twice", ErrInvalidEvent, name)
				}
				e.SetExtension(name, value)
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
	p.space()
	if p.i != len(p.b) {
		return errSyntax
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

// text returns b[i:j] as a string without copying it again.
func (p *parser) text(i, j int) string {
	if j > len(p.attrs) {
		// Attributes after the data are rare, so the copy ends where it must.
		end := len(p.b)
		if k := bytes.Index(p.b[j:], []byte(`"data`)); k >= 0 {
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
	start := p.i
	high := false
	b := p.b
	for i := start; i < len(b); i++ {
		c := b[i]
		if c != '"' && c != '\\' && c-0x20 < 0x7f-0x20 {
			continue
		}
		switch {
		case c == '"':
			p.i = i + 1
			if high && !utf8.Valid(b[start:i]) {
				return "", errUTF8
			}
			return p.text(start, i), nil
		case c == '\\':
			p.special = true
			return p.escaped(start)
		case c < 0x20:
			return "", errSyntax
		default:
			high, p.special = true, true
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
		return "", false, fmt.Errorf("%w: extension name %q is not made of a-z and 0-9", ErrInvalidEvent, name)
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
	s, err := p.str()
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, base64.StdEncoding.DecodedLen(len(s)))
	b, err = base64.StdEncoding.AppendDecode(b, []byte(s))
	if err != nil {
		return nil, fmt.Errorf("data_base64: %w", err)
	}
	return b, nil
}
