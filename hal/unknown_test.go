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

func TestUnknownMembersInsideArraysSurviveAWrite(t *testing.T) {
	type line struct {
		ID    string `json:"id,omitempty"`
		Count int    `json:"count"`
	}
	type doc struct {
		Lines []line `json:"lines"`
	}
	const before = `{"lines":[{"id":"a","count":1,"note":"x"},{"id":"b","count":2,"note":"y"}],"_links":{"weird":{"href":"/w"}}}`
	const anonymous = `{"lines":[{"count":1,"note":"x"},{"count":2,"note":"y"}]}`
	tests := []struct {
		name, before string
		change       func(*doc)
		want         string
	}{
		{"changed in place", before, func(d *doc) { d.Lines[1].Count = 3 }, `{"id":"a","count":1,"note":"x"},{"id":"b","count":3,"note":"y"}`},
		{"moved", before, func(d *doc) { d.Lines[0], d.Lines[1] = d.Lines[1], d.Lines[0] }, `{"id":"b","count":2,"note":"y"},{"id":"a","count":1,"note":"x"}`},
		{"moved and changed", before, func(d *doc) { d.Lines = []line{{"b", 9}, {"a", 8}} }, `{"id":"b","count":9,"note":"y"},{"id":"a","count":8,"note":"x"}`},
		{"one removed", before, func(d *doc) { d.Lines = d.Lines[1:] }, `{"id":"b","count":2,"note":"y"}`},
		{"one put in front", before, func(d *doc) { d.Lines = append([]line{{"c", 3}}, d.Lines...) }, `{"id":"c","count":3},{"id":"a","count":1,"note":"x"},{"id":"b","count":2,"note":"y"}`},
		{"another in its place", before, func(d *doc) { d.Lines[0] = line{"c", 1} }, `{"id":"c","count":1},{"id":"b","count":2,"note":"y"}`},
		{"without identity, in place", anonymous, func(d *doc) { d.Lines[0].Count = 7 }, `{"count":7,"note":"x"},{"count":2,"note":"y"}`},
		{"without identity, removed and changed", anonymous, func(d *doc) { d.Lines = []line{{Count: 7}} }, `{"count":7}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sent := ""
			c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet {
					data, _ := io.ReadAll(r.Body)
					sent = string(data)
					w.WriteHeader(http.StatusNoContent)
					return
				}
				w.Header().Set("Content-Type", hal.HALType)
				w.Header().Set("Etag", `"1"`)
				_, _ = io.WriteString(w, tt.before)
			}), nil)
			r, err := hal.Get[doc](t.Context(), c, "/x")
			if err != nil {
				t.Fatal(err)
			}
			v := doc{Lines: append([]line(nil), r.Value.Lines...)}
			tt.change(&v)
			if _, err := hal.Put(t.Context(), c, r, v); err != nil {
				t.Fatal(err)
			}
			want := `{"lines":[` + tt.want + `]}`
			if tt.before == before {
				want = want[:len(want)-1] + `,"_links":{"weird":{"href":"/w"}}}`
			}
			if diff := cmp.Diff(want, sent); diff != "" {
				t.Errorf("put: %s", diff)
			}
			patch, err := hal.Changes(r, v)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(`{"lines":[`+tt.want+`]}`, string(patch)); diff != "" {
				t.Errorf("changes: %s", diff)
			}
		})
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
