package configsvc

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// environmentLayer is the name of the layer that the environment makes.
const environmentLayer = "environment variables"

// ErrEnvironment is wrapped by errors about environment variables that name no
// member, or whose value doesn't fit.
var ErrEnvironment = errors.New("configsvc: environment variable")

// environment is what the environment overrides.
type environment struct {
	value Value
	paths []string
}

// environmentOf reads the variables with the prefix, by the members of T.
func environmentOf[T any](prefix string, environ []string) (environment, error) {
	var env environment
	if prefix == "" {
		return env, nil
	}
	for _, variable := range slices.Sorted(slices.Values(environ)) {
		name, text, _ := strings.Cut(variable, "=")
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok || rest == "" {
			continue
		}
		path, t, err := memberOf(reflect.TypeFor[T](), strings.Split(rest, "__"))
		if err != nil {
			return env, fmt.Errorf("%w %s: %w", ErrEnvironment, name, err)
		}
		v, err := fromText(t, text)
		if err != nil {
			return env, fmt.Errorf("%w %s: it doesn't fit %s, which is %v: %w", ErrEnvironment, name, path, t, err)
		}
		env.value = env.value.Set(path, v)
		env.paths = append(env.paths, path)
	}
	return env, nil
}

// normal is how a name is written in a variable.
func normal(name string) string {
	return strings.ToUpper(strings.Map(func(r rune) rune {
		if r == '-' || r == '.' || r == ' ' {
			return '_'
		}
		return r
	}, name))
}

// memberOf finds the member that a variable names.
func memberOf(t reflect.Type, names []string) (string, reflect.Type, error) {
	path := ""
	for _, name := range names {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch t.Kind() {
		case reflect.Map:
			path, t = below(path, strings.ToLower(name)), t.Elem()
			continue
		case reflect.Interface:
			path = below(path, strings.ToLower(name))
			continue
		case reflect.Struct:
		default:
			return "", nil, fmt.Errorf("%s has no members", path)
		}
		members := fieldsOf(t)
		i := slices.IndexFunc(members, func(f field) bool { return normal(f.name) == normal(name) })
		if i < 0 {
			known := make([]string, len(members))
			for i, f := range members {
				known[i] = normal(f.name)
			}
			return "", nil, fmt.Errorf("%q names no member; there are %s", name, strings.Join(known, ", "))
		}
		path, t = below(path, members[i].name), members[i].typ
	}
	return path, t, nil
}

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

// fromText reads the value of a variable: text where text is wanted, a list with
// commas where a list of texts is, JSON otherwise.
func fromText(t reflect.Type, text string) (Value, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.String || reflect.PointerTo(t).Implements(textUnmarshaler):
		return Text(text), nil
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String && !strings.HasPrefix(text, "["):
		list := Value{kind: Array}
		for e := range strings.SplitSeq(text, ",") {
			if e = strings.TrimSpace(e); e != "" {
				list.members = append(list.members, member{value: Text(e)})
			}
		}
		return list, nil
	}
	v, err := Parse([]byte(text))
	if err != nil && t.Kind() == reflect.Interface {
		return Text(text), nil
	}
	return v, err
}

// over puts the environment over what the service explains.
func (env environment) over(settings []Setting) []Setting {
	for _, path := range env.paths {
		value := env.value.At(path)
		set := Setting{Path: path, Value: value, Layer: LayerRef{Name: environmentLayer}}
		i := slices.IndexFunc(settings, func(s Setting) bool { return s.Path == path })
		if i < 0 {
			settings = append(settings, set)
			continue
		}
		old := settings[i]
		if form, _ := SecretForm(old.Value); form != "" {
			set.Value = Secret(RedactedMember, "environment")
		}
		said := old.Value
		if old.Deleted {
			said = Value{kind: Null}
		}
		set.Overrides = append([]Override{{Layer: old.Layer, Value: said}}, old.Overrides...)
		settings[i] = set
	}
	slices.SortStableFunc(settings, func(a, b Setting) int { return strings.Compare(a.Path, b.Path) })
	return settings
}
