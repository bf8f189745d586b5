package login

import (
	"context"
	"net/http"
	"slices"

	"github.com/goswale/swale/auth"
	"github.com/goswale/swale/hal"
)

// admin adds what administrators do. Who they are their token says.
func (h *handler) admin(mux *http.ServeMux) {
	if h.opts.Verifier == nil {
		return
	}
	handle := func(pattern string, f func(w http.ResponseWriter, r *http.Request, by string) error) {
		inner := hal.Handler(func(w http.ResponseWriter, r *http.Request) error {
			c, _ := auth.FromContext(r.Context())
			return f(w, r, c.Subject)
		})
		v := h.opts.Verifier
		mux.Handle(pattern, v.Middleware(v.Require(auth.Scope(h.opts.AdminScope))(inner)))
	}
	handle("GET /accounts/{app}/{subject}", h.getAccount)
	handle("PATCH /accounts/{app}/{subject}", h.patchAccount)
	handle("GET /accounts/{app}/{subject}/sessions", h.accountSessions)
	handle("DELETE /accounts/{app}/{subject}/sessions", h.endAccountSessions)
	handle("PUT /grants", h.putGrants)
	handle("PUT /clients/{id}", h.putClient)
	handle("DELETE /clients/{id}", h.deleteClient)
	handle("POST /keys", h.rotate)
	handle("DELETE /keys/{id}", h.deleteKey)
}

// isAdmin reports whether a request to a route that is open to others too comes
// from an administrator.
func (h *handler) isAdmin(r *http.Request) bool {
	if h.opts.Verifier == nil {
		return false
	}
	passed := false
	v := h.opts.Verifier
	inner := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed = true })
	v.Middleware(v.Require(auth.Scope(h.opts.AdminScope))(inner)).ServeHTTP(nowhere{}, r)
	return passed
}

// nowhere is a ResponseWriter for an answer that nobody gets.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}

func (h *handler) getAccount(w http.ResponseWriter, r *http.Request, _ string) error {
	a, err := h.Account(r.Context(), r.PathValue("app"), r.PathValue("subject"))
	if err != nil {
		return problem(w, err)
	}
	doc := h.accountDoc(a)
	return hal.Write(w, r, http.StatusOK, &doc, &hal.WriteOptions{CacheControl: "no-store"})
}

// patchAccount changes roles, disabled and expires, each if it is there and
// differs.
func (h *handler) patchAccount(w http.ResponseWriter, r *http.Request, by string) error {
	ctx, app, subject := r.Context(), r.PathValue("app"), r.PathValue("subject")
	a, err := h.Account(ctx, app, subject)
	if err != nil {
		return problem(w, err)
	}
	was := h.accountDoc(a)
	now, err := hal.DecodePatch(r, was, &hal.DecodeOptions{MaxBytes: maxBody})
	if err != nil {
		return err
	}
	if err := h.applyAccount(ctx, by, was, now); err != nil {
		return problem(w, err)
	}
	return h.getAccount(w, r, by)
}

func (h *handler) applyAccount(ctx context.Context, by string, was, now accountDoc) error {
	if !slices.Equal(was.Roles, now.Roles) {
		if err := h.SetRoles(ctx, by, was.Application, was.Subject, now.Roles); err != nil {
			return err
		}
	}
	if !was.Expires.Equal(now.Expires) {
		if err := h.Expire(ctx, by, was.Application, was.Subject, now.Expires); err != nil {
			return err
		}
	}
	switch {
	case now.Disabled && !was.Disabled:
		return h.Disable(ctx, by, was.Application, was.Subject)
	case was.Disabled && !now.Disabled:
		return h.Enable(ctx, by, was.Application, was.Subject)
	}
	return nil
}

func (h *handler) accountSessions(w http.ResponseWriter, r *http.Request, _ string) error {
	app, subject := r.PathValue("app"), r.PathValue("subject")
	all, err := h.Sessions(r.Context(), app, subject)
	if err != nil {
		return problem(w, err)
	}
	doc := hal.Collection[sessionDoc]{Total: len(all), Embedded: &hal.Items[sessionDoc]{Item: []sessionDoc{}}}
	doc.Links.Self = hal.To(auth.AccountHref(h.Service.opts.Issuer, app, subject) + "/sessions")
	for _, s := range all {
		doc.Links.Item = append(doc.Links.Item, hal.To(auth.SessionHref(h.Service.opts.Issuer, s.ID)))
		doc.Embedded.Item = append(doc.Embedded.Item, h.sessionDoc(s, false))
	}
	return hal.Write(w, r, http.StatusOK, &doc, &hal.WriteOptions{CacheControl: "no-store"})
}

func (h *handler) endAccountSessions(w http.ResponseWriter, r *http.Request, by string) error {
	if _, err := h.EndSessions(r.Context(), by, r.PathValue("app"), r.PathValue("subject")); err != nil {
		return problem(w, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *handler) putGrants(w http.ResponseWriter, r *http.Request, by string) error {
	g, err := hal.Decode[auth.Grants](r, &hal.DecodeOptions{MaxBytes: maxBody, Strict: true})
	if err != nil {
		return err
	}
	if err := h.SetGrants(r.Context(), by, g); err != nil {
		return problem(w, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *handler) putClient(w http.ResponseWriter, r *http.Request, by string) error {
	c, err := hal.Decode[Client](r, &hal.DecodeOptions{MaxBytes: maxBody, Strict: true})
	if err != nil {
		return err
	}
	if c.ID != r.PathValue("id") {
		return hal.NewProblem(http.StatusUnprocessableEntity, "The id is to be that of the URL.")
	}
	if err := h.PutClient(r.Context(), by, c); err != nil {
		return problem(w, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *handler) deleteClient(w http.ResponseWriter, r *http.Request, by string) error {
	if err := h.DeleteClient(r.Context(), by, r.PathValue("id")); err != nil {
		return problem(w, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *handler) rotate(w http.ResponseWriter, r *http.Request, _ string) error {
	if err := h.Rotate(r.Context()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *handler) deleteKey(w http.ResponseWriter, r *http.Request, by string) error {
	if err := h.RevokeKey(r.Context(), by, r.PathValue("id")); err != nil {
		return problem(w, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
