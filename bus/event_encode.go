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
	if err := e.Validate(); err != nil {
		return b, err
	}
	b = slices.Grow(b, 160+len(e.ID)+len(e.Source)+len(e.Type)+len(e.Subject)+len(e.Data)+32*len(e.Extensions))
	b = append(b, `{"specversion":"1.0","id":`...)
	b = appendString(b, e.ID)
	b = append(b, `,"source":`...)
	b = appendString(b, e.Source)
	b = append(b, `,"type":`...)
	b = appendString(b, e.Type)
	if e.Subject != "" {
		b = append(b, `,"subject":`...)
		b = appendString(b, e.Subject)
	}
	if !e.Time.IsZero() {
		b = append(b, `,"time":"`...)
		b = e.Time.AppendFormat(b, time.RFC3339Nano)
		b = append(b, '"')
	}
	if e.DataContentType != "" {
		b = append(b, `,"datacontenttype":`...)
		b = appendString(b, e.DataContentType)
	}
	if e.DataSchema != "" {
		b = append(b, `,"dataschema":`...)
		b = appendString(b, e.DataSchema)
	}
	b = appendExtensions(b, e.Extensions)
	if e.Data != nil {
		b = appendData(b, e.DataContentType, e.Data)
	}
	return append(b, '}'), nil
}

// appendExtensions writes the extensions in the order of their names, so that
// equal events are equal bytes.
func appendExtensions(b []byte, ext map[string]string) []byte {
	if len(ext) == 0 {
		return b
	}
	var space [8]string
	names := space[:0]
	for name := range ext {
		names = append(names, name)
	}
	if len(names) > 1 {
		slices.Sort(names)
	}
	for _, name := range names {
		b = append(b, ',', '"')
		b = append(b, name...) // checked: a-z and 0-9
		b = append(b, '"', ':')
		b = appendString(b, ext[name])
	}
	return b
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

// appendString appends s as a JSON string. s is valid UTF-8 where it came from
// Validate; data has been checked by its caller.
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
