package hal_test

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/hal"
)

func TestUnknownMembersSurviveAWrite(t *testing.T) {
	const before = `{"zeta":1,"_links":{"weird":{"href":"/w","media":"print"},"self":{"href":"/x"}},` +
		`"name":"old","note":null,"big":12345678901234567890,"nested":{"known":1,"unknown":[1,{"a":null}]},"list":[1,2]}`
	type doc struct {
		Links struct {
			Self hal.Link `json:"self"`
		} `json:"_links"`
		Name   string  `json:"name"`
		Note   *string `json:"note"`
		Fresh  string  `json:"fresh,omitempty"`
		Gone   []int   `json:"list,omitempty"`
		Nested struct {
			Known int `json:"known"`
		} `json:"nested"`
	}
	sent := ""
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			data, _ := io.ReadAll(r.Body)
			sent = string(data)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", hal.HALType)
		w.Header().Set("Etag", `"1"`)
		_, _ = io.WriteString(w, before)
	}), nil)
	r, err := hal.Get[doc](t.Context(), c, "/x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hal.Put(t.Context(), c, r, r.Value); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, sent); diff != "" {
		t.Errorf("an unchanged value must be sent back byte for byte: %s", diff)
	}
	v := r.Value
	v.Name, v.Fresh, v.Gone, v.Nested.Known = "new", "yes", nil, 2
	if _, err := hal.Put(t.Context(), c, r, v); err != nil {
		t.Fatal(err)
	}
	want := `{"zeta":1,"_links":{"weird":{"href":"/w","media":"print"},"self":{"href":"/x"}},` +
		`"name":"new","note":null,"big":12345678901234567890,"nested":{"known":2,"unknown":[1,{"a":null}]},"fresh":"yes"}`
	if diff := cmp.Diff(want, sent); diff != "" {
		t.Errorf("what the type doesn't know stays, in its place: %s", diff)
	}
	patch, err := hal.Changes(r, v)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"name":"new","fresh":"yes","nested":{"known":2},"list":null}`; !sameJSON(t, want, string(patch)) {
		t.Errorf("changes: %s, want %s", patch, want)
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal([]byte(a), &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		t.Fatal(err)
	}
	return cmp.Equal(x, y)
}

func TestEmptyCollectionsStay(t *testing.T) {
	got, err := hal.Marshal(hal.Collection[restaurant]{Embedded: &hal.Items[restaurant]{}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"_links":{"self":{"href":""},"item":[]},"total":0,"_embedded":{"item":[]}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("nothing is [], never null: %s", diff)
	}
	type other struct {
		Null  *int              `json:"null"`
		Raw   json.RawMessage   `json:"raw"`
		Bytes []byte            `json:"bytes"`
		Map   map[string][]int  `json:"map"`
		Deep  []map[string]Deep `json:"deep"`
	}
	got, err = hal.Marshal(&other{Map: map[string][]int{"a": nil}, Deep: []map[string]Deep{{"x": {}}}})
	if err != nil {
		t.Fatal(err)
	}
	want = `{"null":null,"raw":null,"bytes":null,"map":{"a":[]},"deep":[{"x":{"in":[]}}]}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

type Deep struct {
	In []string `json:"in"`
	*Deep
}

func TestDynamicLinks(t *testing.T) {
	var l hal.Links
	if got, _ := hal.Marshal(l); string(got) != "{}" || !l.IsZero() {
		t.Errorf("the zero value is an empty set, got %s", got)
	}
	l.Set("self", hal.To("/a?x=1&y=<2>"))
	l.SetAll("item")
	l.Add("item", hal.To("/1"))
	l.Add("item", hal.To("/2"), hal.Link{Href: "/3", Title: "drei\n\"3\""})
	l.Add("self", hal.To("/b"))
	l.Set("next", hal.To("/n"))
	kept := l
	l.Delete("self")
	l.Delete("absent")
	l.Set("next", hal.TemplateTo("/n{?p}"))
	got, err := hal.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"item":[{"href":"/1"},{"href":"/2"},{"href":"/3","title":"drei\n\"3\""}],"next":{"href":"/n{?p}","templated":true}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	got, _ = hal.Marshal(kept)
	want = `{"self":[{"href":"/a?x=1&y=<2>"},{"href":"/b"}],"item":[{"href":"/1"},{"href":"/2"},{"href":"/3","title":"drei\n\"3\""}],"next":{"href":"/n"}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("a copy is left alone: %s", diff)
	}
	var back hal.Links
	if err := json.Unmarshal(got, &back); err != nil || !back.Equal(kept) || back.Equal(l) {
		t.Error(err, back)
	}
	if err := json.Unmarshal([]byte(`[1]`), &back); err == nil {
		t.Error("_links must be an object")
	}
}
