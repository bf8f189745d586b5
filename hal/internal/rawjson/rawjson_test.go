package rawjson

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestMayHaveNull(t *testing.T) {
	for n := range 40 {
		for m := range 20 {
			text := strings.Repeat("x", n) + ":null" + strings.Repeat("y", m)
			if !MayHaveNull([]byte(text)) {
				t.Errorf("%q has a null", text)
			}
			for _, near := range []string{":nul", "null", ": null", ":n", ";null"} {
				text := strings.Repeat("x", n) + near + strings.Repeat("y", m)
				if MayHaveNull([]byte(text)) {
					t.Errorf("%q has none", text)
				}
			}
		}
	}
}

func FuzzMayHaveNull(f *testing.F) {
	f.Add([]byte(`{"a":"b:n","c":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if MayHaveNull(data) != bytes.Contains(data, colonNull) {
			t.Fatalf("%q", data)
		}
	})
}

// What is found must be what encoding/json finds, and nothing may panic.
func FuzzMembers(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":"\"]}"}], "c" : null,"\u0061":2}`))
	f.Add([]byte(`{"a":"\\\\\"","b":-1.5e3}`))
	f.Add([]byte(`[{"a":1`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list := List(data)
		elements := slices.Collect(Elements(data))
		TooDeep(data, 3)
		MayHaveNull(data)
		if !json.Valid(data) {
			return
		}
		var m map[string]json.RawMessage
		if Kind(data) == '{' && json.Unmarshal(data, &m) == nil {
			if len(m) != len(list) {
				t.Fatalf("%q: %d members, not %d", data, len(list), len(m))
			}
			for _, member := range list {
				if !bytes.Equal(m[member.Key], member.Value) {
					t.Fatalf("%q: %q is %q, not %q", data, member.Key, member.Value, m[member.Key])
				}
			}
		}
		var a []json.RawMessage
		if Kind(data) == '[' && json.Unmarshal(data, &a) == nil {
			if len(a) != len(elements) {
				t.Fatalf("%q: %d elements, not %d", data, len(elements), len(a))
			}
		}
	})
}

func FuzzAppendString(f *testing.F) {
	f.Add("a\x00\u2028\"\\\xff€")
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		out := AppendString(nil, s)
		if err := json.Unmarshal(out, &back); err != nil || back != strings.ToValidUTF8(s, "\uFFFD") && strings.ToValidUTF8(s, "") == s {
			t.Fatalf("%q became %s, %q, %v", s, out, back, err)
		}
	})
}

func TestTooDeep(t *testing.T) {
	for _, c := range []struct {
		text  string
		limit int
		want  bool
	}{
		{`[[[]]]`, 3, false}, {`[[[]]]`, 2, true}, {`{"a":"[[[["}`, 1, false}, {`[[],[],[],[]]`, 2, false}, {`["\"[[[",[]]`, 2, false}, {`1`, 0, false},
	} {
		if got := TooDeep([]byte(c.text), c.limit); got != c.want {
			t.Errorf("%s deeper than %d: %v", c.text, c.limit, got)
		}
	}
}
