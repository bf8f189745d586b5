package nplusone_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/resn"
)

// owner is a restaurants service in small. Its deaf twin, made with announce
// false, changes restaurants and tells nobody, which must be found out.
type owner struct {
	*httptest.Server
	pub      *resn.Publisher
	announce bool

	mu       sync.Mutex
	names    []string
	versions []int
}

func newOwner(t *testing.T, b *bus.Bus, items int, announce bool) *owner {
	t.Helper()
	o := &owner{announce: announce}
	for i := range items {
		o.names = append(o.names, fmt.Sprintf("Bistro %d", i))
		o.versions = append(o.versions, 1)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", hal.Handler(o.root))
	mux.Handle("GET /search", hal.Handler(o.list))
	mux.Handle("GET /r/{id}", hal.Handler(o.item))
	mux.Handle("PATCH /r/{id}", hal.Handler(o.patch))
	o.Server = httptest.NewServer(mux)
	pub, err := resn.NewPublisher(b, "restaurants", &resn.PublisherOptions{Unowned: true})
	if err != nil {
		t.Fatal(err)
	}
	o.pub = pub
	t.Cleanup(func() {
		o.Close()
		if err := pub.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return o
}

var cached = &hal.WriteOptions{CacheControl: `max-age=5, resn="restaurants"`}

func (o *owner) root(w http.ResponseWriter, r *http.Request) error {
	return hal.Write(w, r, http.StatusOK, map[string]any{
		"_links": map[string]any{"restaurants": hal.TemplateTo("/search{?geohash,size}")},
	}, nil)
}

func (o *owner) list(w http.ResponseWriter, r *http.Request) error {
	items := hal.Many{}
	for i := range o.names {
		items = append(items, hal.To("/r/"+strconv.Itoa(i)))
	}
	w.Header().Set("Cache-Groups", `"restaurants"`)
	return hal.Write(w, r, http.StatusOK, map[string]any{"_links": map[string]any{"item": items}}, cached)
}

func (o *owner) item(w http.ResponseWriter, r *http.Request) error {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		return hal.NewProblem(http.StatusNotFound, "")
	}
	o.mu.Lock()
	name, version := o.names[id], o.versions[id]
	o.mu.Unlock()
	opts := *cached
	opts.ETag = fmt.Sprintf(`"v%d"`, version)
	return hal.Write(w, r, http.StatusOK, map[string]any{"name": name, "cuisine": "Bistro"}, &opts)
}

func (o *owner) patch(w http.ResponseWriter, r *http.Request) error {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		return hal.NewProblem(http.StatusNotFound, "")
	}
	var patch struct{ Name string }
	if err := json.NewDecoder(r.Body).Decode(&patch); err != nil {
		return hal.NewProblem(http.StatusBadRequest, err.Error())
	}
	var etag string
	change := func(context.Context) (string, string, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if err := hal.Check(r, hal.Conditions{ETag: fmt.Sprintf(`"v%d"`, o.versions[id]), Require: true}); err != nil {
			return "", "", err
		}
		o.names[id] = patch.Name
		o.versions[id]++
		etag = fmt.Sprintf(`"v%d"`, o.versions[id])
		return resn.Update, etag, nil
	}
	if o.announce {
		err = o.pub.Change(r.Context(), o.URL+r.URL.Path, change)
	} else {
		_, _, err = change(r.Context())
	}
	if err != nil {
		return err
	}
	w.Header().Set("ETag", etag)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
