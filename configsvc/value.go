package configsvc

import (
	"errors"
	"iter"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind is the kind of a JSON value.
type Kind uint8

// The kinds of JSON values. None is that of the zero [Value], which is no value.
const (
	None Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

// String returns the kind's name as messages have it.
func (k Kind) String() string {
	return [...]string{"nothing", "null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

// Value is a JSON value that never changes. It keeps numbers as they were
// written, however many digits they have, and is canonical otherwise: members in
// the order of their names, no white space, no needless escapes. So equal values
// have equal text. The zero Value is no value at all. Values are safe for
// concurrent use.
type Value struct {
	kind Kind
	// text is canonical JSON for booleans and numbers, the quoted form for strings.
	text string
	// members are an object's, by name, or an array's, without names.
	members []member
}

type member struct {
	name  string
	value Value
}

// Kind returns what kind of value it is.
func (v Value) Kind() Kind { return v.kind }

// IsZero reports whether v is no value.
func (v Value) IsZero() bool { return v.kind == None }

// Len returns the number of members or elements.
func (v Value) Len() int { return len(v.members) }

// Get returns the member of that name, or no value.
func (v Value) Get(name string) Value {
	if v.kind != Object {
		return Value{}
	}
	i, ok := v.find(name)
	if !ok {
		return Value{}
	}
	return v.members[i].value
}

func (v Value) find(name string) (int, bool) {
	return slices.BinarySearchFunc(v.members, name, func(m member, name string) int { return strings.Compare(m.name, name) })
}

// Members yields an object's members in the order of their names.
func (v Value) Members() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		if v.kind != Object {
			return
		}
		for i := range v.members {
			if !yield(v.members[i].name, v.members[i].value) {
				return
			}
		}
	}
}

// Elements yields an array's elements in order.
func (v Value) Elements() iter.Seq2[int, Value] {
	return func(yield func(int, Value) bool) {
		if v.kind != Array {
			return
		}
		for i := range v.members {
			if !yield(i, v.members[i].value) {
				return
			}
		}
	}
}

// At returns the value at a JSON Pointer (RFC 6901), or no value. Only names of
// members lead on: what is in an array is part of the array.
func (v Value) At(pointer string) Value {
	if pointer == "" {
		return v
	}
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		v = v.Get(unescapeToken.Replace(token))
	}
	return v
}

// Text returns the text of a string, and whether it is one.
func (v Value) Text() (string, bool) {
	if v.kind != String {
		return "", false
	}
	return unquote(v.text), true
}

// Equal reports whether both are the same value. Numbers are compared as they
// are written.
func (v Value) Equal(o Value) bool {
	if v.kind != o.kind || v.text != o.text || len(v.members) != len(o.members) {
		return false
	}
	for i := range v.members {
		if v.members[i].name != o.members[i].name || !v.members[i].value.Equal(o.members[i].value) {
			return false
		}
	}
	return true
}

// Depth returns how deep the value nests: 0 for scalars, 1 for {}.
func (v Value) Depth() int {
	if v.kind != Array && v.kind != Object {
		return 0
	}
	deepest := 0
	for i := range v.members {
		deepest = max(deepest, v.members[i].value.Depth())
	}
	return deepest + 1
}

// JSON returns the canonical text, nil for no value.
func (v Value) JSON() []byte {
	if v.kind == None {
		return nil
	}
	return v.AppendJSON(make([]byte, 0, v.size()))
}

// String returns the canonical text.
func (v Value) String() string { return string(v.JSON()) }

// AppendJSON appends the canonical text to b.
func (v Value) AppendJSON(b []byte) []byte {
	switch v.kind {
	case None, Null:
		return append(b, "null"...)
	case Array:
		b = append(b, '[')
		for i := range v.members {
			if i > 0 {
				b = append(b, ',')
			}
			b = v.members[i].value.AppendJSON(b)
		}
		return append(b, ']')
	case Object:
		b = append(b, '{')
		for i := range v.members {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendQuoted(b, v.members[i].name), ':')
			b = v.members[i].value.AppendJSON(b)
		}
		return append(b, '}')
	}
	return append(b, v.text...)
}

// size is about how long the text is.
func (v Value) size() int {
	n := len(v.text) + 4
	for i := range v.members {
		n += len(v.members[i].name) + 4 + v.members[i].value.size()
	}
	return n
}

// MarshalJSON returns the canonical text.
func (v Value) MarshalJSON() ([]byte, error) { return v.AppendJSON(nil), nil }

// UnmarshalJSON parses as [Parse] does.
func (v *Value) UnmarshalJSON(data []byte) error {
	parsed, err := Parse(data)
	if err != nil {
		return err
	}
	*v = parsed
	return nil
}

// Text returns a string as a [Value].
func Text(s string) Value { return Value{kind: String, text: string(appendQuoted(nil, s))} }

// of returns an object with one member.
func of(name string, v Value) Value {
	return Value{kind: Object, members: []member{{name, v}}}
}

const hexDigits = "0123456789abcdef"

// appendQuoted appends s as a JSON string in its one canonical form: escaped is
// only what must be. What isn't UTF-8 becomes U+FFFD.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(append(b, s[start:i]...), "\uFFFD"...)
				start = i + 1
			}
			i += n
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[start:i]...)
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
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}

// unquote returns the text of a canonical string.
func unquote(text string) string {
	inner := text[1 : len(text)-1]
	if strings.IndexByte(inner, '\\') < 0 {
		return inner
	}
	s, err := unescape(inner)
	if err != nil {
		return inner // canonical text has no bad escapes
	}
	return s
}

var errEscape = errors.New("a string has an escape that isn't one")

// unescape resolves the escapes of what stands between the quotes.
func unescape(s string) (string, error) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		i++
		if i == len(s) {
			return "", errEscape
		}
		switch c := s[i]; c {
		case '"', '\\', '/':
			b = append(b, c)
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r, n, err := unescapeRune(s[i-1:])
			if err != nil {
				return "", err
			}
			b = utf8.AppendRune(b, r)
			i += n - 2
		default:
			return "", errEscape
		}
	}
	return string(b), nil
}

// unescapeRune reads \uXXXX, or two of them that are a surrogate pair, at the
// start of s, and returns how many bytes they took.
func unescapeRune(s string) (rune, int, error) {
	unit := func(s string) (rune, bool) {
		if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
			return 0, false
		}
		n, err := strconv.ParseUint(s[2:6], 16, 16)
		return rune(n), err == nil
	}
	high, ok := unit(s)
	switch {
	case !ok || 0xDC00 <= high && high < 0xE000:
		return 0, 0, errEscape
	case high < 0xD800 || high >= 0xE000:
		return high, 6, nil
	}
	low, ok := unit(s[6:])
	if !ok || low < 0xDC00 || low >= 0xE000 {
		return 0, 0, errEscape
	}
	return (high-0xD800)<<10 + (low - 0xDC00) + 0x10000, 12, nil
}

var (
	escapeToken   = strings.NewReplacer("~", "~0", "/", "~1")
	unescapeToken = strings.NewReplacer("~1", "/", "~0", "~")
)

// below returns the JSON Pointer of a member of what path points to.
func below(path, name string) string {
	if strings.IndexByte(name, '~') < 0 && strings.IndexByte(name, '/') < 0 {
		return path + "/" + name
	}
	return path + "/" + escapeToken.Replace(name)
}

// Pointer returns the JSON Pointer (RFC 6901) that is made of these names.
func Pointer(names ...string) string {
	path := ""
	for _, name := range names {
		path = below(path, name)
	}
	return path
}

// Set returns a copy of v in which what is at the pointer is replaced. Objects
// on the way are made where there is something else, or nothing.
func (v Value) Set(pointer string, to Value) Value {
	if pointer == "" {
		return to
	}
	token, rest, more := strings.Cut(strings.TrimPrefix(pointer, "/"), "/")
	if more {
		rest = "/" + rest
	}
	name := unescapeToken.Replace(token)
	out := Value{kind: Object}
	if v.kind == Object {
		out.members = slices.Clone(v.members)
	}
	i, there := out.find(name)
	if !there {
		out.members = slices.Insert(out.members, i, member{name: name})
	}
	out.members[i].value = out.members[i].value.Set(rest, to)
	return out
}
