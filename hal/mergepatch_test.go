package hal_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/hal"
)

// The cases of RFC 7396 appendix A.
func TestMergePatch(t *testing.T) {
	for _, c := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{``, `{"a":1}`, `{"a":1}`},
	} {
		got, err := hal.MergePatch([]byte(c[0]), []byte(c[1]))
		if err != nil || string(got) != c[2] {
			t.Errorf("%s patched by %s is %s (%v), want %s", c[0], c[1], got, err, c[2])
		}
	}
	for _, c := range [][2]string{{`{`, `{}`}, {`{}`, `{`}, {`{}`, ``}} {
		if got, err := hal.MergePatch([]byte(c[0]), []byte(c[1])); err == nil {
			t.Errorf("%s patched by %s must fail, got %s", c[0], c[1], got)
		}
	}
	deep := strings.Repeat(`{"a":`, 600) + "1" + strings.Repeat("}", 600)
	if _, err := hal.MergePatch([]byte(deep), []byte(deep)); err == nil {
		t.Error("a patch that nests without end must fail")
	}
}

func FuzzMergePatch(f *testing.F) {
	f.Add([]byte(`{"a":{"b":[1,"\""]}}`), []byte(`{"a":{"b":null,"c":{"d":null}}}`))
	f.Add([]byte(`{"a":1,"a":{"b":2}}`), []byte(`{"a":{},"\u0061":3}`))
	f.Fuzz(func(t *testing.T, doc, patch []byte) {
		got, err := hal.MergePatch(doc, patch)
		if err != nil {
			return
		}
		if !json.Valid(got) {
			t.Fatalf("%q patched by %q is not JSON: %q", doc, patch, got)
		}
		if len(bytes.TrimSpace(doc)) == 0 {
			doc = []byte("null")
		}
		var d, p, g any
		if decode(doc, &d) != nil || decode(patch, &p) != nil || decode(got, &g) != nil {
			return
		}
		if diff := cmp.Diff(naiveMerge(d, p), g); diff != "" {
			t.Fatalf("%q patched by %q: %s", doc, patch, diff)
		}
	})
}

func decode(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(v)
}

// naiveMerge is the pseudo code of RFC 7396 section 2.
func naiveMerge(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	out, _ := target.(map[string]any)
	if out == nil {
		out = map[string]any{}
	}
	for name, value := range p {
		if value == nil {
			delete(out, name)
		} else {
			out[name] = naiveMerge(out[name], value)
		}
	}
	return out
}

func FuzzDiff(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":{"c":2}}`), []byte(`{"b":{"d":3},"e":[]}`))
	f.Fuzz(func(t *testing.T, before, after []byte) {
		if bytes.Contains(after, []byte("null")) {
			return // a merge patch can't say null
		}
		patch, err := hal.Diff(before, after)
		if err != nil {
			return
		}
		got, err := hal.MergePatch(before, patch)
		if err != nil {
			t.Fatalf("diff of %q and %q is %q: %v", before, after, patch, err)
		}
		var x, y any
		if decode(after, &x) != nil || decode(got, &y) != nil {
			return
		}
		if diff := cmp.Diff(x, y); diff != "" {
			t.Fatalf("%q to %q by %q: %s", before, after, patch, diff)
		}
	})
}
