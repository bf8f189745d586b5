package configsvc

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// ErrTag is wrapped by errors about default and check tags that can't be used.
var ErrTag = errors.New("configsvc: struct tag")

// Duration is a time.Duration that is written in JSON as text: "1m30s".
type Duration time.Duration

// String returns the duration as text.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText returns the duration as text.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads "1m30s".
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 1m30s", text)
	}
	*d = Duration(parsed)
	return nil
}

// setDefaults fills in the default tags of a struct and of the structs in it,
// and then calls SetDefaults. What is in lists, in maps and behind pointers has
// no defaults.
func setDefaults(value any) error {
	v := reflect.ValueOf(value).Elem()
	if v.Kind() == reflect.Struct {
		if err := defaultsOf(v, ""); err != nil {
			return err
		}
	}
	if d, ok := value.(interface{ SetDefaults() }); ok {
		d.SetDefaults()
	}
	return nil
}

func defaultsOf(v reflect.Value, path string) error {
	for _, f := range fieldsOf(v.Type()) {
		e := v.FieldByIndex(f.index)
		at := below(path, f.name)
		text, ok := f.tag.Lookup("default")
		switch {
		case ok:
			if err := setText(e, text); err != nil {
				return fmt.Errorf("%w: the default %q of %s: %w", ErrTag, text, at, err)
			}
		case e.Kind() == reflect.Struct:
			if err := defaultsOf(e, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// setText sets a field from the text of a tag: a duration or text as it is, all
// else by JSON.
func setText(v reflect.Value, text string) error {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		v.SetInt(int64(d))
		return err
	}
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		return u.UnmarshalText([]byte(text))
	}
	if v.Kind() == reflect.String {
		v.SetString(text)
		return nil
	}
	return json.Unmarshal([]byte(text), v.Addr().Interface())
}

// clearLists empties the lists and maps of defaults that the configuration has
// something for: encoding/json would mix both.
func clearLists(value any, by Value) { clearOf(reflect.ValueOf(value).Elem(), by) }

func clearOf(v reflect.Value, by Value) {
	switch v.Kind() {
	case reflect.Slice:
		if by.Kind() == Array {
			v.SetZero()
		}
	case reflect.Struct:
		if by.Kind() != Object {
			return
		}
		for _, f := range fieldsOf(v.Type()) {
			if e := lookup(by, f.name); !e.IsZero() {
				clearOf(v.FieldByIndex(f.index), e)
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			clearOf(v.Elem(), by)
		}
	}
}
