package hal

import (
	"bytes"
	"errors"
	"iter"
	"slices"

	"github.com/goswale/swale/hal/internal/rawjson"
)

// Links is an ordered set of relations that isn't declared in a type: the
// value of _links when its relations are only known at run time.
//
//	type Anything struct {
//		Links hal.Links `json:"_links,omitzero"`
//	}
//
// A decoded Links keeps the text it was read from and looks into it on demand,
// so unknown link properties, the order of relations and the choice between
// one link and an array survive being written again. The zero value is an
// empty set.
//
// Reading is safe for concurrent use; Set, Add and Delete aren't.
type Links struct {
	raw  []byte     // as decoded; nil once changed
	rels []relation // as built
}

type relation struct {
	name  string
	links []Link
	many  bool
	raw   []byte // as decoded, nil once changed
}

var errLinksNotObject = errors.New("hal: _links is not a JSON object")

// Set makes link the only one of the relation and writes it as an object, not
// as an array.
func (l *Links) Set(rel string, link Link) {
	l.put(relation{name: rel, links: []Link{link}})
}

// SetAll makes links those of the relation and writes them as an array,
// however few they are.
func (l *Links) SetAll(rel string, links ...Link) {
	l.put(relation{name: rel, links: slices.Clone(links), many: true})
}

// Add appends links to the relation, which is written as an array from now
// on.
func (l *Links) Add(rel string, links ...Link) {
	l.parse()
	for i := range l.rels {
		if r := &l.rels[i]; r.name == rel {
			r.links = append(slices.Clip(r.links), links...)
			r.many, r.raw = true, nil
			return
		}
	}
	l.put(relation{name: rel, links: slices.Clone(links), many: true})
}

// Delete removes the relation.
func (l *Links) Delete(rel string) {
	l.parse()
	l.rels = slices.DeleteFunc(slices.Clone(l.rels), func(r relation) bool { return r.name == rel })
}

// put copies on write, so that a copy of a Links value stays what it was.
func (l *Links) put(r relation) {
	l.parse()
	rels := slices.Clone(l.rels)
	for i := range rels {
		if rels[i].name == r.name {
			rels[i] = r
			l.rels = rels
			return
		}
	}
	l.rels = append(rels, r)
}

func (l *Links) parse() {
	if l.raw == nil {
		return
	}
	l.rels = parseRelations(l.raw)
	l.raw = nil
}

func parseRelations(raw []byte) []relation {
	members := rawjson.List(raw)
	rels := make([]relation, 0, len(members))
	for _, m := range members {
		links, many := relationFromJSON(m.Value)
		rels = append(rels, relation{name: m.Key, links: links, many: many, raw: m.Value})
	}
	return rels
}

// relationFromJSON reads the value of one relation: a link object or an array
// of them.
func relationFromJSON(value []byte) (links []Link, many bool) {
	if rawjson.Kind(value) != '[' {
		if link, ok := linkFromJSON(value); ok {
			return []Link{link}, false
		}
		return nil, false
	}
	for element := range rawjson.Elements(value) {
		if link, ok := linkFromJSON(element); ok {
			links = append(links, link)
		}
	}
	return links, true
}

// Get returns the first link of the relation, as it is written: not resolved
// against a base, not expanded.
func (l Links) Get(rel string) (Link, bool) {
	links := l.All(rel)
	if len(links) == 0 {
		return Link{}, false
	}
	return links[0], true
}

// All returns the links of the relation, as they are written. The relation is
// compared as written too; use Find where CURIEs count.
func (l Links) All(rel string) []Link {
	if l.raw != nil {
		value, ok := rawjson.Lookup(l.raw, rel)
		if !ok {
			return nil
		}
		links, _ := relationFromJSON(value)
		return links
	}
	for i := range l.rels {
		if l.rels[i].name == rel {
			return slices.Clone(l.rels[i].links)
		}
	}
	return nil
}

// Relations yields the relations and their links in the order of the document.
func (l Links) Relations() iter.Seq2[string, []Link] {
	return func(yield func(string, []Link) bool) {
		l.parse() // of the copy
		for _, r := range l.rels {
			if !yield(r.name, slices.Clone(r.links)) {
				return
			}
		}
	}
}

// Len returns the number of relations.
func (l Links) Len() int {
	l.parse()
	return len(l.rels)
}

// IsZero reports whether there are no relations; it makes the tag omitzero
// work.
func (l Links) IsZero() bool {
	if l.raw != nil {
		for range rawjson.Members(l.raw) {
			return false
		}
		return true
	}
	return len(l.rels) == 0
}

// Equal reports whether both sets have the same relations in the same order
// with the same links. go-cmp uses it.
func (l Links) Equal(other Links) bool {
	l.parse()
	other.parse()
	return slices.EqualFunc(l.rels, other.rels, func(a, b relation) bool {
		return a.name == b.name && a.many == b.many && slices.Equal(a.links, b.links)
	})
}

// MarshalJSON writes the set as a _links object.
func (l Links) MarshalJSON() ([]byte, error) {
	if l.raw != nil {
		return l.raw, nil
	}
	size := 2
	for i := range l.rels {
		r := &l.rels[i]
		size += len(r.name) + len(r.raw) + 6
		for j := range r.links {
			size += len(r.links[j].Href) + len(r.links[j].Title) + 40
		}
	}
	return l.append(make([]byte, 0, size)), nil
}

func (l Links) append(dst []byte) []byte {
	dst = append(dst, '{')
	for i := range l.rels {
		r := &l.rels[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = rawjson.AppendString(dst, r.name)
		dst = append(dst, ':')
		switch {
		case r.raw != nil:
			dst = append(dst, r.raw...)
		case r.many:
			dst = append(dst, '[')
			for j := range r.links {
				if j > 0 {
					dst = append(dst, ',')
				}
				dst = appendLink(dst, &r.links[j])
			}
			dst = append(dst, ']')
		default:
			dst = appendLink(dst, &r.links[0])
		}
	}
	return append(dst, '}')
}

// UnmarshalJSON keeps a copy of data, which must be an object or null.
func (l *Links) UnmarshalJSON(data []byte) error {
	switch rawjson.Kind(data) {
	case 'n':
		*l = Links{}
		return nil
	case '{':
		*l = Links{raw: bytes.Clone(data)}
		return nil
	}
	return errLinksNotObject
}
