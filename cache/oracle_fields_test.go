package cache_test

// What the oracle reads out of header fields. See oracle_test.go.

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// directives are those of a Cache-Control field (RFC 9111 section 5.2): for
// each name, in lower case, its arguments in the order in which they came.
type directives map[string][]string

func directivesOf(h http.Header) directives {
	d := directives{}
	for _, item := range membersOf(h.Values("Cache-Control")) {
		name, arg, _ := strings.Cut(item, "=")
		if arg, ok := unquoted(arg); ok && name != "" && !strings.ContainsAny(name, " \t\"") {
			d[strings.ToLower(name)] = append(d[strings.ToLower(name)], arg)
		}
	}
	return d
}

func (d directives) has(name string) bool { return len(d[name]) > 0 }

// bare reports whether a directive came without an argument, and named which
// fields it came with ("no-cache" and "private" have both forms).
func (d directives) bare(name string) bool { return slices.Contains(d[name], "") }

func (d directives) named(name string) (fields []string) {
	for _, arg := range d[name] {
		for f := range strings.SplitSeq(arg, ",") {
			if f = strings.TrimSpace(f); f != "" {
				fields = append(fields, http.CanonicalHeaderKey(f))
			}
		}
	}
	return fields
}

// seconds is the argument of a directive that has exactly one valid value.
func (d directives) seconds(name string) (time.Duration, bool) {
	if !d.has(name) {
		return 0, false
	}
	return deltaSeconds(d[name][0])
}

// deltaSeconds reads RFC 9111 section 1.2.2: digits and nothing else. What is
// larger than 2^31 counts as that.
func deltaSeconds(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	n := int64(0)
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int64(c-'0'), 1<<31)
	}
	return time.Duration(n) * time.Second, true
}

// membersOf splits a list (RFC 9110 section 5.6.1) at the commas that aren't
// in a quoted string. Lines of one field are one list (section 5.3).
func membersOf(lines []string) (members []string) {
	text, quoted, from := strings.Join(lines, ","), false, 0
	for i := 0; i <= len(text); i++ {
		switch {
		case i == len(text) || text[i] == ',' && !quoted:
			if m := strings.Trim(text[from:min(i, len(text))], " \t"); m != "" {
				members = append(members, m)
			}
			from = i + 1
		case text[i] == '\\' && quoted:
			i++
		case text[i] == '"':
			quoted = !quoted
		}
	}
	return members
}

// unquoted is the value of a token or quoted string (RFC 9110 section 5.6.4).
func unquoted(s string) (string, bool) {
	if !strings.HasPrefix(s, `"`) {
		return s, true
	}
	if len(s) < 2 || !strings.HasSuffix(s, `"`) {
		return "", false
	}
	return strings.ReplaceAll(s[1:len(s)-1], `\`, ""), true
}

// dateIn is an HTTP-date in one of the three forms of RFC 9110 section 5.6.7,
// letter by letter: what is read must be what would be written.
func dateIn(s string) (time.Time, bool) {
	for _, form := range []string{http.TimeFormat, time.RFC850, time.ANSIC} {
		form = strings.Replace(form, "MST", "GMT", 1)
		if t, err := time.Parse(form, s); err == nil && t.Format(form) == s {
			return t, true
		}
	}
	return time.Time{}, false
}

// dateField is a field that has exactly one valid date.
func dateField(h http.Header, name string) (time.Time, bool) {
	if len(h.Values(name)) != 1 {
		return time.Time{}, false
	}
	return dateIn(h.Get(name))
}

// weakly and strongly compare entity tags (RFC 9110 section 8.8.3.2).
func weakly(a, b string) bool {
	return strings.TrimPrefix(a, "W/") == strings.TrimPrefix(b, "W/") && entityTag(a) && entityTag(b)
}

func strongly(a, b string) bool { return a == b && entityTag(a) && !strings.HasPrefix(a, "W/") }

// entityTag lets tags without quotes pass as well, which are none: the RFC
// doesn't say what to do with them, and the same letters are the same.
func entityTag(s string) bool {
	s = strings.TrimPrefix(s, "W/")
	return s != "" && !strings.Contains(s, `"`) || len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' && !strings.Contains(s[1:len(s)-1], `"`)
}

// tagged reports whether a list of tags, or *, has one that is weakly the same.
func tagged(lines []string, tag string) bool {
	return slices.ContainsFunc(membersOf(lines), func(m string) bool { return m == "*" || weakly(m, tag) })
}

// selects reports whether two requests have the same field in the sense of RFC
// 9111 section 4.1: white space, lines and what a field is known to mean alike
// may differ, for sure only if nothing differs.
func selects(name string, a, b http.Header) (may, surely bool) {
	canonical := func(h http.Header) string {
		text := strings.Join(membersOf(h.Values(name)), ",")
		if strings.HasPrefix(name, "Accept") {
			text = strings.ToLower(text)
		}
		return text
	}
	surely = slices.Equal(a.Values(name), b.Values(name))
	return surely || (len(a.Values(name)) > 0) == (len(b.Values(name)) > 0) && canonical(a) == canonical(b), surely
}

// varyOf are the members of Vary.
func varyOf(h http.Header) (names []string) {
	for _, m := range membersOf(h.Values("Vary")) {
		names = append(names, http.CanonicalHeaderKey(m))
	}
	return names
}

// unstored are the fields that no response from the store has (RFC 9111
// section 3.1).
func unstored(h http.Header) map[string]bool {
	gone := map[string]bool{"Connection": true, "Proxy-Connection": true, "Keep-Alive": true, "Te": true,
		"Transfer-Encoding": true, "Upgrade": true, "Trailer": true,
		"Proxy-Authenticate": true, "Proxy-Authentication-Info": true, "Proxy-Authorization": true}
	for _, m := range membersOf(h.Values("Connection")) {
		gone[http.CanonicalHeaderKey(m)] = true
	}
	// What says how a response may be used can't be hop by hop; taking it
	// away would widen the permission (RFC 9110 section 7.6.1: it mustn't be
	// sent in Connection).
	for _, steering := range []string{"Cache-Control", "Vary", "Date", "Age", "Expires", "Etag", "Last-Modified"} {
		delete(gone, steering)
	}
	return gone
}
