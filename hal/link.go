package hal

import (
	"bytes"

	"github.com/goswale/swale/hal/internal/rawjson"
)

// Link is a link object of draft-kelly-json-hal section 5, with every
// property that the draft defines. Its zero value means "no link"; in a struct
// of links give optional relations the tag omitzero.
type Link struct {
	// Href is a URI (RFC 3986), or a URI template (RFC 6570) when Templated.
	Href string `json:"href"`
	// Templated says that Href is a URI template.
	Templated bool `json:"templated,omitempty"`
	// Type hints at the media type to expect.
	Type string `json:"type,omitempty"`
	// Deprecation, when not empty, says that the link is about to go, and is
	// a URL where more is told. Clients report it to ClientOptions.OnDeprecated.
	Deprecation string `json:"deprecation,omitempty"`
	// Name tells links of one relation apart. See Named.
	Name string `json:"name,omitempty"`
	// Profile is a URI that hints at the profile (RFC 6906) of the target.
	Profile string `json:"profile,omitempty"`
	// Title labels the link for people.
	Title string `json:"title,omitempty"`
	// Hreflang is the language of the target (RFC 5988 section 5.4).
	Hreflang string `json:"hreflang,omitempty"`
}

// To returns a link to href.
func To(href string) Link { return Link{Href: href} }

// TemplateTo returns a templated link (RFC 6570).
func TemplateTo(template string) Link { return Link{Href: template, Templated: true} }

// Many is the type of a relation that is always an array, whether it has no,
// one or many links. Declare relations with a single link as [Link]. Marshal
// and Write encode a nil Many as [], never as null.
type Many []Link

// linkFromJSON reads one link object. It is lenient as the draft asks: unknown
// properties and properties of the wrong type are passed over, and a bare
// string counts as its href.
func linkFromJSON(data []byte) (Link, bool) {
	switch rawjson.Kind(data) {
	case '"':
		href, ok := rawjson.Unquote(bytes.TrimSpace(data))
		return Link{Href: href}, ok && href != ""
	case '{':
	default:
		return Link{}, false
	}
	var l Link
	seen := false
	for key, value := range rawjson.Members(data) {
		if key == "templated" {
			l.Templated = string(value) == "true"
			continue
		}
		text, ok := rawjson.Unquote(value)
		if !ok {
			continue
		}
		switch key {
		case "href":
			l.Href, seen = text, true
		case "type":
			l.Type = text
		case "deprecation":
			l.Deprecation = text
		case "name":
			l.Name = text
		case "profile":
			l.Profile = text
		case "title":
			l.Title = text
		case "hreflang":
			l.Hreflang = text
		}
	}
	return l, seen
}

func appendLink(dst []byte, l *Link) []byte {
	dst = append(dst, `{"href":`...)
	dst = rawjson.AppendString(dst, l.Href)
	if l.Templated {
		dst = append(dst, `,"templated":true`...)
	}
	if l.Type != "" {
		dst = rawjson.AppendString(append(dst, `,"type":`...), l.Type)
	}
	if l.Deprecation != "" {
		dst = rawjson.AppendString(append(dst, `,"deprecation":`...), l.Deprecation)
	}
	if l.Name != "" {
		dst = rawjson.AppendString(append(dst, `,"name":`...), l.Name)
	}
	if l.Profile != "" {
		dst = rawjson.AppendString(append(dst, `,"profile":`...), l.Profile)
	}
	if l.Title != "" {
		dst = rawjson.AppendString(append(dst, `,"title":`...), l.Title)
	}
	if l.Hreflang != "" {
		dst = rawjson.AppendString(append(dst, `,"hreflang":`...), l.Hreflang)
	}
	return append(dst, '}')
}
