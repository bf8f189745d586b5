package scaffold

import (
	"go/format"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"

	reference "github.com/goswale/swale/reference-services"
)

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		request Request
		files   []string // some of them
		says    []string // the files together
	}{
		{
			Request{Kind: Domain, Name: "menus"},
			[]string{".gitignore", "README.md", "cmd/menus/main.go", "go.mod", "service_test.go", "state.go"},
			[]string{"package menus\n", "module example.com/menus\n", `"example.com/menus"`, "// Menu is a menu as it is served.",
				`const Topic = "menus"`, `"GET /menus/{id}"`, "menus_counter", "`json:\"kind\"", "go run ./cmd/menus", "/menus\n"},
		}, {
			Request{Kind: Domain, Name: "orders"},
			nil,
			[]string{"an order as it is served", "An order needs a name.", "ToAnOrder(t", "Add an order"},
		}, {
			Request{Kind: Domain, Name: "people", Singular: "person", Module: "example.org/a/b-c"},
			[]string{"cmd/people/main.go"},
			[]string{`people "example.org/a/b-c"`, "Person is a person", "no such person"},
		}, {
			Request{Kind: Edge, Name: "near-menus"},
			[]string{"cmd/near-menus/main.go", "page.html"},
			[]string{"package nearmenus\n", `nearmenus "example.com/near-menus"`, "MENUS_URL", `Name: "near-menus"`, "> Near menus</a>",
				"type Menu struct", "go run ./cmd/near-menus", `relSearch = "menus"`},
		}, {
			Request{Kind: Edge, Name: "shop", Of: "users"},
			[]string{"cmd/shop/main.go"},
			[]string{"package shop\n", `"example.com/shop"`, "ToAUser(t", "a user"},
		},
	} {
		t.Run(c.request.Name, func(t *testing.T) {
			made, err := Plan(reference.Sources(), c.request)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range c.files {
				if !slices.Contains(made.Files(), name) {
					t.Errorf("there is no %s among %v", name, made.Files())
				}
			}
			var all strings.Builder
			// What only the services speak of that it is copied from.
			traces := regexp.MustCompile(`(?i)restaurant|storefront|cuisine|borough|prep_?minutes|new york|nyc|manhattan|reference-?services|\ba order|AOrder`)
			for _, f := range made.files {
				all.Write(f.data)
				if found := traces.Find(append([]byte(f.name+"\n"), f.data...)); found != nil {
					t.Errorf("%s speaks of %q", f.name, found)
				}
				if path.Ext(f.name) == ".go" {
					if formatted, err := format.Source(f.data); err != nil || string(formatted) != string(f.data) {
						t.Errorf("gofmt would change %s: %v", f.name, err)
					}
				}
			}
			for _, want := range c.says {
				if !strings.Contains(all.String(), want) {
					t.Errorf("nothing says %q", want)
				}
			}
		})
	}
}

// What a copy requires is what it imports, at the versions of the module that it
// comes from.
func TestRequirements(t *testing.T) {
	parse := func(data []byte) map[string]string {
		f, err := modfile.Parse("go.mod", data, nil)
		if err != nil {
			t.Fatal(err)
		}
		versions := make(map[string]string)
		for _, r := range f.Require {
			versions[r.Mod.Path] = r.Mod.Version
		}
		return versions
	}
	data, err := reference.Sources().(interface{ ReadFile(string) ([]byte, error) }).ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	from := parse(data)
	made, err := Plan(reference.Sources(), Request{Kind: Edge, Name: "near-menus"})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.Index(made.Files(), "go.mod")
	requires := parse(made.files[i].data)
	for name, version := range requires {
		if from[name] != version {
			t.Errorf("it requires %s %s, and %s was tested", name, version, from[name])
		}
	}
	const ours = "github.com/goswale/swale/"
	if requires[ours+"bus/natsbus"] == "" || requires[ours+"bus"] == "" || requires[ours+"bus/outbox"] != "" || requires[ours+"auth"] != "" {
		t.Errorf("it requires %v; bus and natsbus are imported, outbox and auth aren't", requires)
	}
}

func TestBadRequests(t *testing.T) {
	for _, c := range []struct {
		request Request
		says    string
	}{
		{Request{Kind: "kernel", Name: "menus"}, "what can is domain"},
		{Request{Kind: Domain, Name: "../menus"}, "one word"},
		{Request{Kind: Domain, Name: "Menus"}, "lower-case"},
		{Request{Kind: Domain, Name: "near-menus"}, "one word"},
		{Request{Kind: Domain, Name: "7menus"}, "one word"},
		{Request{Kind: Domain, Name: ""}, "one word"},
		{Request{Kind: Domain, Name: strings.Repeat("x", 40) + "s"}, "at most 40"},
		{Request{Kind: Domain, Name: "menu"}, "--singular"},
		{Request{Kind: Domain, Name: "address"}, "--singular"},
		{Request{Kind: Domain, Name: "people", Singular: "a person"}, "--singular"},
		{Request{Kind: Domain, Name: "types"}, `"type" is a word of the Go language`},
		{Request{Kind: Domain, Name: "strings"}, `"string" is a word of the Go language`},
		{Request{Kind: Domain, Name: "values"}, "SQL"},
		{Request{Kind: Domain, Name: "services"}, "Service"},
		{Request{Kind: Domain, Name: "addresses"}, "Address"},
		{Request{Kind: Domain, Name: "menus", Of: "orders"}, "--of"},
		{Request{Kind: Domain, Name: "menus", Module: "../menus"}, "--module"},
		{Request{Kind: Domain, Name: "menus", Module: "menus"}, "--module"},
		{Request{Kind: Edge, Name: "front"}, "--of"},
		{Request{Kind: Edge, Name: "near_menus"}, "hyphens"},
		{Request{Kind: Edge, Name: "near-menus", Of: "all-menus"}, "--of"},
		{Request{Kind: Edge, Name: "near-pages"}, "Page"},
		{Request{Kind: Edge, Name: "page", Of: "menus"}, "page"},
		{Request{Kind: Edge, Name: "switch", Of: "menus"}, "word of the Go language"},
	} {
		if _, err := Plan(reference.Sources(), c.request); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v gave %v; want an error that says %q", c.request, err, c.says)
		}
	}
}

func TestNouns(t *testing.T) {
	for plural, want := range map[string]string{
		"menus": "a menu", "orders": "an order", "cities": "a city", "ties": "a tie", "boxes": "a box", "dishes": "a dish",
		"branches": "a branch", "classes": "a class", "buses": "a bus", "courses": "a course", "heroes": "a hero",
		"invoices": "an invoice", "users": "a user", "units": "a unit", "uploads": "an upload", "hours": "an hour",
		"houses": "a house", "events": "an event", "s3s": "a s3",
	} {
		n, err := newNoun(plural, "")
		if got := n.article() + " " + n.singular; err != nil || got != want {
			t.Errorf("one of %s is %s, %v; want %s", plural, got, err, want)
		}
	}
}
