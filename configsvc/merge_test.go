package configsvc_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/hal"
)

func parse(t testing.TB, text string) configsvc.Value {
	t.Helper()
	v, err := configsvc.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// merge merges texts and returns the text of the result.
func merge(t testing.TB, texts ...string) string {
	t.Helper()
	values := make([]configsvc.Value, len(texts))
	for i, text := range texts {
		values[i] = parse(t, text)
	}
	v, err := configsvc.Merge(values...)
	if err != nil {
		t.Fatalf("%s: %v", texts, err)
	}
	return v.String()
}

func TestMerge(t *testing.T) {
	for _, c := range []struct {
		name, want string
		layers     []string
	}{
		{"nothing", `{}`, nil},
		{"one", `{"a":1}`, []string{`{"a":1}`}},
		{"later wins", `{"a":2}`, []string{`{"a":1}`, `{"a":2}`}},
		{"objects merge", `{"a":{"x":1,"y":3,"z":4}}`, []string{`{"a":{"x":1,"y":2}}`, `{"a":{"y":3,"z":4}}`}},
		{"arrays replace", `{"a":[3]}`, []string{`{"a":[1,2]}`, `{"a":[3]}`}},
		{"null deletes", `{"b":2}`, []string{`{"a":1,"b":2}`, `{"a":null}`}},
		{"null deletes a tree", `{}`, []string{`{"a":{"x":{"y":1}}}`, `{"a":null}`}},
		{"null of nothing is nothing", `{"a":{}}`, []string{`{"a":{"b":null}}`}},
		{"null in an array is a value", `{"a":[null,{"b":null}]}`, []string{`{"a":[null,{"b":null}]}`}},
		{"what was deleted may be another kind", `{"a":{"x":1}}`, []string{`{"a":1}`, `{"a":null}`, `{"a":{"x":1}}`}},
		{"a null document deletes all", `{"b":2}`, []string{`{"a":1}`, `null`, `{"b":2}`}},
		{"numbers keep every digit", `{"a":12345678901234567890.10}`, []string{`{}`, `{"a":12345678901234567890.10}`}},
		{"not only objects", `[2]`, []string{`[1]`, `[2]`}},
		{"a secret is a string", `{"a":{"$sealed":"x"}}`, []string{`{"a":"text"}`, `{"a":{"$sealed":"x"}}`}},
		{"a secret is replaced whole", `{"a":"text"}`, []string{`{"a":{"$sealed":"x"}}`, `{"a":"text"}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := merge(t, c.layers...); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// Hailo's merge panicked when an object was laid over a scalar.
func TestObjectOverScalarIsAnErrorThatNamesBothLayersAndThePath(t *testing.T) {
	layers := []configsvc.Layer{
		{Name: "base", Version: 3, Value: parse(t, `{"db":{"pool":{"size":5}},"other":1}`)},
		{Name: "base/orders", Value: parse(t, `{"other":2}`)},
		{Name: "region/eu", Version: 9, Value: parse(t, `{"db":{"pool":7},"other":"two"}`)},
	}
	_, err := configsvc.Compile(layers...)
	var conflicts *configsvc.CompileError
	if !errors.Is(err, configsvc.ErrConflict) || !errors.As(err, &conflicts) {
		t.Fatalf("a scalar over an object must be a CompileError, not %v", err)
	}
	if len(conflicts.Conflicts) != 2 {
		t.Fatalf("every conflict must be named: %v", err)
	}
	for _, want := range []string{
		"/db/pool is an object in base (version 3) and a number in region/eu (version 9)",
		"/other is a number in base/orders and a string in region/eu (version 9)",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error must say %q: %v", want, err)
		}
	}
	if _, err := configsvc.Compile(layers[2], layers[0]); !errors.Is(err, configsvc.ErrConflict) {
		t.Errorf("an object over a scalar must be a CompileError, not %v", err)
	}
}

// generate returns a random document; names repeat so that documents meet.
func generate(r *rand.Rand, depth int, nulls bool) any {
	object := func() any {
		m := map[string]any{}
		for range r.IntN(5) {
			m[string(rune('a'+r.IntN(4)))] = generate(r, depth-1, nulls)
		}
		return m
	}
	if depth == 4 {
		return object()
	}
	n := r.IntN(7)
	switch {
	case nulls && n == 0:
		return nil
	case depth > 0 && n < 4:
		return object()
	case n == 4:
		return []any{float64(r.IntN(3)), nil, "x"}
	case n == 5:
		return fmt.Sprint("text ", r.IntN(3))
	}
	return float64(r.IntN(5))
}

func generated(t testing.TB, r *rand.Rand, nulls bool) configsvc.Value {
	t.Helper()
	text, err := json.Marshal(generate(r, 4, nulls))
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(text))
}

func TestMergeIsThatOfRFC7396(t *testing.T) {
	agreed := 0
	for seed := range uint64(4000) {
		r := rand.New(rand.NewPCG(seed, 1))
		values := []configsvc.Value{generated(t, r, true), generated(t, r, true), generated(t, r, true)}
		got, err := configsvc.Merge(values...)
		if errors.Is(err, configsvc.ErrConflict) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		agreed++
		want := []byte(`{}`)
		for _, v := range values {
			if want, err = hal.MergePatch(want, v.JSON()); err != nil {
				t.Fatal(err)
			}
		}
		if parse(t, string(want)).String() != got.String() {
			t.Fatalf("seed %d: %s gives %s; merge patches one after the other give %s", seed, values, got, want)
		}
	}
	if agreed < 500 {
		t.Fatalf("only %d of the documents had no conflict; the test says too little", agreed)
	}
}

func TestMergeIsAssociativeWithoutNulls(t *testing.T) {
	compared := 0
	for seed := range uint64(4000) {
		r := rand.New(rand.NewPCG(seed, 2))
		a, b, c := generated(t, r, false), generated(t, r, false), generated(t, r, false)
		all, err := configsvc.Merge(a, b, c)
		if err != nil {
			// A conflict stays one, whatever is merged first.
			if bc, err := configsvc.Merge(b, c); err == nil {
				if _, err := configsvc.Merge(a, bc); err == nil {
					t.Fatalf("seed %d: the conflict of %s, %s, %s is gone when the last two are merged first", seed, a, b, c)
				}
			}
			continue
		}
		compared++
		ab, err := configsvc.Merge(a, b)
		if err != nil {
			t.Fatal(err)
		}
		left, err := configsvc.Merge(ab, c)
		if err != nil {
			t.Fatal(err)
		}
		bc, err := configsvc.Merge(b, c)
		if err != nil {
			t.Fatal(err)
		}
		right, err := configsvc.Merge(a, bc)
		if err != nil {
			t.Fatal(err)
		}
		if !left.Equal(all) || !right.Equal(all) {
			t.Fatalf("seed %d: (%s + %s) + %s gives %s, the other way %s, in one go %s", seed, a, b, c, left, right, all)
		}
	}
	if compared < 500 {
		t.Fatalf("only %d of the documents had no conflict; the test says too little", compared)
	}
}

func TestMergingAgainChangesNothing(t *testing.T) {
	for seed := range uint64(1000) {
		a := generated(t, rand.New(rand.NewPCG(seed, 3)), true)
		once, err := configsvc.Merge(a)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := configsvc.Merge(once, a, configsvc.Value{}, parse(t, `{}`))
		if err != nil {
			t.Fatal(err)
		}
		if !twice.Equal(once) {
			t.Fatalf("seed %d: %s merged into itself, nothing and {} gives %s instead of %s", seed, a, twice, once)
		}
	}
}

// Merging must not change what it merges: layers are shared by everybody.
func TestLayersStayAsTheyAre(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 4))
		a, b := generated(t, r, true), generated(t, r, true)
		beforeA, beforeB := a.String(), b.String()
		_, _ = configsvc.Merge(a, b, a)
		if a.String() != beforeA || b.String() != beforeB {
			t.Fatalf("seed %d: merging changed %s to %s, or %s to %s", seed, beforeA, a, beforeB, b)
		}
	}
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte(`{"a":{"b":1}}`), []byte(`{"a":1}`), []byte(`{"a":null}`))
	f.Add([]byte(`[1,{"a":null}]`), []byte(`"x"`), []byte(`null`))
	f.Add([]byte(`{"a":{"$secret":"x"}}`), []byte(`{"a":{"$sealed":"y"}}`), []byte(`{"a":{"$redacted":"z","b":1}}`))
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		var layers []configsvc.Layer
		for i, text := range [][]byte{a, b, c} {
			v, err := configsvc.Parse(text)
			if err != nil {
				return
			}
			layers = append(layers, configsvc.Layer{Name: fmt.Sprint(i), Value: v})
		}
		compiled, err := configsvc.Compile(layers...)
		if err != nil {
			if !errors.Is(err, configsvc.ErrConflict) {
				t.Fatal(err)
			}
			return
		}
		for _, s := range compiled.Explain() {
			if !s.Deleted && !compiled.Value.At(s.Path).Equal(s.Value) {
				t.Fatalf("explain says %s is %s; it is %s", s.Path, s.Value, compiled.Value.At(s.Path))
			}
		}
		if d := configsvc.Diff(compiled.Value, compiled.Value); d != nil {
			t.Fatalf("a value differs from itself: %v", d)
		}
		configsvc.Diff(layers[0].Value, compiled.Value)
		configsvc.Redact(compiled.Value)
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"b":1,"a":[true,false,null,-0.5e+9]}`, `"\ud83d\ude00\u0041\/\b"`, ` [ ] `, `{"a":1,"a":2}`, `"\ud800"`, `01`, `"` + "\xff" + `"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := configsvc.Parse(text)
		if err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q was accepted and isn't JSON", text)
		}
		var want, got any
		if err := json.Unmarshal(text, &want); err != nil {
			return // out of float64's range
		}
		if err := json.Unmarshal(v.JSON(), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q became %s: %v", text, v, err)
		}
		again := parse(t, v.String())
		if !again.Equal(v) || again.String() != v.String() {
			t.Fatalf("the canonical text of %q isn't canonical: %s, then %s", text, v, again)
		}
	})
}
