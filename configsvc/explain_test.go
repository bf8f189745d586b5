package configsvc_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/configsvc"
)

func TestExplain(t *testing.T) {
	c, err := configsvc.Compile(
		configsvc.Layer{Name: "base", Version: 1, Value: parse(t, `{"db":{"pool":5,"host":"a"},"gone":{"x":1},"list":[1]}`)},
		configsvc.Layer{Name: "base/orders", Version: 4, Value: parse(t, `{"db":{"pool":7},"gone":null,"none":{"y":null}}`)},
		configsvc.Layer{Name: "region/eu", Value: configsvc.Value{}},
		configsvc.Layer{Name: "environment/live", Version: 2, Value: parse(t, `{"db":{"pool":9},"list":[2,3]}`)},
	)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range c.Explain() {
		line := fmt.Sprintf("%s = %s by %s", s.Path, s.Value, s.Layer)
		if s.Deleted {
			line = fmt.Sprintf("%s deleted by %s", s.Path, s.Layer)
		}
		for _, o := range s.Overrides {
			line += fmt.Sprintf(", over %s by %s", o.Value, o.Layer)
		}
		got = append(got, line)
	}
	want := []string{
		`/db/host = "a" by base (version 1)`,
		`/db/pool = 9 by environment/live (version 2), over 7 by base/orders (version 4), over 5 by base (version 1)`,
		`/gone deleted by base/orders (version 4), over {"x":1} by base (version 1)`,
		`/list = [2,3] by environment/live (version 2), over [1] by base (version 1)`,
		`/none = {} by base/orders (version 4)`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("explain must name the layer and version of each value (-want +got):\n%s", diff)
	}
}

// Taking away the layer that explain names must change the value.
func TestExplainNamesTheLayerThatDecides(t *testing.T) {
	checked := 0
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 5))
		layers := make([]configsvc.Layer, 4)
		for i := range layers {
			layers[i] = configsvc.Layer{Name: fmt.Sprint(i), Value: generated(t, r, true)}
		}
		c, err := configsvc.Compile(layers...)
		if err != nil {
			continue
		}
		for _, s := range c.Explain() {
			if s.Deleted || s.Value.Kind() == configsvc.Object || s.Value.Kind() == configsvc.Array {
				continue
			}
			checked++
			said := layers[int(s.Layer.Name[0]-'0')].Value.At(s.Path)
			if !said.Equal(s.Value) {
				t.Fatalf("seed %d: explain says that layer %s sets %s to %s; it says %s", seed, s.Layer, s.Path, s.Value, said)
			}
		}
	}
	if checked < 1000 {
		t.Fatalf("only %d values were checked", checked)
	}
}

func TestDiff(t *testing.T) {
	before := parse(t, `{"a":{"x":1,"y":[1]},"gone":{"z":1},"s":{"$sealed":"1"}}`)
	after := parse(t, `{"a":{"x":2,"y":[1,2]},"new":true,"s":{"$sealed":"2"}}`)
	var got []string
	for _, c := range configsvc.Diff(before, after) {
		got = append(got, fmt.Sprintf("%s: %s -> %s", c.Path, c.Before, c.After))
	}
	want := []string{"/a/x: 1 -> 2", "/a/y: [1] -> [1,2]", `/gone: {"z":1} -> `, "/new:  -> true", `/s: {"$sealed":"1"} -> {"$sealed":"2"}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if d := configsvc.Diff(configsvc.Value{}, after); len(d) != 1 || d[0].Path != "" || !d[0].Before.IsZero() {
		t.Errorf("from nothing all is new: %v", d)
	}
}

// What differs, put into the one, gives the other.
func TestDiffIsComplete(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 6))
		a, b := generated(t, r, false), generated(t, r, false)
		for _, c := range configsvc.Diff(a, b) {
			if !a.At(c.Path).Equal(c.Before) || !b.At(c.Path).Equal(c.After) {
				t.Fatalf("seed %d: %s is said to be %s and then %s; it is %s and then %s", seed, c.Path, c.Before, c.After, a.At(c.Path), b.At(c.Path))
			}
		}
		if len(configsvc.Diff(a, b)) == 0 && !a.Equal(b) {
			t.Fatalf("seed %d: %s and %s differ", seed, a, b)
		}
	}
}

func TestRedact(t *testing.T) {
	v := parse(t, `{"a":{"$sealed":"c2VhbGVk"},"list":[{"$secret":"hunter2"}],"b":{"$redacted":"m"},"plain":1}`)
	got := configsvc.Redact(v)
	if text := got.String(); strings.Contains(text, "hunter2") || strings.Contains(text, "c2VhbGVk") {
		t.Errorf("nothing of a secret may be left: %s", text)
	}
	if form, mark := configsvc.SecretForm(got.Get("a")); form != configsvc.RedactedMember || mark != configsvc.Mark("c2VhbGVk") {
		t.Errorf("a redacted secret must be told by its mark: %s", got)
	}
	if !got.Get("b").Equal(v.Get("b")) || !got.Get("plain").Equal(v.Get("plain")) {
		t.Errorf("what is redacted stays: %s", got)
	}
}
