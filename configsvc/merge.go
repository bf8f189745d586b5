package configsvc

import (
	"strconv"
	"strings"
)

// Merge merges values from the weakest to the strongest, as [Compile] does with
// layers. Without a conflict the result is that of merge patches applied in order
// (RFC 7396): objects merge into objects, null deletes, anything else replaces.
//
// Merging is associative as long as there is no null: then it doesn't matter
// which of the values were merged before. A null says something about what is
// below it and is gone afterwards.
func Merge(values ...Value) (Value, error) {
	layers := make([]Layer, len(values))
	for i, v := range values {
		layers[i] = Layer{Name: "value " + strconv.Itoa(i+1), Value: v}
	}
	c, err := Compile(layers...)
	if err != nil {
		return Value{}, err
	}
	return c.Value, nil
}

// merger merges layer after layer into value.
type merger struct {
	value     Value
	layers    []Layer
	at        int // the layer that is merged
	path      []string
	conflicts []Conflict
}

// kindOf is the kind that counts for conflicts. A secret is a string.
func kindOf(v Value) Kind {
	if isSecret(v) {
		return String
	}
	return v.kind
}

// merge returns target with patch merged into it. What is target has no nulls.
func (m *merger) merge(target, patch Value) Value {
	if patch.kind == None {
		return target
	}
	if patch.kind == Null {
		return Value{}
	}
	kind := kindOf(patch)
	if target.kind != None && kindOf(target) != kind {
		m.conflict(target, patch)
		return target
	}
	if kind != Object {
		return patch
	}
	if len(target.members) == 0 {
		return m.bare(patch)
	}
	return m.objects(target, patch)
}

// objects merges one object into another. Both are in the order of their names.
func (m *merger) objects(target, patch Value) Value {
	if len(patch.members) == 0 {
		return target
	}
	a, b := target.members, patch.members
	out := make([]member, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch c := strings.Compare(a[0].name, b[0].name); {
		case c < 0:
			out, a = append(out, a[0]), a[1:]
			continue
		case c > 0:
			out = m.add(out, b[0], Value{})
		default:
			out = m.add(out, b[0], a[0].value)
			a = a[1:]
		}
		b = b[1:]
	}
	out = append(out, a...)
	for i := range b {
		out = m.add(out, b[i], Value{})
	}
	return Value{kind: Object, members: out}
}

// add appends what becomes of the target under a member of the patch.
func (m *merger) add(out []member, patch member, target Value) []member {
	if scalar(patch.value.kind) && (target.kind == patch.value.kind || target.kind == None) {
		return append(out, patch)
	}
	m.path = append(m.path, patch.name)
	v := m.merge(target, patch.value)
	m.path = m.path[:len(m.path)-1]
	if v.kind == None {
		return out
	}
	return append(out, member{patch.name, v})
}

func scalar(k Kind) bool { return k == Bool || k == Number || k == String }

// bare returns an object without the members that are null, at any depth.
// Nulls in arrays are values.
func (m *merger) bare(v Value) Value {
	if !hasNulls(v) {
		return Value{kind: Object, members: v.members}
	}
	out := make([]member, 0, len(v.members))
	for i := range v.members {
		out = m.add(out, v.members[i], Value{})
	}
	return Value{kind: Object, members: out}
}

func hasNulls(v Value) bool {
	for i := range v.members {
		e := &v.members[i].value
		if e.kind == Null || e.kind == Object && hasNulls(*e) {
			return true
		}
	}
	return false
}

// conflict notes that the layer at hand says another kind than those below.
func (m *merger) conflict(target, patch Value) {
	path := Pointer(m.path...)
	c := Conflict{Path: path, Upper: m.layers[m.at].ref(), UpperKind: kindOf(patch), LowerKind: kindOf(target)}
	for i := m.at - 1; i >= 0; i-- {
		if k := m.layers[i].Value.At(path).Kind(); k != None && k != Null {
			c.Lower = m.layers[i].ref()
			break
		}
	}
	m.conflicts = append(m.conflicts, c)
}
