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
// It is kept as text and looked into on demand, so unknown link properties,
// the order of relations and the choice between one link and an array survive
// being read and written again. The zero value is an empty set.
//
// Reading is safe for concurrent use; Set, SetAll, Add and Delete aren't, but
// leave copies of the value alone.
type Links struct {
	text []byte // a JSON object, never changed in place; nil is empty
}

var errLinksNotObject = errors.New("hal: _links is not a JSON object")

// Set makes link the only one of the relation and writes it as an object, not
// as an array.
func (l *Links) Set(rel string, link Link) {
	l.put(rel, len(link.Href)+len(link.Title)+64, func(dst, _ []byte) []byte {
		return appendLink(dst, &link)
	})
}

// SetAll makes links those of the relation and writes them as an array,
// however few they are.
func (l *Links) SetAll(rel string, links ...Link) {
	l.put(rel, 64*len(links), func(dst, _ []byte) []byte {
		return append(appendList(append(dst, '['), links), ']')
	})
}

// Add appends links to the relation, which is written as an array from now
// on.
func (l *Links) Add(rel string, links ...Link) {
	l.put(rel, 64*len(links), func(dst, old []byte) []byte {
		dst = append(dst, '[')
		start := len(dst)
		if rawjson.Kind(old) == '[' {
			dst = append(dst, bytes.TrimSpace(old[1:len(old)-1])...)
		} else if _, ok := linkFromJSON(old); ok {
			dst = append(dst, old...)
		}
		if len(dst) > start && len(links) > 0 {
			dst = append(dst, ',')
		}
		return append(appendList(dst, links), ']')
	})
}

// Delete removes the relation.
func (l *Links) Delete(rel string) {
	if _, ok := rawjson.Lookup(l.text, rel); ok {
		l.put(rel, 0, nil)
	}
}

// put writes the text anew with one relation changed, so that copies of the
// value and those who read it at the same time are left alone. A nil value
// removes the relation.
func (l *Links) put(rel string, size int, value func(dst, old []byte) []byte) {
	dst := make([]byte, 0, len(l.text)+len(rel)+size+8)
	if _, ok := rawjson.Lookup(l.text, rel); !ok && value != nil {
		if !l.IsZero() {
			dst = append(append(dst, l.text[:len(l.text)-1]...), ',')
		} else {
			dst = append(dst, '{')
		}
		dst = append(rawjson.AppendString(dst, rel), ':')
		l.text = append(value(dst, nil), '}')
		return
	}
	dst = append(dst, '{')
	for _, m := range rawjson.List(l.text) {
		if m.Key == rel && value == nil {
			continue
		}
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		dst = append(rawjson.AppendString(dst, m.Key), ':')
		if m.Key == rel {
			dst = value(dst, m.Value)
		} else {
			dst = append(dst, m.Value...)
		}
	}
	l.text = append(dst, '}')
}

func appendList(dst []byte, links []Link) []byte {
	for i := range links {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendLink(dst, &links[i])
	}
	return dst
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
	value, ok := rawjson.Lookup(l.text, rel)
	if !ok {
		return nil
	}
	links, _ := relationFromJSON(value)
	return links
}

// IsMany reports whether the relation is written as an array.
func (l Links) IsMany(rel string) bool {
	value, ok := rawjson.Lookup(l.text, rel)
	return ok && rawjson.Kind(value) == '['
}

// Relations yields the relations and their links in the order of the document.
func (l Links) Relations() iter.Seq2[string, []Link] {
	return func(yield func(string, []Link) bool) {
		for _, m := range rawjson.List(l.text) {
			links, _ := relationFromJSON(m.Value)
			if !yield(m.Key, links) {
				return
			}
		}
	}
}

// Len returns the number of relations.
func (l Links) Len() int { return len(rawjson.List(l.text)) }

// IsZero reports whether there are no relations; it makes the tag omitzero
// work.
func (l Links) IsZero() bool {
	for range rawjson.Members(l.text) {
		return false
	}
	return true
}

// Equal reports whether both sets have the same relations in the same order
// with the same links, in arrays or not. go-cmp uses it.
func (l Links) Equal(other Links) bool {
	return slices.EqualFunc(rawjson.List(l.text), rawjson.List(other.text), func(a, b rawjson.Member) bool {
		x, manyX := relationFromJSON(a.Value)
		y, manyY := relationFromJSON(b.Value)
		return a.Key == b.Key && manyX == manyY && slices.Equal(x, y)
	})
}

// MarshalJSON writes the set as a _links object.
func (l Links) MarshalJSON() ([]byte, error) {
	if l.text == nil {
		return []byte("{}"), nil
	}
	return l.text, nil
}

// UnmarshalJSON keeps a copy of data, which must be an object or null.
func (l *Links) UnmarshalJSON(data []byte) error {
	switch rawjson.Kind(data) {
	case 'n':
		*l = Links{}
		return nil
	case '{':
		*l = Links{text: bytes.Clone(bytes.TrimSpace(data))}
		return nil
	}
	return errLinksNotObject
}
