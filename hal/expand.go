package hal

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// The expansion itself is done here rather than by the parser's package, which
// as of v3.0.2 writes code points where RFC 6570 section 1.6 wants UTF-8, and
// encodes the percent signs of triplets that section 3.2.3 keeps.

// operator is how an expression expands (RFC 6570 appendix A).
type operator struct {
	first, sep string
	named      bool
	ifEmpty    string
	reserved   bool
}

func operatorOf(c byte) (operator, bool) {
	switch c {
	case '+':
		return operator{sep: ",", reserved: true}, true
	case '#':
		return operator{first: "#", sep: ",", reserved: true}, true
	case '.':
		return operator{first: ".", sep: "."}, true
	case '/':
		return operator{first: "/", sep: "/"}, true
	case ';':
		return operator{first: ";", sep: ";", named: true}, true
	case '?':
		return operator{first: "?", sep: "&", named: true, ifEmpty: "="}, true
	case '&':
		return operator{first: "&", sep: "&", named: true, ifEmpty: "="}, true
	}
	return operator{sep: ","}, false
}

// expandParsed expands a template that was found well formed.
func expandParsed(template string, values map[string]*Var) string {
	var b strings.Builder
	for template != "" {
		before, rest, found := strings.Cut(template, "{")
		escape(&b, before, true)
		if !found {
			break
		}
		var expression string
		expression, template, _ = strings.Cut(rest, "}")
		if expression == "" {
			continue
		}
		op, ok := operatorOf(expression[0])
		if ok {
			expression = expression[1:]
		}
		op.expand(&b, expression, values)
	}
	return b.String()
}

func (op operator) expand(b *strings.Builder, expression string, values map[string]*Var) {
	first := true
	next := func() {
		if first {
			b.WriteString(op.first)
			first = false
		} else {
			b.WriteString(op.sep)
		}
	}
	for spec := range strings.SplitSeq(expression, ",") {
		name, explode := strings.CutSuffix(spec, "*")
		name, prefix, _ := strings.Cut(name, ":")
		v := values[name]
		if v == nil || len(v.texts) == 0 {
			continue
		}
		switch {
		case v.kind == pairs && explode:
			for i := 0; i+1 < len(v.texts); i += 2 {
				next()
				escape(b, v.texts[i], op.reserved)
				op.assign(b, v.texts[i+1], !op.named)
			}
		case explode:
			for _, text := range v.texts {
				next()
				op.name(b, name, text)
				escape(b, text, op.reserved)
			}
		case v.kind == single:
			next()
			text := v.texts[0]
			if n, err := strconv.Atoi(prefix); err == nil {
				text = cut(text, n)
			}
			op.name(b, name, text)
			escape(b, text, op.reserved)
		default:
			next()
			op.name(b, name, strings.Join(v.texts, ","))
			for i, text := range v.texts {
				if i > 0 {
					b.WriteByte(',')
				}
				escape(b, text, op.reserved)
			}
		}
	}
}

// name writes the name before a value, where the operator wants it.
func (op operator) name(b *strings.Builder, name, value string) {
	if !op.named {
		return
	}
	escape(b, name, true)
	if value == "" {
		b.WriteString(op.ifEmpty)
	} else {
		b.WriteByte('=')
	}
}

// assign writes the value of a key.
func (op operator) assign(b *strings.Builder, value string, always bool) {
	if value == "" && !always {
		b.WriteString(op.ifEmpty)
		return
	}
	b.WriteByte('=')
	escape(b, value, op.reserved)
}

// cut returns the first n characters.
func cut(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// escape writes text in UTF-8 with everything encoded that isn't unreserved;
// reserved characters and triplets stay when reserved is set.
func escape(b *strings.Builder, text string, reserved bool) {
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~", c) >= 0,
			reserved && c < utf8.RuneSelf && strings.IndexByte(":/?#[]@!$&'()*+,;=", c) >= 0,
			reserved && c == '%' && i+2 < len(text) && unhex(text[i+1]) >= 0 && unhex(text[i+2]) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
}
