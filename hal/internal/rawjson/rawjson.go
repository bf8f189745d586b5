// Package rawjson looks into JSON text without decoding it: where a value
// ends, which members an object has, in which order, how deep it nests.
//
// Its functions never panic and take time linear in the text. They expect
// JSON that encoding/json has accepted; on anything else they stop early or
// report a failure, and never read past the slice.
package rawjson

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"iter"
)

// Space returns the index of the first byte at or after i that isn't JSON
// white space.
func Space(data []byte, i int) int {
	for i < len(data) {
		switch data[i] {
		case ' ', '\t', '\n', '\r':
			i++
		default:
			return i
		}
	}
	return i
}

// StringEnd returns the index after the string that opens at data[i], or -1
// when it isn't closed. It leaps from quote to quote.
func StringEnd(data []byte, i int) int {
	start := i + 1
	for p := start; ; {
		q := bytes.IndexByte(data[p:], '"')
		if q < 0 {
			return -1
		}
		q += p
		b := q
		for b > start && data[b-1] == '\\' {
			b--
		}
		if (q-b)%2 == 0 {
			return q + 1
		}
		// The quote is escaped; what stands before it is settled.
		p, start = q+1, q+1
	}
}

// ValueEnd returns the index after the value that begins at data[i], or -1.
func ValueEnd(data []byte, i int) int {
	if i >= len(data) {
		return -1
	}
	switch data[i] {
	case '"':
		return StringEnd(data, i)
	case '{', '[':
		depth := 0
		for i < len(data) {
			switch data[i] {
			case '"':
				end := StringEnd(data, i)
				if end < 0 {
					return -1
				}
				i = end
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
				if depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return -1
	}
	start := i
	for i < len(data) {
		switch data[i] {
		case ',', '}', ']', ' ', '\t', '\n', '\r':
			if i == start {
				return -1
			}
			return i
		}
		i++
	}
	return i
}

// Member is one member of an object.
type Member struct {
	Key   string
	Value []byte // without surrounding white space; aliases the text
}

// Members yields the members of an object in their order. It yields nothing
// when data isn't an object and stops at the first malformed member.
func Members(data []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		i := Space(data, 0)
		if i >= len(data) || data[i] != '{' {
			return
		}
		i++
		for {
			i = Space(data, i)
			if i >= len(data) || data[i] != '"' {
				return
			}
			end := StringEnd(data, i)
			if end < 0 {
				return
			}
			key, ok := Unquote(data[i:end])
			if !ok {
				return
			}
			i = Space(data, end)
			if i >= len(data) || data[i] != ':' {
				return
			}
			i = Space(data, i+1)
			end = ValueEnd(data, i)
			if end < 0 || !yield(key, data[i:end]) {
				return
			}
			i = Space(data, end)
			if i >= len(data) || data[i] != ',' {
				return
			}
			i++
		}
	}
}

// List returns the members of an object; of members with one key the last
// stands, at the place of the first, as encoding/json reads them.
func List(data []byte) []Member {
	var list []Member
	var index map[string]int
	for key, value := range Members(data) {
		if len(list) == 16 {
			index = make(map[string]int, 32)
			for i, m := range list {
				index[m.Key] = i
			}
		}
		at := -1
		if index != nil {
			if i, ok := index[key]; ok {
				at = i
			}
		} else {
			for i := range list {
				if list[i].Key == key {
					at = i
				}
			}
		}
		if at >= 0 {
			list[at].Value = value
			continue
		}
		if index != nil {
			index[key] = len(list)
		}
		list = append(list, Member{Key: key, Value: value})
	}
	return list
}

// Lookup returns the value of the object's last member named key.
func Lookup(data []byte, key string) ([]byte, bool) {
	var found []byte
	ok := false
	for k, value := range Members(data) {
		if k == key {
			found, ok = value, true
		}
	}
	return found, ok
}

// Elements yields the elements of an array. It yields nothing when data isn't
// an array and stops at the first malformed element.
func Elements(data []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		i := Space(data, 0)
		if i >= len(data) || data[i] != '[' {
			return
		}
		i++
		for {
			i = Space(data, i)
			end := ValueEnd(data, i)
			if end < 0 || !yield(data[i:end]) {
				return
			}
			i = Space(data, end)
			if i >= len(data) || data[i] != ',' {
				return
			}
			i++
		}
	}
}

// Kind returns the first byte of the value: one of {, [, ", t, f, n, a digit
// or -; 0 for nothing.
func Kind(data []byte) byte {
	i := Space(data, 0)
	if i >= len(data) {
		return 0
	}
	return data[i]
}

// Unquote returns the text of a JSON string.
func Unquote(data []byte) (string, bool) {
	if len(data) < 2 || data[0] != '"' || data[len(data)-1] != '"' {
		return "", false
	}
	inner := data[1 : len(data)-1]
	plain := true
	for _, c := range inner {
		if c == '\\' || c >= 0x80 || c < 0x20 {
			plain = false
			break
		}
	}
	if plain {
		return string(inner), true
	}
	var s string
	if json.Unmarshal(data, &s) != nil {
		return "", false
	}
	return s, true
}

// TooDeep reports whether objects and arrays nest deeper than limit. A text
// with no more openers than that is told apart without a scan.
func TooDeep(data []byte, limit int) bool {
	if bytes.Count(data, []byte{'{'})+bytes.Count(data, []byte{'['}) <= limit {
		return false
	}
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			end := StringEnd(data, i)
			if end < 0 {
				return false
			}
			i = end - 1
		case '{', '[':
			depth++
			if depth > limit {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}

var colonNull = []byte(":null")

// MayHaveNull reports whether ":null" occurs in compact JSON, be it as the
// value of a member or within a string. It looks for a colon followed by an n
// at sixteen places at a time, since it is asked of every document that is
// written.
func MayHaveNull(data []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for len(data) >= 20 {
		a := binary.LittleEndian.Uint64(data) ^ ones*':'
		b := binary.LittleEndian.Uint64(data[1:]) ^ ones*'n'
		c := binary.LittleEndian.Uint64(data[8:]) ^ ones*':'
		d := binary.LittleEndian.Uint64(data[9:]) ^ ones*'n'
		// A zero byte has its high bit set here. Borrows can set others, which
		// costs no more than a closer look.
		if ((a-ones)&^a&(b-ones)&^b|(c-ones)&^c&(d-ones)&^d)&highs != 0 && bytes.Contains(data[:20], colonNull) {
			return true
		}
		data = data[16:]
	}
	return bytes.Contains(data, colonNull)
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. Unlike encoding/json it leaves
// <, > and & alone, so that query strings stay readable.
func AppendString(dst []byte, s string) []byte {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x80 {
			plain = false
			break
		}
	}
	dst = append(dst, '"')
	if plain {
		dst = append(dst, s...)
		return append(dst, '"')
	}
	for _, r := range s { // invalid UTF-8 comes out as U+FFFD
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\r':
			dst = append(dst, '\\', 'r')
		case r == '\t':
			dst = append(dst, '\\', 't')
		case r < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
		case r == 0x2028 || r == 0x2029:
			dst = append(dst, '\\', 'u', '2', '0', '2', hexDigits[r&15])
		default:
			dst = append(dst, string(r)...)
		}
	}
	return append(dst, '"')
}
