package configsvc

import (
	"slices"
	"strings"
)

// Setting is one value of a configuration with its origin.
type Setting struct {
	// Path is a JSON Pointer (RFC 6901) into the configuration.
	Path string `json:"path"`
	// Value is what it is; no value where it was deleted. Arrays are one value.
	Value Value `json:"value,omitzero"`
	// Deleted says that layers below had it and Layer deletes it.
	Deleted bool `json:"deleted,omitempty"`
	// Layer is the one that set it, or deleted it.
	Layer LayerRef `json:"layer"`
	// Overrides are what the layers below said, the strongest first.
	Overrides []Override `json:"overrides,omitempty"`
}

// Override is what a layer said that was overridden.
type Override struct {
	Layer LayerRef `json:"layer"`
	// Value is what it said; null for a deletion.
	Value Value `json:"value"`
}

// Explain returns, in the order of paths, each value of the configuration and
// which layer and version set it, and also what was deleted and by which layer.
func (c *Compiled) Explain() []Setting {
	var all []Setting
	leaves(c.Value, "", func(path string, v Value) {
		s := Setting{Path: path, Value: v}
		said := c.said(path)
		if len(said) > 0 { // always, but for {} that no layer wrote
			s.Layer, s.Overrides = said[0].Layer, said[1:]
		}
		all = append(all, s)
	})
	deleted := map[string]bool{}
	for _, l := range slices.Backward(c.Layers) {
		nulls(l.Value, "", func(path string) {
			if deleted[path] || !c.Value.At(path).IsZero() {
				return
			}
			said := c.said(path)
			if said[0].Layer != l.ref() || !slices.ContainsFunc(said, func(o Override) bool { return o.Value.kind != Null }) {
				return
			}
			deleted[path] = true
			all = append(all, Setting{Path: path, Deleted: true, Layer: said[0].Layer, Overrides: said[1:]})
		})
	}
	slices.SortStableFunc(all, func(a, b Setting) int { return strings.Compare(a.Path, b.Path) })
	return all
}

// said returns what the layers say at a path, the strongest first.
func (c *Compiled) said(path string) []Override {
	var out []Override
	for _, l := range slices.Backward(c.Layers) {
		if v := saysAt(l.Value, path); v.kind != None {
			out = append(out, Override{Layer: l.ref(), Value: v})
		}
	}
	return out
}

// saysAt is [Value.At], except that a null on the way is what is said: it
// deletes everything below.
func saysAt(v Value, path string) Value {
	for path != "" && v.kind == Object {
		token, rest, more := strings.Cut(path[1:], "/")
		v = v.Get(unescapeToken.Replace(token))
		if path = ""; more {
			path = "/" + rest
		}
	}
	if path != "" && v.kind != Null {
		return Value{}
	}
	return v
}

// leaves calls each with everything that isn't an object with members.
func leaves(v Value, path string, each func(string, Value)) {
	if v.kind != Object || len(v.members) == 0 || isSecret(v) {
		each(path, v)
		return
	}
	for i := range v.members {
		leaves(v.members[i].value, below(path, v.members[i].name), each)
	}
}

func nulls(v Value, path string, each func(string)) {
	if v.kind == Null {
		each(path)
	}
	if v.kind != Object {
		return
	}
	for i := range v.members {
		nulls(v.members[i].value, below(path, v.members[i].name), each)
	}
}
