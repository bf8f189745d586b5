package owner

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/goswale/swale/hal"
	"github.com/goswale/swale/resn"
)

// Mux serves each resource and its transitions. The service adds what else there
// is: a root, lists, how one is made.
func (c *Collection[S]) Mux() *hal.Mux {
	mux := hal.NewMux(&hal.MuxOptions{OnError: func(r *http.Request, err error) {
		c.opts.Logger.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}})
	item := "/" + c.topic + "/{id}"
	mux.Handle("GET "+item, c.get)
	for i := range c.transitions {
		t := &c.transitions[i]
		mux.Handle("GET "+item+"/"+t.Name, c.describe(t))
		mux.Handle("POST "+item+"/"+t.Name, c.do(t))
	}
	return mux
}

// cacheControl lets those keep an answer who hear notices. Who can't ask may go on
// with what it has for an hour, unless a notice has named it.
func (c *Collection[S]) cacheControl() string {
	return fmt.Sprintf("max-age=%d, stale-if-error=3600, %s", int(c.opts.MaxAge.Seconds()), resn.Directive(c.topic))
}

func (c *Collection[S]) get(w http.ResponseWriter, r *http.Request) error {
	i, err := c.Find(r)
	if p := (*hal.Problem)(nil); errors.As(err, &p) { // which notices keep fresh too
		p.Header = http.Header{"Cache-Control": {c.cacheControl()}, "Cache-Groups": {`"` + c.topic + `"`}}
	}
	if err != nil {
		return err
	}
	return c.Write(w, r, http.StatusOK, i)
}

// Find reads the resource that the request's path names. If there is none the error
// is a problem that says so.
func (c *Collection[S]) Find(r *http.Request) (Item[S], error) {
	i, err := find[S](r.Context(), c.db, r.PathValue("id"))
	return i, c.problem(err)
}

// Write answers with a version of a resource. The answer to a write isn't for reuse,
// and has a cache in between forget what it knows of the resource and of lists.
func (c *Collection[S]) Write(w http.ResponseWriter, r *http.Request, status int, i Item[S]) error {
	opts := &hal.WriteOptions{ETag: c.etag(i.Version), CacheControl: c.cacheControl()}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		opts.CacheControl = ""
		w.Header().Set("Content-Location", c.URL(i.ID))
		w.Header().Set("Cache-Group-Invalidation", `"`+c.topic+`"`)
	}
	// Forms are made for those who ask.
	if strings.Contains(strings.Join(r.Header["Accept"], ","), hal.FormsType) {
		opts.Templates = hal.Templates{}
		for _, t := range c.transitions {
			if t.possible(i.State) {
				opts.Templates = append(opts.Templates, c.formOf(&t, i))
			}
		}
	}
	return hal.Write(w, r, status, c.view(i, c.links(i)), opts)
}

// describe answers who opens the link of a transition with its form.
func (c *Collection[S]) describe(t *Transition[S]) hal.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		i, err := c.Find(r)
		if err != nil {
			return err
		}
		var doc struct {
			Links    hal.Links `json:"_links"`
			Title    string    `json:"title"`
			Possible bool      `json:"possible"`
		}
		doc.Links.Set("self", hal.To(c.URL(i.ID, t.Name)))
		doc.Links.Set("up", hal.To(c.URL(i.ID)))
		doc.Title, doc.Possible = t.Title, t.possible(i.State)
		opts := &hal.WriteOptions{CacheControl: c.cacheControl(), CacheGroups: []string{"/" + c.topic + "/" + i.ID}}
		if doc.Possible {
			opts.Templates = hal.Templates{c.formOf(t, i)}
		}
		return hal.Write(w, r, http.StatusOK, &doc, opts)
	}
}

// List answers with links to those on a list; "" is all of them. The forms are what
// can be added there.
func (c *Collection[S]) List(list string, title func(S) string, forms ...hal.Template) hal.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		page, err := hal.PageOf(r, &hal.PageOptions{Size: 50, MaxSize: 200})
		if err != nil {
			return err
		}
		items, total, err := c.list(r.Context(), list, page)
		if err != nil {
			return err
		}
		urls := hal.NewURLs(&hal.URLOptions{Prefix: c.opts.BaseURL})
		doc := hal.Collection[S]{Links: page.Links(r, urls, total), Total: total}
		for _, i := range items {
			doc.Links.Item = append(doc.Links.Item, hal.Link{Href: c.URL(i.ID), Title: title(i.State)})
		}
		return hal.Write(w, r, http.StatusOK, doc, &hal.WriteOptions{
			CacheControl: c.cacheControl(), CacheGroups: []string{c.topic}, Templates: forms,
		})
	}
}

// Make answers a POST to the collection: of what a client sent it makes a resource.
func Make[S State, In any](c *Collection[S], state func(In) S) hal.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		in, err := hal.Decode[In](r, &hal.DecodeOptions{MaxBytes: maxBody, Strict: true})
		if err != nil {
			return err
		}
		made, err := c.Create(r.Context(), state(in))
		if err != nil {
			return err
		}
		w.Header().Set("Location", c.URL(made.ID))
		return c.Write(w, r, http.StatusCreated, made)
	}
}

// At links to what is at a path of the service, which may be a template.
func (c *Collection[S]) At(path string) hal.Link {
	return hal.Link{Href: c.opts.BaseURL + path, Templated: strings.Contains(path, "{")}
}

// Root answers with links, which lead to everything else.
func (c *Collection[S]) Root(links hal.Links) hal.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		return hal.Write(w, r, http.StatusOK, struct {
			Links hal.Links `json:"_links"`
			Name  string    `json:"name"`
		}{links, c.topic}, &hal.WriteOptions{CacheControl: "max-age=60"})
	}
}

// problem says in the API's words that there is no such resource.
func (c *Collection[S]) problem(err error) error {
	if errors.Is(err, errNone) {
		return hal.NewProblem(http.StatusNotFound, "There is no such resource among the "+c.topic+".")
	}
	return err
}
