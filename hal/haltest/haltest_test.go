package haltest_test

import (
	"fmt"
	"io"
	"net/http"
	"sort"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/hal/haltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type doc struct {
	Links hal.Links `json:"_links"`
}

// sound is an API with nothing wrong.
func sound() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", hal.Handler(func(w http.ResponseWriter, r *http.Request) error {
		var d doc
		d.Links.Set("self", hal.To("/"))
		d.Links.SetAll("curies", hal.Curie("acme", "/rels/{rel}"))
		d.Links.SetAll("acme:item", hal.To("/items/1"), hal.To("/items/2"))
		d.Links.Set("find", hal.TemplateTo("/items/{id}"))
		d.Links.Set("elsewhere", hal.To("http://other.example/never"))
		return hal.Write(w, r, http.StatusOK, d, nil)
	}))
	mux.Handle("GET /items/{id}", hal.Handler(func(w http.ResponseWriter, r *http.Request) error {
		var d doc
		d.Links.Set("self", hal.To(r.URL.Path))
		return hal.Write(w, r, http.StatusOK, d, nil)
	}))
	return mux
}

func TestCrawlOfASoundAPI(t *testing.T) {
	report := haltest.Check(t, "http://api.test/", &haltest.Options{Transport: haltest.Serve(sound()), Values: map[string]string{"id": "7"}})
	if len(report.Visited) != 4 || report.Documents != 4 || report.Relations["acme:item"] != 2 {
		t.Errorf("%+v", report)
	}
}

func TestCrawlFindsWhatIsWrong(t *testing.T) {
	pages := map[string]string{
		"/": `{"_links":{"self":{"href":"/"},"gone":{"href":"/gone"},"item":[{"href":"/flip"}],"braces":{"href":"/{x}"},` +
			`"bad":{"href":"/{","templated":true},"x:rel":{"href":"/"},"none":{"title":"no href"},"weak":{"href":"/weak"},"loop":{"href":"/?page=2"}}}`,
		"/flip": `{"_links":{"item":{"href":"/"}},"_embedded":{"part":[{"_links":{"broken":{"href":"/broken"}}}],"odd":3}}`,
		"/weak": `{"_links":{"self":{"href":"/flip"}}}`,
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[r.URL.Path]
		if !ok {
			http.Error(w, "nothing here", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", hal.HALType)
		if r.URL.Path != "/weak" {
			w.Header().Set("Etag", `"1"`)
		}
		_, _ = io.WriteString(w, page)
	})
	report, err := haltest.Crawl(t.Context(), "http://api.test/", &haltest.Options{Transport: haltest.Serve(handler)})
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]int{}
	for _, f := range report.Findings {
		rules[f.Rule]++
	}
	want := map[string]int{"links": 2, "problem": 2, "self": 2, "template": 4, "shape": 4, "curie": 2, "etag": 4}
	if fmt.Sprint(rules) != fmt.Sprint(want) {
		var all []string
		for _, f := range report.Findings {
			all = append(all, f.String())
		}
		sort.Strings(all)
		t.Errorf("found %v, want %v:\n%s", rules, want, strings.Join(all, "\n"))
	}
	report, err = haltest.Crawl(t.Context(), "http://api.test/", &haltest.Options{
		Transport: haltest.Serve(handler), Limit: 1, Ignore: []string{"etag"}, Skip: func(rel, _ string) bool { return rel == "gone" },
	})
	if err != nil || !report.Truncated || len(report.Visited) != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	if _, err := haltest.Crawl(t.Context(), "nowhere", nil); err == nil {
		t.Error("start must be absolute")
	}
}

// failures counts what assertions report instead of failing.
type failures struct {
	testing.TB
	n int
}

func (f *failures) Helper()               {}
func (f *failures) Errorf(string, ...any) { f.n++ }

func TestAssertions(t *testing.T) {
	c := hal.NewClient(&hal.ClientOptions{HTTP: &http.Client{Transport: haltest.Serve(sound())}})
	root, err := hal.Get[hal.Any](t.Context(), c, "http://api.test/")
	if err != nil {
		t.Fatal(err)
	}
	haltest.Link(t, root, "self", "/")
	haltest.Links(t, root, "acme:item", "/items/1", "/items/2")
	haltest.NoLink(t, root, "next")
	haltest.Relations(t, root, "find", "acme:item", "/rels/item")
	f := &failures{TB: t}
	haltest.Link(f, root, "self", "/other")
	haltest.Link(f, root, "acme:item", "/items/1")
	haltest.Links(f, root, "self", "/")
	haltest.Links(f, root, "acme:item", "/items/2", "/items/1")
	haltest.NoLink(f, root, "self")
	haltest.Relations(f, root, "next", "prev")
	if f.n != 7 {
		t.Errorf("%d failures, want 7", f.n)
	}
}

func ExampleServe() {
	handler := hal.Handler(func(w http.ResponseWriter, r *http.Request) error {
		return hal.Write(w, r, http.StatusOK, map[string]string{"path": r.URL.Path}, nil)
	})
	client := &http.Client{Transport: haltest.Serve(handler)}
	resp, err := client.Get("http://api.test/restaurants")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(string(body))
	// Output: {"path":"/restaurants"}
}
