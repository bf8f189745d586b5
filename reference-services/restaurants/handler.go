package restaurants

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/goswale/swale/hal"
)

// maxBody bounds a request's body, in bytes.
const maxBody = 64 << 10

// Handler returns the HTTP API. Its root leads to everything by links.
func (s *Service) Handler() http.Handler {
	mux := hal.NewMux(&hal.MuxOptions{OnError: func(r *http.Request, err error) {
		s.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}})
	mux.Handle("GET /{$}", s.root)
	mux.Handle("GET /restaurants", s.list)
	mux.Handle("POST /restaurants", s.post)
	mux.Handle("GET /restaurants/{id}", s.get)
	mux.Handle("PUT /restaurants/{id}", s.put)
	mux.Handle("PATCH /restaurants/{id}", s.patch)
	mux.Handle("DELETE /restaurants/{id}", s.remove)
	mux.Handle("GET /healthz", s.health)
	return mux
}

func (s *Service) root(w http.ResponseWriter, r *http.Request) error {
	type links struct {
		Self        hal.Link `json:"self"`
		Restaurants hal.Link `json:"restaurants"`
		Find        hal.Link `json:"find"`
	}
	// One template under both names: expanded with nothing it is the collection.
	find := s.find()
	return hal.Write(w, r, http.StatusOK, struct {
		Links links  `json:"_links"`
		Name  string `json:"name"`
	}{links{hal.To(s.base + "/"), find, find}, "restaurants"}, &hal.WriteOptions{CacheControl: "max-age=60"})
}

func (s *Service) list(w http.ResponseWriter, r *http.Request) error {
	page, err := hal.PageOf(r, &hal.PageOptions{Size: 50, MaxSize: 200})
	if err != nil {
		return err
	}
	prefix := strings.ToLower(r.URL.Query().Get("geohash"))
	if err := validPrefix(prefix); err != nil {
		return err
	}
	members, total, err := list(r.Context(), s.db, prefix, page.Offset(), page.Size)
	if err != nil {
		return err
	}
	// Requests reach us by whatever name; links begin with our own.
	urls := hal.NewURLs(&hal.URLOptions{Prefix: s.base})
	doc := hal.Collection[Restaurant]{Links: page.Links(r, urls, total), Total: total}
	doc.Links.Find = s.find()
	doc.Links.Item = make(hal.Many, len(members))
	for i, m := range members {
		doc.Links.Item[i] = hal.Link{Href: s.itemURL(m.id), Title: m.name}
	}
	w.Header().Set("Cache-Groups", `"`+Topic+`"`)
	return hal.Write(w, r, http.StatusOK, doc, &hal.WriteOptions{CacheControl: s.cache, Templates: hal.Templates{s.form}})
}

func (s *Service) find() hal.Link {
	l := hal.TemplateTo(s.collectionURL() + "{?geohash,page,size}")
	l.Title = "Restaurants, all or those whose geohash begins with geohash"
	return l
}

// validPrefix refuses what no geohash begins with.
func validPrefix(prefix string) error {
	if len(prefix) <= 12 && strings.Trim(prefix, "0123456789bcdefghjkmnpqrstuvwxyz") == "" {
		return nil
	}
	p := hal.NewProblem(http.StatusBadRequest, "The geohash can't be read.")
	p.Errors = []hal.FieldError{{
		Parameter: "geohash",
		Detail:    "A geohash has at most 12 characters, digits and lower-case letters without a, i, l and o.",
	}}
	return p
}

func (s *Service) get(w http.ResponseWriter, r *http.Request) error {
	found, err := find(r.Context(), s.db, r.PathValue("id"))
	if errors.Is(err, errNone) {
		// What isn't there may be made: this answer too is kept fresh by notices, of
		// the restaurant or of the collection.
		p := noSuch()
		p.Header = http.Header{"Cache-Control": {s.cache}, "Cache-Groups": {`"` + Topic + `"`}}
		return p
	}
	if err != nil {
		return err
	}
	return s.write(w, r, http.StatusOK, found)
}

func (s *Service) post(w http.ResponseWriter, r *http.Request) error {
	doc, err := hal.Decode[document](r, &hal.DecodeOptions{MaxBytes: maxBody, Strict: true})
	if err != nil {
		return err
	}
	if doc.ID != "" {
		return invalid(hal.FieldError{Pointer: "#/id", Detail: "The id is given by the service."})
	}
	made, err := s.create(r.Context(), doc.State)
	if err != nil {
		return problem(err)
	}
	w.Header().Set("Location", s.itemURL(made.ID))
	return s.write(w, r, http.StatusCreated, made)
}

func (s *Service) put(w http.ResponseWriter, r *http.Request) error {
	doc, err := hal.Decode[document](r, &hal.DecodeOptions{MaxBytes: maxBody, Strict: true})
	if err != nil {
		return err
	}
	return s.edit(w, r, func(Restaurant) (document, error) { return doc, nil })
}

func (s *Service) patch(w http.ResponseWriter, r *http.Request) error {
	// The body is read before the transaction, which keeps all other writers out and
	// must not wait for a slow client.
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1)) // one more, for DecodePatch to refuse
	if err != nil {
		return &hal.Problem{Status: http.StatusBadRequest, Detail: "The body could not be read.", Err: err}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return s.edit(w, r, func(current Restaurant) (document, error) {
		return hal.DecodePatch(r, documentOf(current), &hal.DecodeOptions{MaxBytes: maxBody, Strict: true})
	})
}

// edit changes a restaurant in one transaction with the check of the request's
// conditions, so that a writer who lost the race hears of it.
func (s *Service) edit(w http.ResponseWriter, r *http.Request, decode func(current Restaurant) (document, error)) error {
	changed, err := s.change(r.Context(), r.PathValue("id"), func(current Restaurant) (State, error) {
		if err := hal.Check(r, hal.Conditions{ETag: s.etag(current.Version), Require: true}); err != nil {
			return State{}, err
		}
		doc, err := decode(current)
		if err != nil {
			return State{}, err
		}
		return doc.State, doc.keeps(current)
	})
	if err != nil {
		return problem(err)
	}
	return s.write(w, r, http.StatusOK, changed)
}

func (s *Service) remove(w http.ResponseWriter, r *http.Request) error {
	err := s.delete(r.Context(), r.PathValue("id"), func(current Restaurant) error {
		return hal.Check(r, hal.Conditions{ETag: s.etag(current.Version), Require: true})
	})
	if err != nil {
		return problem(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Service) health(w http.ResponseWriter, r *http.Request) error {
	n, err := s.Count(r.Context())
	if err != nil {
		return &hal.Problem{Status: http.StatusServiceUnavailable, Detail: "The database doesn't answer.", Err: err}
	}
	backlog, err := s.box.Backlog(r.Context())
	if err != nil {
		return &hal.Problem{Status: http.StatusServiceUnavailable, Detail: "The outbox can't be read.", Err: err}
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(map[string]any{"status": "ok", "restaurants": n, "unannounced": backlog.Rows})
}

func (s *Service) write(w http.ResponseWriter, r *http.Request, status int, v Restaurant) error {
	s.link(&v)
	opts := &hal.WriteOptions{ETag: s.etag(v.Version), CacheControl: s.cache}
	if status == http.StatusCreated || r.Method != http.MethodGet && r.Method != http.MethodHead {
		opts.CacheControl = "" // the answer to a write isn't for reuse
	}
	// Its forms hold the restaurant's values, so they are made for those who ask.
	if strings.Contains(strings.Join(r.Header["Accept"], ","), hal.FormsType) {
		change := hal.FormOf("default", http.MethodPut, v.State)
		change.Title = "Change the restaurant"
		opts.Templates = hal.Templates{change, {Name: "delete", Title: "Delete the restaurant", Method: http.MethodDelete}}
	}
	return hal.Write(w, r, status, v, opts)
}

// problem says in the API's words what a store's error means.
func problem(err error) error {
	if errors.Is(err, errNone) {
		return noSuch()
	}
	return err
}

func noSuch() *hal.Problem {
	return hal.NewProblem(http.StatusNotFound, "There is no such restaurant.")
}
