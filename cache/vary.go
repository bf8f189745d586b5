package cache

import (
	"net/http"
	"slices"
	"strings"
)

// varyStar reports whether a Vary line has a "*" member. Such a response
// matches no request (RFC 9111 section 4.1).
func varyStar(line string) bool {
	for part := range strings.SplitSeq(line, ",") {
		if trimSpace(part) == "*" {
			return true
		}
	}
	return false
}

// varyNames collects the selecting fields in canonical form, sorted, each
// once.
func varyNames(h http.Header) []string {
	var names []string
	for _, line := range h["Vary"] {
		names = append(names, fieldNames(line)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// appendSelector appends what a request says in a selecting field, such that
// two requests match exactly if the appended bytes are equal: lines are
// joined and optional whitespace around commas goes (RFC 9111 section 4.1), but
// where there is a quoted string a comma may be part of it.
// What is case-insensitive is in lower case. An absent field differs from an
// empty one.
func appendSelector(b []byte, name string, lines []string) []byte {
	start := len(b)
	for i, line := range lines {
		if i > 0 {
			b = append(b, ',')
		}
		if strings.IndexByte(line, '"') >= 0 {
			b = append(b, trimSpace(line)...)
			continue
		}
		for first := true; ; first = false {
			part, rest, more := strings.Cut(line, ",")
			if !first {
				b = append(b, ',')
			}
			b = append(b, trimSpace(part)...)
			if !more {
				break
			}
			line = rest
		}
	}
	if name == "Accept-Language" || name == "Accept-Encoding" {
		for i := start; i < len(b); i++ {
			if b[i] >= 'A' && b[i] <= 'Z' {
				b[i] += 'a' - 'A'
			}
		}
	}
	return b
}

// selectorEqual compares a stored selector with a request's field. stored has
// been through appendSelector; present tells absent from empty.
func selectorEqual(stored string, present bool, name string, lines []string) bool {
	if len(lines) == 0 || !present {
		return len(lines) == 0 && !present
	}
	if len(lines) == 1 && lines[0] == stored {
		return true
	}
	var buf [128]byte
	return string(appendSelector(buf[:0], name, lines)) == stored
}
