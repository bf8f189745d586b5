package hal

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/yosida95/uritemplate/v3"
)

// Var is a value for a variable of a URI template. Make one with V, List or
// Map.
type Var struct {
	name    string
	kind    varKind
	texts   []string // of a map: key, value, key, value, …
	selects bool
}

type varKind uint8

const (
	single varKind = iota
	list
	pairs
)

// Scalar is what a single template variable may hold.
type Scalar interface {
	~string | ~bool |
		~int | ~int8 | ~int16 | ~int32 | ~int64 |
		~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 |
		~float32 | ~float64
}

// V gives the variable name one value: V("page", 3), V("near", "51.5,-0.1").
func V[T Scalar](name string, value T) Var {
	return Var{name: name, texts: []string{text(value)}}
}

// List gives the variable name a list of values.
func List[T Scalar](name string, values ...T) Var {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = text(v)
	}
	return Var{name: name, kind: list, texts: texts}
}

// Map gives the variable name an associative array, in the order of its keys.
func Map[T Scalar](name string, values map[string]T) Var {
	var texts []string
	for _, k := range slices.Sorted(maps.Keys(values)) {
		texts = append(texts, k, text(values[k]))
	}
	return Var{name: name, kind: pairs, texts: texts}
}

// Named picks the link with that name (draft-kelly-json-hal section 5.5) of a
// relation with several.
func Named(name string) Var { return Var{name: name, selects: true} }

func text[T Scalar](v T) string {
	switch v := any(v).(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case float32:
		return strconv.FormatFloat(float64(v), 'f', -1, 32)
	}
	return fmt.Sprint(v)
}

// maxTemplate bounds what is handed to the template parser.
const maxTemplate = 8 << 10

// Expand expands a URI template (RFC 6570, level 4). Variables that aren't
// given are left out; one that the template doesn't have is an error, since it
// is a slip of the pen or a template that has moved on.
func Expand(template string, vars ...Var) (string, error) {
	if len(template) > maxTemplate {
		return "", fmt.Errorf("%w: longer than %d bytes", ErrTemplate, maxTemplate)
	}
	t, err := uritemplate.New(template)
	if err != nil {
		return "", fmt.Errorf("%w %q: %w", ErrTemplate, template, err)
	}
	names := t.Varnames()
	values := make(map[string]*Var, len(vars))
	for i := range vars {
		v := &vars[i]
		if v.selects {
			continue
		}
		if !slices.Contains(names, v.name) {
			return "", fmt.Errorf("%w %q: no variable %q; it has %q", ErrTemplate, template, v.name, names)
		}
		values[v.name] = v
	}
	return expandParsed(template, values), nil
}
