package bus

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrInvalidEvent is wrapped by every error that says that an event breaks a
// rule of CloudEvents 1.0.
var ErrInvalidEvent = errors.New("invalid event")

// maxExtensionName is generous: the specification advises at most 20.
const maxExtensionName = 64

// Validate checks the event against CloudEvents 1.0 section 3 and returns an
// error that wraps ErrInvalidEvent and names the attribute.
func (e *Event) Validate() error {
	if err := e.checkRest(); err != nil {
		return err
	}
	for name := range e.Extensions {
		if !extensionName(name) {
			return badName(name)
		}
	}
	return e.checkStrings()
}

func badName(name string) error {
	return fmt.Errorf("%w: extension name %q is not made of a-z and 0-9", ErrInvalidEvent, name)
}

// checkRest checks everything but the characters of strings and the names of
// extensions.
func (e *Event) checkRest() error {
	if e.ID == "" || e.Source == "" || e.Type == "" {
		return missing(e)
	}
	if err := checkSource(e.Source); err != nil {
		return err
	}
	if e.DataSchema != "" {
		if u, err := url.Parse(e.DataSchema); err != nil || !u.IsAbs() {
			return fmt.Errorf("%w: dataschema %q is not an absolute URI", ErrInvalidEvent, e.DataSchema)
		}
	}
	if !e.Time.IsZero() {
		if err := checkTime(e.Time); err != nil {
			return err
		}
	}
	return nil
}

// checkTime refuses what RFC 3339 can't write, such as offsets of seconds.
func checkTime(t time.Time) error {
	if y := t.Year(); y < 0 || y > 9999 {
		return fmt.Errorf("%w: time has the year %d, which RFC 3339 cannot write", ErrInvalidEvent, y)
	}
	if t.Location() == time.UTC {
		return nil
	}
	if _, off := t.Zone(); off%60 != 0 || off <= -24*3600 || off >= 24*3600 {
		return fmt.Errorf("%w: time has an offset of %d s, which RFC 3339 cannot write", ErrInvalidEvent, off)
	}
	return nil
}

// checkStrings checks the characters of every attribute.
func (e *Event) checkStrings() error {
	for _, a := range [...]struct{ name, value string }{
		{"id", e.ID}, {"source", e.Source}, {"type", e.Type}, {"subject", e.Subject},
		{"datacontenttype", e.DataContentType}, {"dataschema", e.DataSchema},
	} {
		if !plain(a.value) {
			return fmt.Errorf("%w: %s holds a control character or is not UTF-8", ErrInvalidEvent, a.name)
		}
	}
	for name, value := range e.Extensions {
		if !plain(value) {
			return fmt.Errorf("%w: extension %s holds a control character or is not UTF-8", ErrInvalidEvent, name)
		}
	}
	return nil
}

// checkSource refuses what is in no URI-reference. It is on the hot path, so that
// it leaves the rest of that grammar to those who resolve the source.
func checkSource(source string) error {
	for i := 0; i < len(source); i++ {
		switch source[i] {
		case ' ', '<', '>', '"':
			return fmt.Errorf("%w: source %q is not a URI-reference", ErrInvalidEvent, source)
		}
	}
	return nil
}

func missing(e *Event) error {
	var names []string
	for _, a := range [...]struct{ name, value string }{{"id", e.ID}, {"source", e.Source}, {"type", e.Type}} {
		if a.value == "" {
			names = append(names, a.name)
		}
	}
	return fmt.Errorf("%w: no %s", ErrInvalidEvent, strings.Join(names, ", no "))
}

// plain reports whether s is a CloudEvents String: UTF-8 without control
// characters and noncharacters (section 3.1).
func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < 0x20 || c >= 0x7f {
			return plainSlow(s[i:])
		}
	}
	return true
}

func plainSlow(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r < 0x20 || r >= 0x7f && r <= 0x9f || r >= 0xfdd0 && r <= 0xfdef || r&0xfffe == 0xfffe {
			return false
		}
	}
	return true
}

// extensionName reports whether name may name an extension: a-z and 0-9, and
// not an attribute that the specification defines.
func extensionName(name string) bool {
	if name == "" || len(name) > maxExtensionName {
		return false
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	switch name {
	case "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data":
		return false
	}
	return true
}
