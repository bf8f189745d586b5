package rules

import (
	"fmt"
	"net/url"
	"strings"
)

// pattern is a path pattern, taken apart.
type pattern struct {
	segments []segment
	open     bool // ends in /*
	any      bool // no pattern was given: every path, also "*"
}

type segment struct {
	text  string // unescaped; the name, if it is a parameter
	param bool
}

// parsePattern reads "/orders/{id}/*". An empty one matches everything.
func parsePattern(text string) (pattern, error) {
	if text == "" {
		return pattern{open: true, any: true}, nil
	}
	rest, ok := strings.CutPrefix(text, "/")
	if !ok {
		return pattern{}, fmt.Errorf("path is %q; it must begin with /", text)
	}
	if strings.ContainsAny(rest, "?#") {
		return pattern{}, fmt.Errorf("path is %q; it must not have a query or fragment", text)
	}
	var p pattern
	names := map[string]bool{}
	parts := strings.Split(rest, "/")
	if len(parts) > MaxSegments {
		return pattern{}, fmt.Errorf("path has %d segments; at most %d are allowed", len(parts), MaxSegments)
	}
	for i, part := range parts {
		if part == "*" && i == len(parts)-1 {
			p.open = true
			break
		}
		s, err := parseSegment(part)
		if err != nil {
			return pattern{}, fmt.Errorf("path %q: %w", text, err)
		}
		if s.param && names[s.text] {
			return pattern{}, fmt.Errorf("path %q has {%s} twice", text, s.text)
		}
		names[s.text] = names[s.text] || s.param
		p.segments = append(p.segments, s)
	}
	return p, nil
}

func parseSegment(part string) (segment, error) {
	if name, ok := strings.CutPrefix(part, "{"); ok {
		name, ok = strings.CutSuffix(name, "}")
		if !ok || !isToken(name) {
			return segment{}, fmt.Errorf("segment %q: a parameter is a whole segment, {name}", part)
		}
		return segment{text: name, param: true}, nil
	}
	if strings.ContainsAny(part, "{}*") {
		return segment{}, fmt.Errorf("segment %q: { } and * stand for whole segments, * only for the last; write them as %%7B %%7D %%2A to mean themselves", part)
	}
	text, err := url.PathUnescape(part)
	if err != nil {
		return segment{}, fmt.Errorf("segment %q is not escaped as in a URL", part)
	}
	return segment{text: text}, nil
}

// literals and params count segments for the specificity.
func (p pattern) counts() (literals, params int) {
	for _, s := range p.segments {
		if s.param {
			params++
		} else {
			literals++
		}
	}
	return literals, params
}

// cutSegment returns the first segment of a path without its leading slash,
// unescaped, and what follows; more is false if it was the last.
func cutSegment(path string) (text, rest string, more, valid bool) {
	text, rest, more = strings.Cut(path, "/")
	if strings.IndexByte(text, '%') < 0 {
		return text, rest, more, true
	}
	plain, err := url.PathUnescape(text)
	if err != nil {
		return text, rest, more, false
	}
	return plain, rest, more, true
}

// matches compares a pattern with an escaped path, segment by segment. The
// index does the same for all patterns at once.
func (p pattern) matches(path string) bool {
	if p.any {
		return true
	}
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return false
	}
	parts := strings.Split(rest, "/")
	if len(parts) < len(p.segments) || len(parts) > len(p.segments) && !p.open {
		return false
	}
	for i, s := range p.segments {
		text, err := url.PathUnescape(parts[i])
		if s.param {
			if parts[i] == "" {
				return false
			}
		} else if err != nil || text != s.text {
			return false
		}
	}
	return true
}

// covers reports whether p matches every path that q does.
func (p pattern) covers(q pattern) bool {
	switch {
	case p.any:
		return true
	case q.any:
		return false
	case len(p.segments) > len(q.segments), len(p.segments) < len(q.segments) && !p.open, q.open && !p.open:
		return false
	}
	for i, s := range p.segments {
		t := q.segments[i]
		if s.param && !t.param && t.text == "" || !s.param && (t.param || s.text != t.text) {
			return false
		}
	}
	return true
}

// overlaps reports whether some path matches both.
func (p pattern) overlaps(q pattern) bool {
	if p.any || q.any {
		return true
	}
	if len(p.segments) > len(q.segments) {
		p, q = q, p
	}
	if len(p.segments) < len(q.segments) && !p.open {
		return false
	}
	for i, s := range p.segments {
		t := q.segments[i]
		switch {
		case s.param && t.param:
		case s.param && t.text == "", t.param && s.text == "":
			return false
		case !s.param && !t.param && s.text != t.text:
			return false
		}
	}
	return true
}

// rewrite is a target path whose parameters come from a pattern.
type rewrite struct {
	parts []rewritePart
	tail  bool // what * stood for follows
	skip  int  // segments of the pattern before *
}

type rewritePart struct {
	text  string // escaped
	index int    // of the pattern's segment, if text is empty and param
	param bool
}

// parseRewrite reads the target of a rewriting for requests that match p.
func parseRewrite(text string, p pattern) (*rewrite, error) {
	to, err := parsePattern(text)
	if err != nil {
		return nil, err
	}
	if p.any || to.open && !p.open {
		return nil, fmt.Errorf("the new path %q takes from a pattern that the match doesn't have", text)
	}
	rw := &rewrite{tail: to.open, skip: len(p.segments)}
	for _, s := range to.segments {
		part := rewritePart{text: url.PathEscape(s.text), param: s.param, index: -1}
		for i, from := range p.segments {
			if s.param && from.param && from.text == s.text {
				part.index = i
			}
		}
		if s.param && part.index < 0 {
			return nil, fmt.Errorf("the new path %q has {%s}, which the match's path hasn't", text, s.text)
		}
		rw.parts = append(rw.parts, part)
	}
	return rw, nil
}

// apply returns the new path, escaped, for an escaped path that matched.
func (rw *rewrite) apply(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	var b strings.Builder
	for _, p := range rw.parts {
		b.WriteByte('/')
		if !p.param {
			b.WriteString(p.text)
		} else if p.index < len(parts) {
			b.WriteString(parts[p.index])
		}
	}
	if rw.tail && rw.skip < len(parts) {
		for _, p := range parts[rw.skip:] {
			b.WriteByte('/')
			b.WriteString(p)
		}
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}
