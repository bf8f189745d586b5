package hal

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"

	"github.com/goswale/swale/hal/internal/rawjson"
)

// shape is what a Go type expects of a JSON value, as far as one-or-many and
// empty collections go. It is consulted only for documents that need it.
type shape struct {
	kind   shapeKind
	link   bool // the struct Link
	fields map[string]*shape
	elem   *shape
}

type shapeKind uint8

const (
	leaf    shapeKind = iota // left alone
	object                   // a struct
	array                    // a slice
	mapping                  // a map with string keys
)

var (
	shapes sync.Map // reflect.Type → *shape; a memo of pure results

	linkType          = reflect.TypeFor[Link]()
	marshalerType     = reflect.TypeFor[json.Marshaler]()
	textMarshalerType = reflect.TypeFor[encoding.TextMarshaler]()
)

func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	building := make(map[reflect.Type]*shape)
	s := buildShape(t, building)
	// Only the root is published: it is complete, and so is all it leads to.
	shapes.Store(t, s)
	return s
}

func buildShape(t reflect.Type, building map[reflect.Type]*shape) *shape {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s := building[t]; s != nil {
		return s
	}
	s := new(shape)
	building[t] = s
	own := t.Implements(marshalerType) || reflect.PointerTo(t).Implements(marshalerType) ||
		t.Implements(textMarshalerType) || reflect.PointerTo(t).Implements(textMarshalerType)
	if own {
		return s
	}
	switch t.Kind() {
	case reflect.Struct:
		s.kind, s.link = object, t == linkType
		s.fields = make(map[string]*shape)
		addFields(s, t, building, map[reflect.Type]bool{t: true})
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 {
			s.kind, s.elem = array, buildShape(t.Elem(), building)
		}
	case reflect.Array:
		s.elem = buildShape(t.Elem(), building)
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			s.kind, s.elem = mapping, buildShape(t.Elem(), building)
		}
	}
	return s
}

func addFields(s *shape, t reflect.Type, building map[reflect.Type]*shape, seen map[reflect.Type]bool) {
	var promoted []reflect.Type
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" && f.Tag.Get("json") == "-" {
			continue
		}
		ft := f.Type
		for ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		if f.Anonymous && name == "" && ft.Kind() == reflect.Struct {
			promoted = append(promoted, ft)
			continue
		}
		if !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		if _, ok := s.fields[name]; !ok {
			s.fields[name] = buildShape(f.Type, building)
		}
	}
	for _, p := range promoted { // after the outer fields, which win
		if !seen[p] {
			seen[p] = true
			addFields(s, p, building, seen)
		}
	}
}

// field finds a member's shape as encoding/json does: by name, or else
// without regard to case.
func (s *shape) field(name string) *shape {
	if f, ok := s.fields[name]; ok {
		return f
	}
	for n, f := range s.fields {
		if strings.EqualFold(n, name) {
			return f
		}
	}
	return nil
}

// maxShaped bounds the nesting of documents that are rewritten: the cost is
// the text times the depth of the type, and a recursive type has no depth.
const maxShaped = 256

// rewriter copies a document in one pass, changing it where its shape asks.
type rewriter struct {
	out     []byte
	empties bool // null → [] for slices
	changed bool
}

// emptyForNull writes [] where doc has null for a slice.
func emptyForNull(doc []byte, t reflect.Type) []byte {
	if t == nil || rawjson.TooDeep(doc, maxShaped) {
		return doc
	}
	w := rewriter{out: make([]byte, 0, len(doc)), empties: true}
	w.value(doc, shapeOf(t), false)
	if !w.changed {
		return doc
	}
	return w.out
}

// oneOrMany brings the relations of _links and _embedded into the shape that
// t declares.
func oneOrMany(doc []byte, t reflect.Type) ([]byte, bool) {
	if rawjson.TooDeep(doc, maxShaped) {
		return doc, false
	}
	w := rewriter{out: make([]byte, 0, len(doc)+64)}
	w.value(doc, shapeOf(t), false)
	return w.out, w.changed
}

// value copies one value; relation says that it is the value of a relation.
// It goes down as deep as the type or the document, whichever ends first.
func (w *rewriter) value(v []byte, s *shape, relation bool) {
	kind := rawjson.Kind(v)
	if s == nil || (s.kind == leaf && s.elem == nil) {
		w.out = append(w.out, v...)
		return
	}
	if w.empties {
		if kind == 'n' && s.kind == array {
			w.out, w.changed = append(w.out, '[', ']'), true
			return
		}
	} else if relation {
		switch {
		case s.kind == array && kind != '[' && kind != 'n':
			w.changed = true
			w.out = append(w.out, '[')
			w.value(v, s.elem, true)
			w.out = append(w.out, ']')
			return
		case s.kind == object && kind == '[':
			w.changed = true
			one := []byte("null")
			for element := range rawjson.Elements(v) {
				one = element
				break
			}
			w.value(one, s, true)
			return
		case s.link && kind == '"':
			w.changed = true
			w.out = append(append(append(w.out, `{"href":`...), v...), '}')
			return
		}
	}
	switch kind {
	case '{':
		w.object(v, s)
	case '[':
		w.out = append(w.out, '[')
		first := true
		for element := range rawjson.Elements(v) {
			if !first {
				w.out = append(w.out, ',')
			}
			first = false
			w.value(element, s.elem, relation)
		}
		w.out = append(w.out, ']')
	default:
		w.out = append(w.out, v...)
	}
}

func (w *rewriter) object(v []byte, s *shape) {
	w.out = append(w.out, '{')
	first := true
	for key, value := range rawjson.Members(v) {
		if !first {
			w.out = append(w.out, ',')
		}
		first = false
		w.out = append(rawjson.AppendString(w.out, key), ':')
		switch {
		case s.kind == mapping:
			w.value(value, s.elem, false)
		case s.kind != object:
			w.out = append(w.out, value...)
		case key == "_links" || key == "_embedded":
			w.relations(value, s.field(key))
		default:
			w.value(value, s.field(key), false)
		}
	}
	w.out = append(w.out, '}')
}

// relations copies a _links or _embedded object, each member of which is a
// relation.
func (w *rewriter) relations(v []byte, s *shape) {
	if s == nil || s.kind == leaf || rawjson.Kind(v) != '{' {
		w.value(v, s, false)
		return
	}
	w.out = append(w.out, '{')
	first := true
	for key, value := range rawjson.Members(v) {
		if !first {
			w.out = append(w.out, ',')
		}
		first = false
		w.out = append(rawjson.AppendString(w.out, key), ':')
		if s.kind == mapping {
			w.value(value, s.elem, true)
		} else {
			w.value(value, s.field(key), true)
		}
	}
	w.out = append(w.out, '}')
}
