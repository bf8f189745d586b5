package hal_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/hal"
)

type address struct {
	Street string `json:"street" form:"required"`
	Zip    string `json:"zip" pattern:"[0-9]{5}"`
}

type newRestaurant struct {
	Links   hal.Links `json:"_links,omitzero"`
	Name    string    `json:"name" prompt:"Name" form:"required,maxlength=10"`
	Cuisine string    `json:"cuisine,omitempty" options:"thai|french"`
	Seats   int       `json:"seats" form:"min=1,max=500"`
	Mail    string    `json:"mail,omitempty" form:"type=email"`
	Days    []string  `json:"days,omitempty" options:"mon|tue|wed" form:"maxitems=2"`
	Address address   `json:"address"`
	Secret  string    `json:"secret,omitempty" form:"-"`
}

func TestFormOfDescribesAStruct(t *testing.T) {
	form := hal.FormOf("create", "POST", newRestaurant{Cuisine: "thai"})
	got, err := hal.Marshal(hal.Templates{form})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"create":{"method":"POST","properties":[` +
		`{"name":"name","prompt":"Name","type":"text","required":true,"maxLength":10},` +
		`{"name":"cuisine","type":"text","value":"thai","options":{"inline":["thai","french"],"maxItems":1}},` +
		`{"name":"seats","type":"number","min":1,"max":500},` +
		`{"name":"mail","type":"email"},` +
		`{"name":"days","type":"text","options":{"inline":["mon","tue","wed"],"maxItems":2}},` +
		`{"name":"address.street","type":"text","required":true},` +
		`{"name":"address.zip","type":"text","regex":"[0-9]{5}"}]}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	var back hal.Templates
	if err := back.UnmarshalJSON(got); err != nil || len(back) != 1 || back[0].Name != "create" {
		t.Errorf("templates must survive: %+v, %v", back, err)
	}
}

func TestValidate(t *testing.T) {
	form := hal.FormOf("create", "POST", newRestaurant{})
	for _, c := range []struct{ doc, pointer, detail string }{
		{`{"seats":2,"address":{"street":"x"}}`, "#/name", "is required"},
		{`{"name":"","seats":2,"address":{"street":"x"}}`, "#/name", "is required"},
		{`{"name":"12345678901","seats":2,"address":{"street":"x"}}`, "#/name", "must have at most 10 characters"},
		{`{"name":"a","seats":0,"address":{"street":"x"}}`, "#/seats", "must be at least 1"},
		{`{"name":"a","seats":501,"address":{"street":"x"}}`, "#/seats", "must be at most 500"},
		{`{"name":"a","seats":true,"address":{"street":"x"}}`, "#/seats", "must be a number"},
		{`{"name":"a","seats":2,"cuisine":"dutch","address":{"street":"x"}}`, "#/cuisine", "is not one of the options"},
		{`{"name":"a","seats":2,"mail":"x","address":{"street":"x"}}`, "#/mail", "must be an e-mail address"},
		{`{"name":"a","seats":2,"days":["mon","tue","wed"],"address":{"street":"x"}}`, "#/days", "takes at most 2"},
		{`{"name":"a","seats":2,"address":{"street":"x","zip":"12345\n"}}`, "#/address/zip", "does not match [0-9]{5}"},
		{`{"name":"a","seats":2,"address":{}}`, "#/address/street", "is required"},
		{`{"name":"a","seats":2,"address":{"street":"x","zip":"12345"}}`, "", ""},
	} {
		errs := form.Validate([]byte(c.doc))
		if c.pointer == "" {
			if len(errs) != 0 {
				t.Errorf("%s must be valid, got %v", c.doc, errs)
			}
			continue
		}
		if diff := cmp.Diff([]hal.FieldError{{Pointer: c.pointer, Detail: c.detail}}, errs); diff != "" {
			t.Errorf("%s: %s", c.doc, diff)
		}
	}
}

func TestSubmitByName(t *testing.T) {
	form := hal.FormOf("create", "POST", newRestaurant{Seats: 20})
	form.Target = "/restaurants"
	search := hal.Template{Name: "search", Target: "/search", Properties: []hal.Property{{Name: "q", Required: true}}}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", hal.Handler(func(w http.ResponseWriter, r *http.Request) error {
		var doc newRestaurant
		doc.Links.Set("self", hal.To("/"))
		return hal.Write(w, r, http.StatusOK, doc, &hal.WriteOptions{Templates: hal.Templates{form, search}})
	}))
	posts := 0
	mux.Handle("POST /restaurants", hal.Handler(func(w http.ResponseWriter, r *http.Request) error {
		posts++
		v, err := hal.Decode[newRestaurant](r, &hal.DecodeOptions{Template: &form})
		if err != nil {
			return err
		}
		w.Header().Set("Location", "/restaurants/7")
		return hal.Write(w, r, http.StatusCreated, v, nil)
	}))
	mux.Handle("GET /search", hal.Handler(func(w http.ResponseWriter, r *http.Request) error {
		return hal.Write(w, r, http.StatusOK, map[string]string{"q": r.URL.Query().Get("q")}, nil)
	}))
	c := serve(t, mux, nil)
	ctx := t.Context()
	root, err := hal.Get[hal.Any](ctx, c, "/")
	if err != nil {
		t.Fatal(err)
	}
	if root.Templates() != nil {
		t.Error("forms are sent only to those who ask for application/prs.hal-forms+json")
	}
	made, err := hal.Submit[newRestaurant](ctx, c, root, "create", map[string]any{"name": "Neu", "address.street": "Elm"})
	if err != nil {
		t.Fatal(err)
	}
	if made.Value.Seats != 20 || made.Value.Address.Street != "Elm" || made.Status != 201 {
		t.Errorf("the form's own values stand where none are given: %+v", made.Value)
	}
	if want := root.URL + "restaurants/7"; made.URL != want {
		t.Errorf("what was created is at its Location: %s, not %s", want, made.URL)
	}
	_, err = hal.Submit[newRestaurant](ctx, c, root, "create", map[string]any{"name": "A name too long", "nmae": 1})
	var p *hal.Problem
	if !errors.As(err, &p) || !errors.Is(err, hal.ErrForm) || len(p.Errors) != 3 || posts != 1 {
		t.Errorf("values that don't fit are refused before they are sent, all at once: %v, %d posts", err, posts)
	}
	found, err := hal.Submit[map[string]string](ctx, c, root, "search", map[string]any{"q": "dim sum"})
	if err != nil || found.Value["q"] != "dim sum" {
		t.Errorf("a form with GET is a query: %+v, %v", found, err)
	}
	if _, err = hal.Submit[hal.Any](ctx, c, root, "absent", nil); !errors.Is(err, hal.ErrForm) {
		t.Errorf("a form that isn't there is ErrForm, got %v", err)
	}
}

func TestServerRefusesWhatTheFormRefuses(t *testing.T) {
	form := hal.FormOf("create", "POST", newRestaurant{})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", jsonBody(`{"seats":1}`))
	r.Header.Set("Content-Type", hal.JSONType)
	_, err := hal.Decode[newRestaurant](r, &hal.DecodeOptions{Template: &form})
	var p *hal.Problem
	if !errors.As(err, &p) || p.Status != 422 || len(p.Errors) != 2 {
		t.Errorf("got %v", err)
	}
}
