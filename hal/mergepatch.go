package hal

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/goswale/swale/hal/internal/rawjson"
)

// MergePatchType is the media type of merge patches (RFC 7396).
const MergePatchType = "application/merge-patch+json"

// MergePatch applies a merge patch (RFC 7396) to a document: members of the
// patch replace those of the document, null removes them, objects merge into
// objects, anything else replaces. An empty doc counts as null. Members that
// the patch leaves alone keep their text and their order; new ones go last.
//
// It fails when either text isn't JSON or nests deeper than encoding/json
// allows, and is safe for concurrent use.
func MergePatch(doc, patch []byte) ([]byte, error) {
	if len(bytes.TrimSpace(doc)) == 0 {
		doc = []byte("null")
	}
	if !json.Valid(doc) {
		return nil, fmt.Errorf("hal: merge patch: the document is not JSON")
	}
	if !json.Valid(patch) {
		return nil, fmt.Errorf("hal: merge patch: the patch is not JSON")
	}
	if rawjson.TooDeep(patch, maxPatchDepth) {
		return nil, fmt.Errorf("hal: merge patch: the patch nests deeper than %d", maxPatchDepth)
	}
	return appendMerged(nil, bytes.TrimSpace(doc), bytes.TrimSpace(patch)), nil
}

// maxPatchDepth bounds the work, which is the text times the patch's depth.
const maxPatchDepth = 512

func appendMerged(dst, doc, patch []byte) []byte {
	if rawjson.Kind(patch) != '{' {
		return append(dst, patch...)
	}
	changes := rawjson.List(patch)
	index := make(map[string]int, len(changes))
	for i, m := range changes {
		index[m.Key] = i
	}
	dst = append(dst, '{')
	first := true
	member := func(key string) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(rawjson.AppendString(dst, key), ':')
	}
	for _, m := range rawjson.List(doc) { // nothing when doc isn't an object
		i, ok := index[m.Key]
		if !ok {
			member(m.Key)
			dst = append(dst, m.Value...)
			continue
		}
		delete(index, m.Key)
		if change := changes[i].Value; rawjson.Kind(change) != 'n' {
			member(m.Key)
			dst = appendMerged(dst, m.Value, change)
		}
	}
	for _, m := range changes {
		if _, left := index[m.Key]; left && rawjson.Kind(m.Value) != 'n' {
			member(m.Key)
			dst = appendMerged(dst, nil, m.Value)
		}
	}
	return append(dst, '}')
}

// Diff returns the merge patch that turns the document before into after. A
// merge patch can't tell null from absent (RFC 7396 section 1), so a member
// that after has as null is removed. Arrays are replaced whole.
func Diff(before, after []byte) ([]byte, error) {
	if !json.Valid(before) || !json.Valid(after) {
		return nil, fmt.Errorf("hal: diff: not JSON")
	}
	if rawjson.TooDeep(after, maxPatchDepth) {
		return nil, fmt.Errorf("hal: diff: nests deeper than %d", maxPatchDepth)
	}
	return appendDiff(nil, bytes.TrimSpace(before), bytes.TrimSpace(after)), nil
}

func appendDiff(dst, before, after []byte) []byte {
	if rawjson.Kind(before) != '{' || rawjson.Kind(after) != '{' {
		return append(dst, after...)
	}
	old := make(map[string][]byte)
	was := rawjson.List(before)
	for _, m := range was {
		old[m.Key] = m.Value
	}
	dst = append(dst, '{')
	first := true
	member := func(key string) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(rawjson.AppendString(dst, key), ':')
	}
	for _, m := range rawjson.List(after) {
		value, had := old[m.Key]
		delete(old, m.Key)
		if had && same(value, m.Value) {
			continue
		}
		member(m.Key)
		dst = appendDiff(dst, value, m.Value)
	}
	for _, m := range was {
		if _, gone := old[m.Key]; gone {
			member(m.Key)
			dst = append(dst, "null"...)
		}
	}
	return append(dst, '}')
}

// same compares two JSON texts without regard to white space.
func same(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}
