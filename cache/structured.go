package cache

import "strings"

// This file reads as much of Structured Field Values (RFC 9651) as HTTP
// caching uses: lists of strings (RFC 9875) and dictionaries (RFC 9213).
// A field that doesn't parse counts as absent, as a whole.

// sfReader walks over one field's value.
type sfReader struct {
	s string
	i int
}

// sfItem is a bare item. Kinds that caching has no use for keep only their
// kind.
type sfItem struct {
	kind byte // 's'tring, 't'oken, 'i'nteger, 'b'oolean, 'o'ther
	text string
	num  int64
}

// sfStrings reads a List whose members are Strings, and drops their
// parameters. Members of another type make it fail (RFC 9875 section 2).
func sfStrings(lines []string) ([]string, bool) {
	r := sfReader{s: strings.Join(lines, ",")}
	var out []string
	ok := r.list(func() bool {
		item, ok := r.item()
		if !ok || item.kind != 's' {
			return false
		}
		out = append(out, item.text)
		return true
	})
	if !ok {
		return nil, false
	}
	return out, true
}

// sfDictionary reads a Dictionary and calls member for every key in order.
// Inner lists arrive as kind 'o'.
func sfDictionary(lines []string, member func(key string, item sfItem)) bool {
	r := sfReader{s: strings.Join(lines, ",")}
	return r.list(func() bool {
		key, ok := r.key()
		if !ok {
			return false
		}
		item := sfItem{kind: 'b', num: 1}
		if r.take('=') {
			if r.peek() == '(' {
				ok = r.innerList()
				item = sfItem{kind: 'o'}
			} else {
				item, ok = r.bare()
			}
		}
		if !ok || !r.parameters() {
			return false
		}
		member(key, item)
		return true
	})
}

func (r *sfReader) list(member func() bool) bool {
	r.skip(" ")
	if r.end() {
		return true
	}
	for {
		if !member() {
			return false
		}
		r.skip(" \t")
		if r.end() {
			return true
		}
		if !r.take(',') {
			return false
		}
		r.skip(" \t")
		if r.end() {
			return false // trailing comma
		}
	}
}

func (r *sfReader) innerList() bool {
	r.i++
	for {
		r.skip(" ")
		if r.take(')') {
			return true
		}
		if _, ok := r.item(); !ok {
			return false
		}
		if c := r.peek(); c != ' ' && c != ')' {
			return false
		}
	}
}

func (r *sfReader) item() (sfItem, bool) {
	item, ok := r.bare()
	return item, ok && r.parameters()
}

func (r *sfReader) parameters() bool {
	for r.take(';') {
		r.skip(" ")
		if _, ok := r.key(); !ok {
			return false
		}
		if r.take('=') {
			if _, ok := r.bare(); !ok {
				return false
			}
		}
	}
	return true
}

func (r *sfReader) key() (string, bool) {
	start := r.i
	for !r.end() {
		c := r.s[r.i]
		lower := c >= 'a' && c <= 'z' || c == '*'
		if !lower && (r.i == start || (c < '0' || c > '9') && c != '_' && c != '-' && c != '.') {
			break
		}
		r.i++
	}
	return r.s[start:r.i], r.i > start
}

func (r *sfReader) bare() (sfItem, bool) {
	switch c := r.peek(); {
	case c == '"':
		text, ok := r.quoted()
		return sfItem{kind: 's', text: text}, ok
	case c == '-' || c >= '0' && c <= '9':
		return r.number()
	case c == '?':
		if r.i+1 >= len(r.s) || r.s[r.i+1] != '0' && r.s[r.i+1] != '1' {
			return sfItem{}, false
		}
		item := sfItem{kind: 'b', num: int64(r.s[r.i+1] - '0')}
		r.i += 2
		return item, true
	case c == '*' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		start := r.i
		for !r.end() && (isTokenByte(r.s[r.i]) || r.s[r.i] == ':' || r.s[r.i] == '/') {
			r.i++
		}
		return sfItem{kind: 't', text: r.s[start:r.i]}, true
	case c == ':':
		end := strings.IndexByte(r.s[r.i+1:], ':')
		if end < 0 {
			return sfItem{}, false
		}
		r.i += end + 2
		return sfItem{kind: 'o'}, true
	case c == '@':
		r.i++
		item, ok := r.number()
		item.kind = 'o'
		return item, ok
	}
	return sfItem{}, false
}

func (r *sfReader) number() (sfItem, bool) {
	item := sfItem{kind: 'i'}
	negative := r.take('-')
	start := r.i
	for !r.end() && r.s[r.i] >= '0' && r.s[r.i] <= '9' {
		if r.i-start >= 15 {
			return item, false
		}
		item.num = item.num*10 + int64(r.s[r.i]-'0')
		r.i++
	}
	if r.i == start {
		return item, false
	}
	if r.take('.') {
		item.kind = 'o' // a decimal
		frac := r.i
		for !r.end() && r.s[r.i] >= '0' && r.s[r.i] <= '9' {
			r.i++
		}
		if r.i == frac || r.i-frac > 3 {
			return item, false
		}
	}
	if negative {
		item.num = -item.num
	}
	return item, true
}

func (r *sfReader) quoted() (string, bool) {
	var b strings.Builder
	for r.i++; !r.end(); r.i++ {
		c := r.s[r.i]
		switch {
		case c == '"':
			r.i++
			return b.String(), true
		case c == '\\':
			r.i++
			if r.end() || r.s[r.i] != '"' && r.s[r.i] != '\\' {
				return "", false
			}
			b.WriteByte(r.s[r.i])
		case c < 0x20 || c > 0x7e:
			return "", false
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

func (r *sfReader) end() bool { return r.i >= len(r.s) }

func (r *sfReader) peek() byte {
	if r.end() {
		return 0
	}
	return r.s[r.i]
}

func (r *sfReader) take(c byte) bool {
	if r.peek() != c || r.end() {
		return false
	}
	r.i++
	return true
}

func (r *sfReader) skip(set string) {
	for !r.end() && strings.IndexByte(set, r.s[r.i]) >= 0 {
		r.i++
	}
}
