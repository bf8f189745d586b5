package hal_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/hal"
)

// fixture serves documents as others write them.
func fixture(t *testing.T) *hal.Client {
	t.Helper()
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := os.ReadFile(filepath.Join("testdata", "interop", filepath.Base(r.URL.Path)))
		if err != nil {
			hal.WriteProblem(w, r, hal.NewProblem(http.StatusNotFound, r.URL.Path))
			return
		}
		w.Header().Set("Content-Type", "application/hal+json;charset=utf-8")
		w.Header().Set("Etag", `"1"`)
		_, _ = w.Write(data)
	}), nil)
}

func TestInteropDraft(t *testing.T) {
	c := fixture(t)
	type shipped struct {
		Total    float64
		Currency string
	}
	list, err := hal.Get[hal.Any](t.Context(), c, "/draft-order-list.json")
	if err != nil {
		t.Fatal(err)
	}
	orders := hal.FollowAll[shipped](t.Context(), c, list, "orders")
	if len(orders) != 2 || orders[1].Err != nil || orders[1].Resource.Value.Total != 20 {
		t.Fatalf("embedded without links are resources all the same: %+v", orders)
	}
	if got := orders[1].Resource.Links().All("customer"); len(got) != 1 || got[0].Href != "/customers/12369" {
		t.Errorf("embedded resources have links of their own: %v", got)
	}
	for _, rel := range []string{"acme:widgets", "http://docs.acme.example/relations/widgets"} {
		href, err := c.Resolve(list, rel)
		if err != nil || href != list.URL[:len(list.URL)-len("/draft-order-list.json")]+"/widgets" {
			t.Errorf("%s: %s, %v; a relation is found by its CURIE and by its URI", rel, href, err)
		}
	}
	if got := list.Links().Expand("acme:widgets"); got != "http://docs.acme.example/relations/widgets" {
		t.Error(got)
	}
	if got := list.Links().Compact("http://docs.acme.example/relations/gadgets"); got != "acme:gadgets" {
		t.Error(got)
	}
	href, err := c.Resolve(list, "find", hal.V("id", 123))
	if err != nil || filepath.Base(href) != "orders?id=123" {
		t.Error(href, err)
	}
}

func TestInteropSpring(t *testing.T) {
	c := fixture(t)
	page, err := hal.Get[struct {
		Page struct{ TotalElements int }
	}](t.Context(), c, "/spring-page.json")
	if err != nil || page.Value.Page.TotalElements != 2 {
		t.Fatal(page, err)
	}
	people := hal.FollowAll[struct{ FirstName string }](t.Context(), c, page, "people")
	if len(people) != 1 || people[0].Err != nil || people[0].Resource.Value.FirstName != "Ada" {
		t.Fatalf("%+v", people)
	}
	if people[0].Resource.URL != "http://api.example/people/1" {
		t.Error(people[0].Resource.URL)
	}
	if _, err = c.Resolve(page, "next"); err == nil {
		t.Error("a link to another host is refused unless the host is allowed")
	}
}

func TestInteropForms(t *testing.T) {
	c := fixture(t)
	todo, err := hal.Get[map[string]any](t.Context(), c, "/hal-forms.json")
	if err != nil {
		t.Fatal(err)
	}
	forms := todo.Templates()
	if len(forms) != 2 || forms[0].Name != "default" || forms[1].Method != "DELETE" {
		t.Fatalf("%+v", forms)
	}
	if errs := forms[0].Validate([]byte(`{"title":"x","completed":"true","boxes":11}`)); len(errs) != 1 || errs[0].Pointer != "#/boxes" {
		t.Error(errs)
	}
	if errs := forms[0].Validate([]byte(`{"title":"x","completed":"maybe"}`)); len(errs) != 1 || errs[0].Pointer != "#/completed" {
		t.Error(errs)
	}
}

func TestInteropOneOrMany(t *testing.T) {
	c := fixture(t)
	type doc struct {
		restaurant
		Embedded struct {
			Offer []struct {
				Price int `json:"price"`
			} `json:"offer"`
		} `json:"_embedded"`
	}
	r, err := hal.Get[doc](t.Context(), c, "/one-or-many.json")
	if err != nil {
		t.Fatal(err)
	}
	want := restaurantLinks{Self: hal.To("/items/B0"), Tags: hal.Many{hal.To("/tags/new")}, Extra: hal.Many{hal.To("/plain/string")}}
	if diff := cmp.Diff(want, r.Value.Links); diff != "" {
		t.Errorf("whatever the server wrote, a relation has the shape that the type declares: %s", diff)
	}
	if len(r.Value.Embedded.Offer) != 1 || r.Value.Embedded.Offer[0].Price != 3 {
		t.Errorf("so has an embedded one: %+v", r.Value.Embedded)
	}
	if l := r.Links(); !l.IsMany("empty") || l.All("nothing") != nil || l.Len() != 5 {
		t.Errorf("%v", l)
	}
}

func TestInteropEveryLinkProperty(t *testing.T) {
	c := fixture(t)
	r, err := hal.Get[struct {
		Links struct {
			Self hal.Link `json:"self"`
		} `json:"_links"`
	}](t.Context(), c, "/all-properties.json")
	if err != nil {
		t.Fatal(err)
	}
	want := hal.Link{
		Href: "/docs/1", Type: "application/hal+json", Profile: "https://profiles.example/doc",
		Title: `Über "alles" ✓`, Hreflang: "de", Name: "main", Deprecation: "https://api.example/going",
	}
	if diff := cmp.Diff(want, r.Value.Links.Self); diff != "" {
		t.Errorf("declared: %s", diff)
	}
	got, _ := r.Links().Get("self")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dynamic: %s", diff)
	}
}
