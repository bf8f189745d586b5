package hal_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/hal"
)

func seeds(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/interop/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no interop documents", err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

func FuzzUnmarshal(f *testing.F) {
	seeds(f)
	f.Add([]byte(`{"_embedded":{"item":{"_embedded":{"item":{"_links":{"self":["x"]}}}}}}`))
	type node struct {
		Links    restaurantLinks   `json:"_links"`
		Embedded map[string][]node `json:"_embedded"`
		Name     string            `json:"name"`
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var declared node
		err := hal.Unmarshal(data, &declared)
		if err == nil {
			out, err := hal.Marshal(declared)
			if err != nil {
				t.Fatal(err)
			}
			var again node
			if err := hal.Unmarshal(out, &again); err != nil {
				t.Fatalf("what was written can't be read: %s: %v", out, err)
			}
			twice, err := hal.Marshal(again)
			if err != nil || string(twice) != string(out) {
				t.Fatalf("written again it is another: %s, %s, %v", out, twice, err)
			}
		}
		var dynamic struct {
			Links hal.Links `json:"_links"`
		}
		if json.Unmarshal(data, &dynamic) == nil {
			l := dynamic.Links
			for rel := range l.Relations() {
				l.Find(rel)
				l.Compact(l.Expand(rel))
			}
			l.Add("x", hal.To("/x"))
			l.Delete("x")
			out, err := hal.Marshal(l)
			if err != nil || !json.Valid(out) {
				t.Fatalf("%s, %v", out, err)
			}
		}
		var p hal.Problem
		_ = json.Unmarshal(data, &p)
		_ = p.Error()
		var forms hal.Templates
		_ = json.Unmarshal(data, &forms)
		for i := range forms {
			forms[i].Validate(data)
		}
	})
}

func FuzzLinkHeader(f *testing.F) {
	f.Add(`</a>; rel="next prev"; title*=UTF-8'en'%e2%82%ac; title="x\"y", <b>;rel=up;anchor="#x"`)
	f.Add(`<a>;;;rel`)
	f.Fuzz(func(t *testing.T, value string) {
		for _, l := range hal.ParseLinkHeader([]string{value}) {
			title := l.Link.Title
			l.Link.Title = ""
			plain := !strings.ContainsFunc(fmt.Sprint(l), func(r rune) bool { return r < 0x20 || r >= 0x7f })
			l.Link.Title = title
			if l.Anchor != "" || strings.ContainsAny(l.Link.Href, "<> ") || !plain {
				continue
			}
			back := hal.ParseLinkHeader([]string{hal.FormatLinkHeader(l.Rel, l.Link)})
			want := []hal.HeaderLink{l}
			if strings.ToValidUTF8(value, "") != value {
				continue
			}
			if diff := cmp.Diff(want, back); diff != "" {
				t.Fatalf("%q: %s", value, diff)
			}
		}
	})
}

func FuzzCuries(f *testing.F) {
	f.Add("acme", "https://docs.example/{rel}/x", "widgets")
	f.Add("a", "{rel}", ":")
	f.Fuzz(func(t *testing.T, name, template, reference string) {
		var l hal.Links
		l.SetAll("curies", hal.Curie(name, template))
		rel := name + ":" + reference
		full := l.Expand(rel)
		if full == rel || strings.Contains(name, ":") || strings.ToValidUTF8(name+template+reference, "") != name+template+reference {
			return
		}
		l.Set(rel, hal.To("/found"))
		if got := l.Find(full); reference != "" && rel != "curies" && full != "curies" && len(got) != 1 {
			t.Fatalf("%q isn't found as %q", rel, full)
		}
	})
}

// Time must grow with the text, not with its square.
func TestHostileDocumentsTakeLinearTime(t *testing.T) {
	for name, doc := range map[string]func(n int) string{
		"backslashes": func(n int) string { return `{"_links":{"self":{"href":"` + strings.Repeat(`\\`, n) + `"}}}` },
		"quotes":      func(n int) string { return `{"_links":{"self":{"href":"` + strings.Repeat(`\"`, n) + `"}}}` },
		"relations": func(n int) string {
			many := make([]string, n/10)
			for i := range many {
				many[i] = `"r` + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + `":{"href":"/x"}`
			}
			return `{"_links":{` + strings.Join(many, ",") + `}}`
		},
		"one wrong": func(n int) string {
			return `{"_links":{"tag":{"href":"/x"}},"x":[` + strings.Repeat(`{},`, n) + `{}]}`
		},
		"nested": func(n int) string { // the depth that the decoder takes
			return `{"_links":{"tag":{"href":"/x"}},"x":` + strings.Repeat(`[`, n/23) + strings.Repeat(`]`, n/23) + `}`
		},
		"links": func(n int) string {
			return `{"_links":{"tag":[` + strings.Repeat(`{"href":"/x"},`, n/10) + `{"href":"/x"}],"self":[]}}`
		},
	} {
		linear(t, name, func(n int) func() {
			data := []byte(doc(n))
			return func() {
				var v restaurant
				_ = hal.Unmarshal(data, &v)
				var dynamic struct {
					Links hal.Links `json:"_links"`
				}
				_ = hal.Unmarshal(data, &dynamic)
				dynamic.Links.Len()
			}
		})
	}
	linear(t, "Link", func(n int) func() {
		header := []string{strings.Repeat(`<a>;x="\\`, n/10), strings.Repeat("<", n), strings.Repeat(";", n), "<a>" + strings.Repeat(";a", n)}
		return func() { hal.ParseLinkHeader(header) }
	})
}

// linear requires that four times as much takes about four times as long, where a
// square would be 16 times. A machine that has much else to do only prolongs the
// search for the shortest times of both.
func linear(t *testing.T, name string, prepare func(n int) func()) {
	t.Helper()
	const n = 50_000
	little, much := prepare(n), prepare(4*n)
	short, long := time.Hour, time.Hour
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
		short, long = min(short, timed(little)), min(long, timed(much))
		if long <= 8*short {
			return
		}
	}
	t.Errorf("%s: %v, and four times as much takes %v", name, short, long)
}

func timed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}
