package configsvc

import (
	"reflect"
	"strings"
)

// field is a member of a struct, as encoding/json sees it.
type field struct {
	name string
	typ  reflect.Type
	// index leads to it, through embedded structs.
	index []int
	tag   reflect.StructTag
}

// fieldsOf returns the members of a struct. Where names are hidden by embedding
// it is less exact than encoding/json.
func fieldsOf(t reflect.Type) []field {
	var all []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() && !f.Anonymous {
			continue
		}
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				all = append(all, inner)
			}
			continue
		}
		if !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		all = append(all, field{name, f.Type, []int{i}, f.Tag})
	}
	return all
}

// lookup returns the member of an object that encoding/json decodes into a
// field: by its name, or else whatever its case.
func lookup(v Value, name string) Value {
	if e := v.Get(name); !e.IsZero() {
		return e
	}
	for n, e := range v.Members() {
		if strings.EqualFold(n, name) {
			return e
		}
	}
	return Value{}
}
