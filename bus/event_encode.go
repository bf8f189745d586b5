package bus

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// MarshalJSON returns the event in the JSON event format of CloudEvents 1.0.
// Data that is JSON by its media type stands as it is in "data", text stands as a
// string, anything else in "data_base64", so that decoding gives the same bytes.
func (e Event) MarshalJSON() ([]byte, error) { return e.AppendJSON(nil) }

// AppendJSON appends what MarshalJSON returns to b.
func (e *Event) AppendJSON(b []byte) ([]byte, error) {
	var space [8]extension
	ext, err := e.sorted(space[:0])
	if err == nil {
		err = e.checkRest()
	}
	if err != nil {
		return b, err
	}
	w := writer{b: slices.Grow(b, 160+len(e.ID)+len(e.Source)+len(e.Type)+len(e.Subject)+len(e.Data)+32*len(e.Extensions))}
	w.attr(`{"specversion":"1.0","id":"`, e.ID)
	w.attr(`,"source":"`, e.Source)
	w.attr(`,"type":"`, e.Type)
	if e.Subject != "" {
		w.attr(`,"subject":"`, e.Subject)
	}
	if !e.Time.IsZero() {
		w.b = append(w.b, `,"time":"`...)
		w.b = e.Time.AppendFormat(w.b, time.RFC3339Nano)
		w.b = append(w.b, '"')
	}
	if e.DataContentType != "" {
		w.attr(`,"datacontenttype":"`, e.DataContentType)
	}
	if e.DataSchema != "" {
		w.attr(`,"dataschema":"`, e.DataSchema)
	}
	for _, x := range ext {
		w.b = append(w.b, ',', '"')
		w.b = append(w.b, x.name...)
		w.attr(`":"`, x.value)
	}
	if w.special {
		if err := e.checkStrings(); err != nil {
			return b, err
		}
	}
	if e.Data != nil {
		w.b = appendData(w.b, e.DataContentType, e.Data)
	}
	return append(w.b, '}'), nil
}

// writer appends attributes.
type writer struct {
	b []byte
	// special says that a value held something else than simple text, and so has
	// to be checked.
	special bool
}

// attr appends a member; before ends with the quote that opens its value.
func (w *writer) attr(before, value string) {
	b := append(w.b, before...)
	start := len(b)
	b = append(b, value...)
	if simple(b[start:]) {
		w.b = append(b, '"')
		return
	}
	w.special = true
	w.b = appendString(b[:start-1], value)
}

type extension struct{ name, value string }

// sorted appends the extensions in the order of their names, so that equal events
// are equal bytes, and checks the names.
func (e *Event) sorted(all []extension) ([]extension, error) {
	for name, value := range e.Extensions {
		if !extensionName(name) {
			return nil, badName(name)
		}
		all = append(all, extension{name, value})
		for i := len(all) - 1; i > 0 && all[i-1].name > name; i-- {
			all[i-1], all[i] = all[i], all[i-1]
		}
	}
	return all, nil
}

func appendData(b []byte, contentType string, data []byte) []byte {
	switch {
	case isJSONType(contentType) && json.Valid(data):
		b = append(b, `,"data":`...)
		return append(b, data...)
	case isTextType(contentType) && utf8.Valid(data):
		b = append(b, `,"data":`...)
		return appendString(b, string(data))
	}
	b = append(b, `,"data_base64":"`...)
	b = base64.StdEncoding.AppendEncode(b, data)
	return append(b, '"')
}

// isJSONType reports whether data of that media type is JSON. None means JSON in
// the JSON format (CloudEvents JSON format 1.0 section 3.1).
func isJSONType(contentType string) bool {
	if contentType == "" || contentType == "application/json" {
		return true
	}
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	return media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json")
}

func isTextType(contentType string) bool {
	return len(contentType) > 5 && strings.EqualFold(contentType[:5], "text/")
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. That s is UTF-8 is checked by its
// callers.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// MarshalBatch returns the events in the JSON batch format of CloudEvents 1.0.
func MarshalBatch(events []Event) ([]byte, error) {
	b := []byte{'['}
	for i := range events {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = events[i].AppendJSON(b); err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
	}
	return append(b, ']'), nil
}
