package hal

import (
	"iter"
	"net/http"
	"strings"

	"github.com/goswale/swale/hal/internal/rawjson"
)

// HeaderLink is one link of a Link field (RFC 8288).
type HeaderLink struct {
	// Rel is one relation type; a link with several is given once for each.
	Rel string
	// Link is its target and those target attributes that HAL knows.
	Link Link
	// Anchor is the context of the link when it isn't the document itself.
	Anchor string
}

// ParseLinkHeader reads the values of a Link field (RFC 8288 section 3 and
// appendix B.2). What can't be read is passed over; extended attributes
// (title*) win over plain ones. It takes time linear in the text.
func ParseLinkHeader(values []string) []HeaderLink {
	var links []HeaderLink
	for _, value := range values {
		for value != "" {
			value = strings.TrimLeft(value, " \t,")
			if !strings.HasPrefix(value, "<") {
				break
			}
			end := strings.IndexByte(value, '>')
			if end < 0 {
				break
			}
			var rel string
			l := HeaderLink{Link: Link{Href: value[1:end]}}
			value = l.params(value[end+1:], &rel)
			for r := range strings.FieldsSeq(rel) {
				l.Rel = r
				links = append(links, l)
			}
		}
	}
	return links
}

// params reads the parameters of one link and returns what follows it.
func (l *HeaderLink) params(s string, rel *string) string {
	extended := false
	seen := make(map[string]bool, 4)
	for {
		s = strings.TrimLeft(s, " \t")
		if !strings.HasPrefix(s, ";") {
			if i := strings.IndexByte(s, ','); i >= 0 {
				return s[i+1:]
			}
			return ""
		}
		s = strings.TrimLeft(s[1:], " \t")
		i := strings.IndexAny(s, "=;, \t")
		name, value := s, ""
		if i < 0 {
			s = ""
		} else {
			name, s = s[:i], strings.TrimLeft(s[i:], " \t")
			if strings.HasPrefix(s, "=") {
				value, s = paramValue(strings.TrimLeft(s[1:], " \t"))
			}
		}
		name = strings.ToLower(name)
		if seen[name] { // the first one counts (RFC 8288 section 3.3, 3.4)
			continue
		}
		seen[name] = true
		switch name {
		case "rel":
			*rel = value
		case "anchor":
			l.Anchor = value
		case "hreflang":
			l.Link.Hreflang = value
		case "type":
			l.Link.Type = value
		case "title":
			if !extended {
				l.Link.Title = value
			}
		case "title*":
			if text, ok := decodeExtended(value); ok {
				l.Link.Title, extended = text, true
			}
		case "name":
			l.Link.Name = value
		case "profile":
			l.Link.Profile = value
		case "deprecation":
			l.Link.Deprecation = value
		}
	}
}

func paramValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexAny(s, ";, \t")
		if i < 0 {
			return s, ""
		}
		return s[:i], s[i:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		case '"':
			return b.String(), s[i+1:]
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), ""
}

// decodeExtended reads an RFC 8187 value: UTF-8'en'%e2%82%ac.
func decodeExtended(s string) (string, bool) {
	charset, rest, ok := strings.Cut(s, "'")
	if !ok || !strings.EqualFold(charset, "UTF-8") {
		return "", false
	}
	_, rest, ok = strings.Cut(rest, "'")
	if !ok {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(rest); i++ {
		if rest[i] != '%' {
			b.WriteByte(rest[i])
			continue
		}
		if i+2 >= len(rest) {
			return "", false
		}
		hi, lo := unhex(rest[i+1]), unhex(rest[i+2])
		if hi < 0 || lo < 0 {
			return "", false
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD"), true
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// FormatLinkHeader writes one link as a value of the Link field. A title beyond
// ASCII goes into an extended attribute (RFC 8187); other parameters have no
// such form, so of them only printable ASCII is written.
func FormatLinkHeader(rel string, l Link) string {
	var b strings.Builder
	b.WriteByte('<')
	b.WriteString(targetEscaper.Replace(l.Href))
	b.WriteByte('>')
	param := func(name, value string) {
		if value == "" {
			return
		}
		b.WriteString("; ")
		b.WriteString(name)
		if strings.ContainsFunc(value, unprintable) {
			if name == "title" {
				b.WriteString("*=UTF-8''")
				writeExtended(&b, value)
				return
			}
			value = strings.Map(func(r rune) rune {
				if unprintable(r) {
					return -1
				}
				return r
			}, value)
		}
		b.WriteString(`="`)
		b.WriteString(quoteEscaper.Replace(value))
		b.WriteByte('"')
	}
	param("rel", rel)
	param("type", l.Type)
	param("title", l.Title)
	param("hreflang", l.Hreflang)
	param("name", l.Name)
	param("profile", l.Profile)
	param("deprecation", l.Deprecation)
	return b.String()
}

var (
	targetEscaper = strings.NewReplacer("<", "%3C", ">", "%3E", " ", "%20", "\r", "", "\n", "")
	quoteEscaper  = strings.NewReplacer(`"`, `\"`, `\`, `\\`)
)

func unprintable(r rune) bool { return r < 0x20 || r >= 0x7f }

const upperHex = "0123456789ABCDEF"

func writeExtended(b *strings.Builder, value string) {
	for i := range len(value) {
		c := value[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$&+-.^_`|~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upperHex[c>>4])
		b.WriteByte(upperHex[c&15])
	}
}

// linkFields yields the links of a header whose context is the document.
func linkFields(h http.Header) iter.Seq2[string, Link] {
	return func(yield func(string, Link) bool) {
		values := h["Link"]
		if len(values) == 0 {
			return
		}
		for _, l := range ParseLinkHeader(values) {
			if l.Anchor == "" && !yield(l.Rel, l.Link) {
				return
			}
		}
	}
}

// addLinkHeader sends the links of a document as fields too, templates and
// CURIEs excepted, which RFC 8288 has no place for.
func addLinkHeader(h http.Header, body []byte) {
	raw, ok := rawjson.Lookup(body, "_links")
	if !ok || rawjson.Kind(raw) != '{' {
		return
	}
	for rel, links := range (Links{text: raw}).Relations() {
		if rel == "curies" {
			continue
		}
		for _, l := range links {
			if !l.Templated {
				h.Add("Link", FormatLinkHeader(rel, l))
			}
		}
	}
}
