package configsvc

import "strings"

// Change is one place where two values differ.
type Change struct {
	// Path is a JSON Pointer (RFC 6901), empty for the value itself.
	Path string `json:"path"`
	// Before is what it was; no value where it was added.
	Before Value `json:"before,omitzero"`
	// After is what it is; no value where it was removed.
	After Value `json:"after,omitzero"`
}

// Diff returns what differs between two values, in the order of paths. Arrays
// are compared and changed as a whole, as merging does. Either value may be no
// value.
func Diff(before, after Value) []Change { return diff(nil, "", before, after) }

func diff(out []Change, path string, before, after Value) []Change {
	if before.kind != Object || after.kind != Object || isSecret(before) || isSecret(after) {
		if before.Equal(after) {
			return out
		}
		return append(out, Change{path, before, after})
	}
	a, b := before.members, after.members
	for len(a) > 0 || len(b) > 0 {
		c := 0
		switch {
		case len(b) == 0:
			c = -1
		case len(a) == 0:
			c = 1
		default:
			c = strings.Compare(a[0].name, b[0].name)
		}
		switch {
		case c < 0:
			out, a = append(out, Change{Path: below(path, a[0].name), Before: a[0].value}), a[1:]
		case c > 0:
			out, b = append(out, Change{Path: below(path, b[0].name), After: b[0].value}), b[1:]
		default:
			out = diff(out, below(path, a[0].name), a[0].value, b[0].value)
			a, b = a[1:], b[1:]
		}
	}
	return out
}
