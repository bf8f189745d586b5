package hal_test

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/goswale/swale/hal"
)

type restaurantLinks struct {
	Self  hal.Link `json:"self"`
	Menu  hal.Link `json:"menu,omitzero"`
	Tags  hal.Many `json:"tag"`
	Extra hal.Many `json:"extra,omitempty"`
}

type restaurant struct {
	Links restaurantLinks `json:"_links"`
	ID    string          `json:"id"`
	Name  string          `json:"name"`
	Open  bool            `json:"open"`
}

// store is a little service: one collection and its items.
type store struct {
	mu    sync.Mutex
	items map[string]restaurant
	order []string
	urls  *hal.URLs
	gets  int
}

func newStore() *store {
	s := &store{items: map[string]restaurant{}, urls: hal.NewURLs(nil)}
	for _, id := range []string{"1", "2", "3", "4", "5"} {
		r := restaurant{ID: id, Name: "Restaurant " + id}
		r.Links.Self = hal.To("/restaurants/" + id)
		s.items[id] = r
		s.order = append(s.order, id)
	}
	return s
}

func (s *store) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", hal.Handler(s.root))
	mux.Handle("GET /restaurants", hal.Handler(s.list))
	mux.Handle("GET /restaurants/{id}", hal.Handler(s.get))
	mux.Handle("PUT /restaurants/{id}", hal.Handler(s.change))
	mux.Handle("PATCH /restaurants/{id}", hal.Handler(s.change))
	mux.Handle("DELETE /restaurants/{id}", hal.Handler(s.change))
	return mux
}

func (s *store) root(w http.ResponseWriter, r *http.Request) error {
	var doc struct {
		Links struct {
			Self        hal.Link `json:"self"`
			Restaurants hal.Link `json:"restaurants"`
		} `json:"_links"`
	}
	doc.Links.Self, doc.Links.Restaurants = hal.To("/"), hal.To("/restaurants")
	return hal.Write(w, r, http.StatusOK, doc, nil)
}

func (s *store) list(w http.ResponseWriter, r *http.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	page, err := hal.PageOf(r, &hal.PageOptions{Size: 2})
	if err != nil {
		return err
	}
	c := hal.Collection[restaurant]{Links: page.Links(r, s.urls, len(s.order)), Total: len(s.order)}
	c.Links.Find = hal.TemplateTo("/restaurants/{id}")
	for _, id := range hal.Slice(page, s.order) {
		c.Links.Item = append(c.Links.Item, hal.To("/restaurants/"+id))
		if hal.Embeds(r, "item") {
			if c.Embedded == nil {
				c.Embedded = &hal.Items[restaurant]{}
			}
			c.Embedded.Item = append(c.Embedded.Item, s.items[id])
		}
	}
	return hal.Write(w, r, http.StatusOK, c, nil)
}

func (s *store) get(w http.ResponseWriter, r *http.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets++
	v, ok := s.items[r.PathValue("id")]
	if !ok {
		return hal.NewProblem(http.StatusNotFound, "There is no such restaurant.")
	}
	return hal.Write(w, r, http.StatusOK, v, nil)
}

func (s *store) change(w http.ResponseWriter, r *http.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.items[r.PathValue("id")]
	if !ok {
		return hal.NewProblem(http.StatusNotFound, "There is no such restaurant.")
	}
	tag, err := hal.ETag(v)
	if err != nil {
		return err
	}
	if err := hal.Check(r, hal.Conditions{ETag: tag, Require: true}); err != nil {
		return err
	}
	switch r.Method {
	case http.MethodDelete:
		delete(s.items, v.ID)
		w.WriteHeader(http.StatusNoContent)
		return nil
	case http.MethodPut:
		v, err = hal.Decode[restaurant](r, nil)
	case http.MethodPatch:
		v, err = hal.DecodePatch(r, v, nil)
	}
	if err != nil {
		return err
	}
	s.items[v.ID] = v
	return hal.Write(w, r, http.StatusOK, v, nil)
}

func serve(t *testing.T, h http.Handler, opts *hal.ClientOptions) *hal.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	if opts == nil {
		opts = &hal.ClientOptions{}
	}
	opts.HTTP, opts.Base = server.Client(), server.URL
	return hal.NewClient(opts)
}

func TestFollowFromTheRoot(t *testing.T) {
	s := newStore()
	c := serve(t, s.handler(), nil)
	ctx := t.Context()
	root, err := hal.Get[hal.Any](ctx, c, "/")
	if err != nil {
		t.Fatal(err)
	}
	list, err := hal.Follow[hal.Collection[restaurant]](ctx, c, root, "restaurants")
	if err != nil {
		t.Fatal(err)
	}
	one, err := hal.Follow[restaurant](ctx, c, list, "find", hal.V("id", 3))
	if err != nil {
		t.Fatal(err)
	}
	if one.Value.Name != "Restaurant 3" || one.ETag == "" {
		t.Errorf("got %+v", one)
	}
	for i, r := range hal.FollowAll[restaurant](ctx, c, list, "item") {
		if r.Err != nil || r.Resource.Value.ID != s.order[i] {
			t.Errorf("item %d: %+v, %v; FollowAll keeps the order of the document", i, r.Resource, r.Err)
		}
	}
	_, err = hal.Get[restaurant](ctx, c, "/restaurants/99")
	if p := (*hal.Problem)(nil); !errors.As(err, &p) || p.Status != 404 || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent resource is a 404 problem that matches fs.ErrNotExist, got %v", err)
	}
}

func TestWritesAreConditional(t *testing.T) {
	c := serve(t, newStore().handler(), nil)
	ctx := t.Context()
	mine, err := hal.Get[restaurant](ctx, c, "/restaurants/1")
	if err != nil {
		t.Fatal(err)
	}
	v := mine.Value
	v.Name = "Chez Swale"
	after, err := hal.Put(ctx, c, mine, v)
	if err != nil {
		t.Fatal(err)
	}
	if after.Value.Name != "Chez Swale" || after.ETag == mine.ETag {
		t.Errorf("after PUT: %+v", after)
	}
	_, err = hal.Patch(ctx, c, mine, map[string]any{"open": true})
	var conflict *hal.Conflict[restaurant]
	if !errors.As(err, &conflict) || !errors.Is(err, hal.ErrConflict) {
		t.Fatalf("a write against an old version must be a Conflict, got %v", err)
	}
	if diff := cmp.Diff(after.Value, conflict.Current.Value); diff != "" || conflict.Current.ETag != after.ETag {
		t.Errorf("the conflict must carry the current version: %s", diff)
	}
	after, err = hal.Patch(ctx, c, conflict.Current, map[string]any{"open": true})
	if err != nil || !after.Value.Open || after.Value.Name != "Chez Swale" {
		t.Errorf("PATCH: %+v, %v", after, err)
	}
	if err := hal.Delete(ctx, c, after); err != nil {
		t.Error(err)
	}
	if err := hal.Delete(ctx, c, after); err != nil {
		t.Errorf("deleting what is gone succeeds, got %v", err)
	}
}
