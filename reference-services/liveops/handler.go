package liveops

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/goswale/swale/hal"
)

// Handler returns the HTTP API. Its root leads to everything by links.
func (s *Service) Handler() http.Handler {
	mux := hal.NewMux(&hal.MuxOptions{OnError: func(r *http.Request, err error) {
		s.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}})
	mux.Handle("GET /{$}", s.root)
	mux.Handle("GET /issues", func(w http.ResponseWriter, r *http.Request) error { return s.list(w, r, false) })
	mux.Handle("GET /issues/open", func(w http.ResponseWriter, r *http.Request) error { return s.list(w, r, true) })
	mux.Handle("GET /issues/{id}", s.get)
	mux.Handle("POST /issues/{id}/acknowledge", func(w http.ResponseWriter, r *http.Request) error {
		return s.act(w, r, relAcknowledge, func(i *issue) { i.acknowledged = time.Now().UnixMilli() })
	})
	mux.Handle("POST /issues/{id}/resolve", func(w http.ResponseWriter, r *http.Request) error {
		return s.act(w, r, relResolve, func(i *issue) { i.resolved, i.resolvedBy = time.Now().UnixMilli(), byOperator })
	})
	mux.Handle("GET /healthz", s.health)
	return mux
}

func (s *Service) root(w http.ResponseWriter, r *http.Request) error {
	var links hal.Links
	links.Set("self", hal.To(s.base+"/"))
	links.Set("issues", hal.Link{Href: s.collectionURL() + "{?page,size}", Templated: true, Title: "Issues of all times, the newest first"})
	links.Set("issues-open", hal.Link{Href: s.openURL() + "{?page,size}", Templated: true, Title: "Those that aren't resolved, the oldest first"})
	links.Set("issue", hal.TemplateTo(s.collectionURL()+"/{id}"))
	return hal.Write(w, r, http.StatusOK, struct {
		Links hal.Links `json:"_links"`
		Name  string    `json:"name"`
	}{links, Topic}, &hal.WriteOptions{CacheControl: "max-age=60"})
}

// list is links and nothing else, so that each issue is cached once. A list is in
// the topic's group: any change of an issue may be one of the list.
func (s *Service) list(w http.ResponseWriter, r *http.Request, unresolved bool) error {
	page, err := hal.PageOf(r, &hal.PageOptions{Size: 100, MaxSize: 500})
	if err != nil {
		return err
	}
	members, total, err := list(r.Context(), s.db, unresolved, page.Offset(), page.Size)
	if err != nil {
		return err
	}
	// Requests reach us by whatever name; links begin with our own.
	doc := hal.Collection[Issue]{Links: page.Links(r, hal.NewURLs(&hal.URLOptions{Prefix: s.base}), total), Total: total}
	for _, m := range members {
		doc.Links.Item = append(doc.Links.Item, hal.Link{Href: s.itemURL(m.id), Title: m.kind})
	}
	return hal.Write(w, r, http.StatusOK, doc, &hal.WriteOptions{CacheControl: s.cache, CacheGroups: []string{Topic}})
}

func (s *Service) get(w http.ResponseWriter, r *http.Request) error {
	i, err := find(r.Context(), s.db, r.PathValue("id"))
	if errors.Is(err, errNone) {
		p := noSuch()
		p.Header = http.Header{"Cache-Control": {s.cache}, "Cache-Groups": {`"` + Topic + `"`}}
		return p
	}
	if err != nil {
		return err
	}
	return hal.Write(w, r, http.StatusOK, s.document(i), &hal.WriteOptions{ETag: s.etag(i.version), CacheControl: s.cache})
}

// act does what one of an issue's links is for, if the issue has it now. The check
// of the request's condition is in the same transaction.
func (s *Service) act(w http.ResponseWriter, r *http.Request, rel string, do func(*issue)) error {
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return hal.NewProblem(http.StatusForbidden, "The request comes from a page of another site.")
	}
	i, err := s.change(r.Context(), r.PathValue("id"), func(i *issue) error {
		if err := hal.Check(r, hal.Conditions{ETag: s.etag(i.version), Require: true}); err != nil {
			return err
		}
		now := s.document(i)
		if _, possible := now.Links.Get(rel); !possible {
			return hal.NewProblem(http.StatusConflict, "The issue is "+i.status()+": there is nothing to "+rel+".")
		}
		do(i)
		return nil
	})
	if errors.Is(err, errNone) {
		return noSuch()
	}
	if err != nil {
		return err
	}
	return hal.Write(w, r, http.StatusOK, s.document(i), &hal.WriteOptions{ETag: s.etag(i.version)})
}

func (s *Service) health(w http.ResponseWriter, r *http.Request) error {
	backlog, err := s.box.Backlog(r.Context())
	if err != nil {
		return &hal.Problem{Status: http.StatusServiceUnavailable, Detail: "The database doesn't answer.", Err: err}
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(map[string]any{"status": "ok", "unannounced": backlog.Rows})
}

func noSuch() *hal.Problem { return hal.NewProblem(http.StatusNotFound, "There is no such issue.") }
