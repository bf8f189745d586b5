package discoverysvc

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/goswale/swale/discovery/binding"
	"github.com/goswale/swale/hal"
)

// showBinding shows and announces a revision.
func (s *Server) showBinding(r binding.Revision) {
	if now, ok := s.bindings.get(r.Service); ok && now.Number >= r.Number {
		return
	}
	if err := s.bindings.set(context.Background(), s.opts.Base+bindingPath(r.Service), r.Service, r, true); err != nil {
		s.opts.Logger.Error("discoverysvc: a change is shown and not announced", "service", r.Service, "error", err)
	}
}

type bindingLinks struct {
	Self    hal.Link `json:"self"`
	History hal.Link `json:"history"`
	Up      hal.Link `json:"collection"`
}

type bindingDocument struct {
	Links bindingLinks `json:"_links"`
	binding.Revision
}

func (s *Server) bindingDocument(rev binding.Revision) bindingDocument {
	path := bindingPath(rev.Service)
	return bindingDocument{bindingLinks{
		Self: hal.To(s.href(path)), History: hal.To(s.href(path + "/history")), Up: hal.To(s.href("/bindings")),
	}, rev}
}

func (s *Server) listBindings(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.allow(r, Op{Action: Read}); err != nil {
		return err
	}
	var doc hal.Collection[bindingDocument]
	doc.Links.Self = hal.To(s.href("/bindings"))
	if hal.Embeds(r, "item") {
		doc.Embedded = &hal.Items[bindingDocument]{}
	}
	for _, service := range s.bindings.names() {
		rev, ok := s.bindings.get(service)
		if !ok || rev.Binding == nil {
			continue
		}
		link := hal.To(s.href(bindingPath(service)))
		link.Name = service
		doc.Links.Item = append(doc.Links.Item, link)
		if doc.Embedded != nil {
			doc.Embedded.Item = append(doc.Embedded.Item, s.bindingDocument(rev))
		}
	}
	doc.Total = len(doc.Links.Item)
	return hal.Write(w, r, http.StatusOK, doc, s.stamped("bindings", "bindings"))
}

func (s *Server) getBinding(w http.ResponseWriter, r *http.Request) error {
	service := r.PathValue("service")
	if _, err := s.allow(r, Op{Action: Read, Service: service}); err != nil {
		return err
	}
	rev, ok := s.bindings.get(service)
	if !ok || rev.Binding == nil {
		return hal.NewProblem(http.StatusNotFound, "This service isn't bound: all its versions are alike.")
	}
	opts := s.stamped("bindings")
	opts.ETag, opts.Templates = tagOf(rev.Number), hal.Templates{rollbackForm(rev.Number)}
	return hal.Write(w, r, http.StatusOK, s.bindingDocument(rev), opts)
}

type historyDocument struct {
	Links struct {
		Self    hal.Link `json:"self"`
		Binding hal.Link `json:"binding"`
	} `json:"_links"`
	Revisions []binding.Revision `json:"revisions"` // the newest first
}

func (s *Server) getHistory(w http.ResponseWriter, r *http.Request) error {
	service := r.PathValue("service")
	if _, err := s.allow(r, Op{Action: Read, Service: service}); err != nil {
		return err
	}
	limit := 100
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return hal.NewProblem(http.StatusBadRequest, "The parameter limit must be a number from 1 on.")
		}
		limit = n
	}
	revs, err := s.store.History(r.Context(), service, limit)
	if err != nil {
		return problemOf(err)
	}
	doc := historyDocument{Revisions: revs}
	doc.Links.Self = hal.To(s.href(bindingPath(service) + "/history"))
	doc.Links.Binding = hal.To(s.href(bindingPath(service)))
	return hal.Write(w, r, http.StatusOK, doc, &hal.WriteOptions{CacheControl: "no-cache"})
}

// expected reads which revision a writer has seen from the request's
// conditions (RFC 9110 section 13.1), of which it must have one.
func (s *Server) expected(r *http.Request, service string) (uint64, error) {
	if match := r.Header.Get("If-Match"); match != "" {
		if n, ok := numberOf(match); ok {
			return n, nil
		}
		return 0, hal.NewProblem(http.StatusPreconditionFailed, "If-Match must name one revision by its ETag.")
	}
	if r.Header.Get("If-None-Match") != "*" {
		return 0, hal.NewProblem(http.StatusPreconditionRequired, "Name the revision that you have seen by If-Match, or none by If-None-Match: *.")
	}
	rev, err := s.table.Get(r.Context(), service)
	switch {
	case err == nil:
		return 0, hal.NewProblem(http.StatusPreconditionFailed, "This service is bound already; read it first.")
	case errors.Is(err, fs.ErrNotExist):
		return rev.Number, nil // 0, or that of the removal
	}
	return 0, problemOf(err)
}

// write makes a change by the conditions and author of a request, and answers
// when this server shows it.
func (s *Server) write(w http.ResponseWriter, r *http.Request, author, message string, change func(binding.Change) (binding.Revision, error)) error {
	service := r.PathValue("service")
	who, err := s.allow(r, Op{Action: Bind, Service: service})
	if err != nil {
		return err
	}
	if who == "" {
		who = author
	}
	if who == "" {
		return hal.NewProblem(http.StatusUnprocessableEntity, "Say who makes the change, as author.")
	}
	expect, err := s.expected(r, service)
	if err != nil {
		return err
	}
	rev, err := change(binding.Change{Author: who, Message: message, Expect: expect})
	if err != nil {
		return problemOf(err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	if err := s.bindings.until(ctx, service, func(now binding.Revision, _ bool) bool { return now.Number >= rev.Number }); err != nil {
		s.opts.Logger.Warn("discoverysvc: a write isn't shown yet", "service", service, "error", err)
	}
	if rev.Binding == nil {
		w.Header().Set("Etag", tagOf(rev.Number))
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	opts := &hal.WriteOptions{ETag: tagOf(rev.Number)}
	status := http.StatusOK
	if expect == 0 {
		status = http.StatusCreated
		w.Header().Set("Location", s.href(bindingPath(service)))
	}
	return hal.Write(w, r, status, s.bindingDocument(rev), opts)
}

func (s *Server) putBinding(w http.ResponseWriter, r *http.Request) error {
	body, err := hal.Decode[wireBind](r, &hal.DecodeOptions{MaxBytes: 8 << 20, Strict: true})
	if err != nil {
		return err
	}
	service := r.PathValue("service")
	if body.Binding.Service == "" {
		body.Binding.Service = service
	}
	if body.Binding.Service != service {
		return hal.NewProblem(http.StatusUnprocessableEntity, "The binding is for another service than the URL.")
	}
	return s.write(w, r, body.Author, body.Message, func(c binding.Change) (binding.Revision, error) {
		return s.table.Put(r.Context(), body.Binding, c)
	})
}

func (s *Server) deleteBinding(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	return s.write(w, r, q.Get("author"), q.Get("message"), func(c binding.Change) (binding.Revision, error) {
		return s.table.Delete(r.Context(), r.PathValue("service"), c)
	})
}

func (s *Server) rollback(w http.ResponseWriter, r *http.Request) error {
	form := rollbackForm(0)
	body, err := hal.Decode[wireRollback](r, &hal.DecodeOptions{Template: &form})
	if err != nil {
		return err
	}
	if body.Expect > 0 && r.Header.Get("If-Match") == "" {
		r.Header.Set("If-Match", tagOf(body.Expect))
	}
	return s.write(w, r, body.Author, body.Message, func(c binding.Change) (binding.Revision, error) {
		return s.table.Rollback(r.Context(), r.PathValue("service"), body.To, c)
	})
}

// streamBindings sends revisions as the store tells them.
func (s *Server) streamBindings(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.allow(r, Op{Action: Read}); err != nil {
		return err
	}
	st := s.stream(w, r)
	st.watch(func(ctx context.Context) error {
		beat := time.NewTicker(heartbeatPatience / 3)
		defer beat.Stop()
		go func() { // the store says nothing as long as nothing changes
			for {
				select {
				case <-beat.C:
					st.push("current", struct{}{})
				case <-st.ctx.Done():
					return
				}
			}
		}()
		return s.store.Watch(ctx, func(revs []binding.Revision) { st.push("revisions", wireRevisions{revs}) })
	})
	return nil
}

func queryOf(author, message string) string {
	q := url.Values{}
	if author != "" {
		q.Set("author", author)
	}
	if message != "" {
		q.Set("message", message)
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}
