package configsvc

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Rules of check tags, with commas between them:
//
//	required        not zero, not empty
//	min=1, max=9    of a number; of a duration, as text; how long a text or list is
//	oneof=a|b|c     one of these texts or numbers
//	pattern=^a,b$   a regular expression for a text; the last one of the tag
//
// All but required let an empty text and a nil pointer pass.
type rule struct{ name, arg string }

func rulesOf(tag string) []rule {
	var rules []rule
	for tag != "" {
		var part string
		if strings.HasPrefix(tag, "pattern=") {
			part, tag = tag, ""
		} else {
			part, tag, _ = strings.Cut(tag, ",")
		}
		name, arg, _ := strings.Cut(part, "=")
		rules = append(rules, rule{strings.TrimSpace(name), arg})
	}
	return rules
}

// checkTags says what is wrong with the tags of T.
func checkTags[T any]() error {
	t := reflect.TypeFor[T]()
	if err := tagsOf(t, "", map[reflect.Type]bool{}); err != nil {
		return err
	}
	return setDefaults(new(T))
}

func tagsOf(t reflect.Type, path string, seen map[reflect.Type]bool) error {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Array:
		return tagsOf(t.Elem(), path, seen)
	case reflect.Struct:
	default:
		return nil
	}
	if seen[t] {
		return nil
	}
	seen[t] = true
	for _, f := range fieldsOf(t) {
		at := below(path, f.name)
		for _, r := range rulesOf(f.tag.Get("check")) {
			if err := r.check(f.typ); err != nil {
				return fmt.Errorf("%w: check %q of %s: %w", ErrTag, r.name+"="+r.arg, at, err)
			}
		}
		if err := tagsOf(f.typ, at, seen); err != nil {
			return err
		}
	}
	return nil
}

// check says whether a rule makes sense for a type.
func (r rule) check(t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch r.name {
	case "required", "oneof":
		return nil
	case "pattern":
		_, err := regexp.Compile(r.arg)
		return err
	case "min", "max":
		_, err := r.limit(t)
		return err
	}
	return errors.New("there is no such rule; there are required, min, max, oneof and pattern")
}

func isDuration(t reflect.Type) bool {
	return t == reflect.TypeFor[time.Duration]() || t == reflect.TypeFor[Duration]()
}

// limit is the argument of min and max.
func (r rule) limit(t reflect.Type) (float64, error) {
	if isDuration(t) {
		d, err := time.ParseDuration(r.arg)
		return float64(d), err
	}
	return strconv.ParseFloat(r.arg, 64)
}

// InvalidError says which members of a configuration break the rules of their
// tags.
type InvalidError struct{ Problems []string }

// Error lists the problems.
func (e *InvalidError) Error() string { return strings.Join(e.Problems, "; ") }

// checkValue checks a value by its tags.
func checkValue(value any) error {
	var e InvalidError
	e.walk(reflect.ValueOf(value).Elem(), "")
	if len(e.Problems) == 0 {
		return nil
	}
	return &e
}

func (e *InvalidError) walk(v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			e.walk(v.Elem(), path)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			e.walk(v.Index(i), below(path, strconv.Itoa(i)))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			e.walk(v.MapIndex(key), below(path, fmt.Sprint(key)))
		}
	case reflect.Struct:
		for _, f := range fieldsOf(v.Type()) {
			member, at := v.FieldByIndex(f.index), below(path, f.name)
			for _, r := range rulesOf(f.tag.Get("check")) {
				if problem := r.apply(member); problem != "" {
					e.Problems = append(e.Problems, at+" "+problem)
				}
			}
			e.walk(member, at)
		}
	}
}

// apply returns what is wrong with a value by the rule, or "". It never says what
// the value is, which may be a secret.
func (r rule) apply(v reflect.Value) string {
	if r.name == "required" {
		if v.IsZero() || (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0 {
			return "is required"
		}
		return ""
	}
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	if v.Kind() == reflect.String && v.Len() == 0 {
		return ""
	}
	switch r.name {
	case "oneof":
		if !slices.Contains(strings.Split(r.arg, "|"), textOf(v)) {
			return "must be one of " + strings.ReplaceAll(r.arg, "|", ", ")
		}
	case "pattern":
		if !regexp.MustCompile(r.arg).MatchString(textOf(v)) {
			return "must match " + r.arg
		}
	case "min", "max":
		n, what, ok := measure(v)
		limit, _ := r.limit(v.Type()) // checkTags has seen to it
		if !ok {
			return ""
		}
		if r.name == "min" && n < limit {
			return "must be at least " + r.arg + what
		}
		if r.name == "max" && n > limit {
			return "must be at most " + r.arg + what
		}
	}
	return ""
}

// textOf returns what oneof and pattern go by: a text as it is, even one that hides
// itself when it is printed.
func textOf(v reflect.Value) string {
	if v.Kind() == reflect.String {
		return v.String()
	}
	return fmt.Sprint(v.Interface())
}

// measure returns what min and max go by.
func measure(v reflect.Value) (n float64, what string, ok bool) {
	switch {
	case v.CanInt():
		return float64(v.Int()), "", true
	case v.CanUint():
		return float64(v.Uint()), "", true
	case v.CanFloat():
		return v.Float(), "", true
	case v.Kind() == reflect.String:
		return float64(utf8.RuneCountInString(v.String())), " long", true
	case v.Kind() == reflect.Slice || v.Kind() == reflect.Map || v.Kind() == reflect.Array:
		return float64(v.Len()), " long", true
	}
	return 0, "", false
}
