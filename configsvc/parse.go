package configsvc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep a text may nest that [Parse] accepts.
const MaxDepth = 200

// ErrSyntax is wrapped by every error about a text that isn't the JSON that
// [Parse] accepts.
var ErrSyntax = errors.New("configsvc: not JSON")

// Parse reads JSON (RFC 8259). It is stricter than encoding/json where that
// would keep silent about a loss: a name twice in one object, a string that is
// no Unicode text, anything after the value, and nesting beyond [MaxDepth] are
// errors. They say at which byte.
func Parse(data []byte) (Value, error) { return parseText(string(data)) }

func parseText(s string) (Value, error) {
	p := parser{s: s}
	v, err := p.value(0)
	if err == nil {
		if p.space(); p.i < len(s) {
			err = p.fail("there is something after the value")
		}
	}
	if err != nil {
		return Value{}, err
	}
	return v, nil
}

type parser struct {
	s string
	i int
}

func (p *parser) fail(what string) error {
	return fmt.Errorf("%w: at byte %d: %s", ErrSyntax, p.i, what)
}

func (p *parser) space() {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\n', '\t', '\r':
			p.i++
		default:
			return
		}
	}
}

// peek skips white space and returns the next byte, 0 at the end.
func (p *parser) peek() byte {
	for ; p.i < len(p.s); p.i++ {
		if c := p.s[p.i]; c > ' ' || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
	}
	return 0
}

func (p *parser) value(depth int) (Value, error) {
	switch c := p.peek(); c {
	case '{':
		return p.object(depth + 1)
	case '[':
		return p.array(depth + 1)
	case '"':
		s, plain, err := p.str()
		if err != nil {
			return Value{}, err
		}
		if plain == "" {
			plain = string(appendQuoted(nil, s))
		}
		return Value{kind: String, text: plain}, nil
	case 't':
		return p.word("true", Bool)
	case 'f':
		return p.word("false", Bool)
	case 'n':
		return p.word("null", Null)
	default:
		if c == '-' || '0' <= c && c <= '9' {
			return p.number()
		}
		if p.i >= len(p.s) {
			return Value{}, p.fail("it ends where a value should be")
		}
		return Value{}, p.fail("no value begins like this")
	}
}

func (p *parser) word(word string, kind Kind) (Value, error) {
	if !strings.HasPrefix(p.s[p.i:], word) {
		return Value{}, p.fail("no value begins like this")
	}
	p.i += len(word)
	return Value{kind: kind, text: word}, nil
}

func (p *parser) digits() bool {
	from := p.i
	for p.i < len(p.s) && '0' <= p.s[p.i] && p.s[p.i] <= '9' {
		p.i++
	}
	return p.i > from
}

func (p *parser) has(chars string) bool {
	if p.i < len(p.s) && strings.IndexByte(chars, p.s[p.i]) >= 0 {
		p.i++
		return true
	}
	return false
}

func (p *parser) number() (Value, error) {
	from := p.i
	p.has("-")
	ok := p.has("0") || p.digits()
	if ok && p.has(".") {
		ok = p.digits()
	}
	if ok && p.has("eE") {
		p.has("+-")
		ok = p.digits()
	}
	if !ok {
		return Value{}, p.fail("a number is not written like this")
	}
	return Value{kind: Number, text: p.s[from:p.i]}, nil
}

// str reads a string. Where its text in the source is canonical already, plain
// is that text with its quotes; otherwise it is empty.
func (p *parser) str() (s, plain string, err error) {
	from := p.i
	p.i++
	escaped, wide := false, false
	for p.i < len(p.s) {
		switch c := p.s[p.i]; {
		case c == '"':
			p.i++
			inner := p.s[from+1 : p.i-1]
			if wide && !utf8.ValidString(inner) {
				return "", "", p.fail("a string is not UTF-8")
			}
			if !escaped {
				return inner, p.s[from:p.i], nil
			}
			s, err = unescape(inner)
			if err != nil {
				return "", "", p.fail(err.Error())
			}
			return s, "", nil
		case c < 0x20:
			return "", "", p.fail("a string has a control character that isn't escaped")
		case c == '\\':
			escaped = true
			p.i++ // whatever it is, it doesn't end the string
		case c >= utf8.RuneSelf:
			wide = true
		}
		p.i++
	}
	return "", "", p.fail("a string has no end")
}

func (p *parser) array(depth int) (Value, error) {
	if depth > MaxDepth {
		return Value{}, p.fail(fmt.Sprintf("it nests deeper than %d", MaxDepth))
	}
	p.i++
	v := Value{kind: Array}
	if p.peek() == ']' {
		p.i++
		return v, nil
	}
	for {
		e, err := p.value(depth)
		if err != nil {
			return Value{}, err
		}
		v.members = append(v.members, member{value: e})
		switch p.peek() {
		case ',':
			p.i++
		case ']':
			p.i++
			return v, nil
		default:
			return Value{}, p.fail("an array goes on with ',' or ends with ']'")
		}
	}
}

func (p *parser) object(depth int) (Value, error) {
	if depth > MaxDepth {
		return Value{}, p.fail(fmt.Sprintf("it nests deeper than %d", MaxDepth))
	}
	p.i++
	v := Value{kind: Object}
	if p.peek() == '}' {
		p.i++
		return v, nil
	}
	sorted := true
	for {
		if p.peek() != '"' {
			return Value{}, p.fail("a member begins with its name")
		}
		name, _, err := p.str()
		if err != nil {
			return Value{}, err
		}
		if p.peek() != ':' {
			return Value{}, p.fail("':' stands between name and value")
		}
		p.i++
		e, err := p.value(depth)
		if err != nil {
			return Value{}, err
		}
		if n := len(v.members); n > 0 && v.members[n-1].name >= name {
			sorted = false
		}
		v.members = append(v.members, member{name, e})
		switch p.peek() {
		case ',':
			p.i++
			continue
		case '}':
			p.i++
		default:
			return Value{}, p.fail("an object goes on with ',' or ends with '}'")
		}
		if sorted {
			return v, nil
		}
		slices.SortFunc(v.members, func(a, b member) int { return strings.Compare(a.name, b.name) })
		for i := 1; i < len(v.members); i++ {
			if v.members[i].name == v.members[i-1].name {
				return Value{}, p.fail(fmt.Sprintf("the name %q is there twice", clip(v.members[i].name)))
			}
		}
		return v, nil
	}
}
