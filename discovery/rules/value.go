package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Value is a condition on one input. In JSON it is a string, a list of
// strings of which one must be equal, true for present, false for absent, or
// {"prefix": "v2."}. An input without a value is absent; an empty one too.
// The zero Value is no condition.
type Value struct {
	OneOf   []string
	Prefix  string
	Present bool
	Absent  bool
}

// Is is the condition that the input equals one of the values.
func Is(values ...string) Value { return Value{OneOf: values} }

// IsZero reports whether there is no condition.
func (v Value) IsZero() bool {
	return v.OneOf == nil && v.Prefix == "" && !v.Present && !v.Absent
}

// matches reports whether an input with this value, empty if absent, holds.
func (v Value) matches(got string) bool {
	switch {
	case v.OneOf != nil:
		return got != "" && slices.Contains(v.OneOf, got)
	case v.Prefix != "":
		return strings.HasPrefix(got, v.Prefix)
	case v.Present:
		return got != ""
	case v.Absent:
		return got == ""
	}
	return true
}

// covers reports whether v holds wherever w does.
func (v Value) covers(w Value) bool {
	switch {
	case v.IsZero():
		return true
	case w.IsZero():
		return false
	case w.OneOf != nil:
		return !slices.ContainsFunc(w.OneOf, func(s string) bool { return !v.matches(s) })
	case w.Prefix != "":
		return v.Present || v.Prefix != "" && strings.HasPrefix(w.Prefix, v.Prefix)
	case w.Present:
		return v.Present
	}
	return v.Absent
}

// overlaps reports whether some value holds for both.
func (v Value) overlaps(w Value) bool {
	switch {
	case v.IsZero() || w.IsZero():
		return true
	case v.Absent || w.Absent:
		return v.Absent && w.Absent
	case v.OneOf != nil:
		return slices.ContainsFunc(v.OneOf, w.matches)
	case w.OneOf != nil:
		return slices.ContainsFunc(w.OneOf, v.matches)
	case v.Prefix != "" && w.Prefix != "":
		return strings.HasPrefix(v.Prefix, w.Prefix) || strings.HasPrefix(w.Prefix, v.Prefix)
	}
	return true
}

func (v Value) validate() error {
	if v.OneOf == nil {
		return nil
	}
	if len(v.OneOf) == 0 || len(v.OneOf) > MaxList {
		return fmt.Errorf("the list of values has %d; it must have 1 to %d", len(v.OneOf), MaxList)
	}
	if slices.Contains(v.OneOf, "") {
		return errors.New("a value is empty; write false for absent")
	}
	return nil
}

// String writes the condition in words.
func (v Value) String() string {
	switch {
	case len(v.OneOf) == 1:
		return fmt.Sprintf("%q", v.OneOf[0])
	case v.OneOf != nil:
		return fmt.Sprintf("one of %q", v.OneOf)
	case v.Prefix != "":
		return fmt.Sprintf("beginning with %q", v.Prefix)
	case v.Present:
		return "present"
	case v.Absent:
		return "absent"
	}
	return "anything"
}

type prefixValue struct {
	Prefix string `json:"prefix"`
}

// MarshalJSON writes the shortest form.
func (v Value) MarshalJSON() ([]byte, error) {
	switch {
	case len(v.OneOf) == 1:
		return json.Marshal(v.OneOf[0])
	case v.OneOf != nil:
		return json.Marshal(v.OneOf)
	case v.Prefix != "":
		return json.Marshal(prefixValue{v.Prefix})
	}
	return json.Marshal(!v.Absent)
}

// UnmarshalJSON reads any of the forms.
func (v *Value) UnmarshalJSON(data []byte) error {
	*v = Value{}
	var p map[string]string
	switch data[0] {
	case '"':
		v.OneOf = make([]string, 1)
		return json.Unmarshal(data, &v.OneOf[0])
	case '[':
		v.OneOf = []string{}
		return json.Unmarshal(data, &v.OneOf)
	case 't':
		v.Present = true
		return nil
	case 'f':
		v.Absent = true
		return nil
	case '{':
		if err := json.Unmarshal(data, &p); err == nil && len(p) == 1 && p["prefix"] != "" {
			v.Prefix = p["prefix"]
			return nil
		}
	}
	return errors.New(`a condition is a string, a list of strings, true, false, or {"prefix": "…"}`)
}
