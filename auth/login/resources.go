package login

import (
	"net/http"
	"strings"
	"time"

	"github.com/goswale/swale/auth"
	"github.com/goswale/swale/hal"
)

// sessionDoc is a session as it is shown.
type sessionDoc struct {
	Links struct {
		Self hal.Link `json:"self"`
	} `json:"_links"`
	ID      string    `json:"id"`
	Device  string    `json:"device"`
	Address string    `json:"address"`
	Begun   time.Time `json:"begun"`
	Used    time.Time `json:"used"`
	Ends    time.Time `json:"ends"`
	Current bool      `json:"current"`
	Token   string    `json:"token,omitempty"` // once, to who has begun it
	Known   string    `json:"device_id,omitempty"`
}

func (h *handler) sessionDoc(s Session, current bool) sessionDoc {
	d := sessionDoc{ID: s.ID, Device: s.Device, Address: s.Address, Begun: s.Begun, Used: s.Used, Ends: s.Ends, Current: current}
	d.Links.Self = hal.To(auth.SessionHref(h.Service.opts.Issuer, s.ID))
	return d
}

// sessionToken returns the secret of the session that a request belongs to:
// from its Authorization field, or from the cookie of a browser.
func sessionToken(r *http.Request) string {
	if lines := r.Header["Authorization"]; len(lines) > 0 {
		scheme, token, _ := strings.Cut(lines[0], " ")
		if len(lines) == 1 && strings.EqualFold(scheme, "Bearer") {
			return strings.TrimSpace(token)
		}
		return ""
	}
	for _, name := range []string{cookieSecure, cookiePlain} {
		if c, err := r.Cookie(name); err == nil {
			return c.Value
		}
	}
	return ""
}

func (h *handler) logIn(w http.ResponseWriter, r *http.Request) error {
	in, err := hal.Decode[struct {
		Application string `json:"application"`
		Name        string `json:"name"`
		Password    string `json:"password"`
		Code        string `json:"code"`
		Device      string `json:"device"`
		DeviceID    string `json:"device_id"`
	}](r, &hal.DecodeOptions{MaxBytes: maxBody})
	if err != nil {
		return err
	}
	from := h.origin(r)
	from.DeviceID = in.DeviceID
	if in.Device != "" {
		from.Device = in.Device
	}
	done, err := h.Login(r.Context(), Credentials{in.Application, in.Name, in.Password, in.Code}, from)
	if err != nil {
		return problem(w, err)
	}
	doc := h.sessionDoc(done.Session, true)
	doc.Token, doc.Known = done.Token, done.DeviceID
	w.Header().Set("Location", doc.Links.Self.Href)
	return hal.Write(w, r, http.StatusCreated, &doc, &hal.WriteOptions{CacheControl: "no-store"})
}

func (h *handler) listSessions(w http.ResponseWriter, r *http.Request) error {
	current, a, err := h.session(r.Context(), sessionToken(r))
	if err != nil {
		return problem(w, err)
	}
	all, err := h.Sessions(r.Context(), a.App, a.Subject)
	if err != nil {
		return err
	}
	doc := hal.Collection[sessionDoc]{Total: len(all), Embedded: &hal.Items[sessionDoc]{Item: []sessionDoc{}}}
	doc.Links.Self = hal.To(h.Service.opts.Issuer + "/sessions")
	for _, s := range all {
		doc.Links.Item = append(doc.Links.Item, hal.To(auth.SessionHref(h.Service.opts.Issuer, s.ID)))
		doc.Embedded.Item = append(doc.Embedded.Item, h.sessionDoc(s, s.ID == current.ID))
	}
	return hal.Write(w, r, http.StatusOK, &doc, &hal.WriteOptions{CacheControl: "no-store"})
}

// deleteSession ends a session of the account that asks. One of somebody else
// isn't there.
func (h *handler) deleteSession(w http.ResponseWriter, r *http.Request) error {
	if _, byToken := r.Header["Authorization"]; !byToken {
		if err := h.cross.Check(r); err != nil {
			return hal.NewProblem(http.StatusForbidden, "The request comes from another site.")
		}
	}
	_, a, err := h.session(r.Context(), sessionToken(r))
	if err != nil {
		return problem(w, err)
	}
	if err := h.endOwn(r, a, r.PathValue("id")); err != nil {
		return problem(w, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *handler) endOwn(r *http.Request, a *account, id string) error {
	all, err := h.sessionsOf(r.Context(), a.App, a.Subject)
	if err != nil {
		return err
	}
	for _, one := range all {
		if one.ID == id {
			return h.EndSession(r.Context(), "", id)
		}
	}
	return ErrNotFound
}

// accountDoc is an account as it is shown.
type accountDoc struct {
	Links struct {
		Self hal.Link `json:"self"`
	} `json:"_links"`
	Application string    `json:"application"`
	Subject     string    `json:"subject"`
	Name        string    `json:"name"`
	Roles       []string  `json:"roles"`
	Disabled    bool      `json:"disabled"`
	Expires     time.Time `json:"expires,omitzero"`
	Created     time.Time `json:"created"`
}

func (h *handler) accountDoc(a Account) accountDoc {
	d := accountDoc{
		Application: a.Application, Subject: a.Subject, Name: a.Name, Roles: a.Roles,
		Disabled: a.Disabled, Expires: a.Expires, Created: a.Created,
	}
	if d.Roles == nil {
		d.Roles = []string{}
	}
	d.Links.Self = hal.To(auth.AccountHref(h.Service.opts.Issuer, a.Application, a.Subject))
	return d
}

// register creates an account for whoever asks, where the application lets
// everybody, or for an administrator.
func (h *handler) register(w http.ResponseWriter, r *http.Request) error {
	app, ok := h.apps[r.PathValue("app")]
	if !ok {
		return problem(w, ErrNotFound)
	}
	in, err := hal.Decode[struct {
		Name     string   `json:"name"`
		Password string   `json:"password"`
		Roles    []string `json:"roles"`
	}](r, &hal.DecodeOptions{MaxBytes: maxBody})
	if err != nil {
		return err
	}
	admin := h.isAdmin(r)
	if !admin && (!app.Register || len(in.Roles) > 0) {
		return hal.NewProblem(http.StatusForbidden, "Accounts of this application are created by administrators.")
	}
	if !admin {
		if in.Password == "" {
			return problem(w, bad("a password is needed"))
		}
		if wait, ok := h.throttle.allow(guess{account: "\x00register", address: h.opts.ClientAddress(r)}); !ok {
			return problem(w, &ThrottledError{wait})
		}
	}
	a, err := h.CreateAccount(r.Context(), r.PathValue("app"), in.Name, in.Password, in.Roles...)
	if err != nil {
		return problem(w, err)
	}
	doc := h.accountDoc(a)
	w.Header().Set("Location", doc.Links.Self.Href)
	return hal.Write(w, r, http.StatusCreated, &doc, &hal.WriteOptions{CacheControl: "no-store"})
}

func (h *handler) changePassword(w http.ResponseWriter, r *http.Request) error {
	if _, byToken := r.Header["Authorization"]; !byToken {
		if err := h.cross.Check(r); err != nil {
			return hal.NewProblem(http.StatusForbidden, "The request comes from another site.")
		}
	}
	in, err := hal.Decode[struct {
		Old    string `json:"old"`
		Chosen string `json:"new"`
	}](r, &hal.DecodeOptions{MaxBytes: maxBody})
	if err != nil {
		return err
	}
	token, err := h.ChangePassword(r.Context(), sessionToken(r), in.Old, in.Chosen, h.origin(r))
	if err != nil {
		return problem(w, err)
	}
	doc := struct {
		Token string `json:"token"`
	}{token}
	return hal.Write(w, r, http.StatusOK, &doc, &hal.WriteOptions{CacheControl: "no-store"})
}

func (h *handler) startReset(w http.ResponseWriter, r *http.Request) error {
	in, err := hal.Decode[struct {
		Application string `json:"application"`
		Name        string `json:"name"`
	}](r, &hal.DecodeOptions{MaxBytes: maxBody})
	if err != nil {
		return err
	}
	if err := h.StartReset(r.Context(), in.Application, in.Name, h.origin(r)); err != nil {
		return problem(w, err)
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

func (h *handler) finishReset(w http.ResponseWriter, r *http.Request) error {
	in, err := hal.Decode[struct {
		Token  string `json:"token"`
		Chosen string `json:"new"`
	}](r, &hal.DecodeOptions{MaxBytes: maxBody})
	if err != nil {
		return err
	}
	if err := h.FinishReset(r.Context(), in.Token, in.Chosen, h.origin(r)); err != nil {
		return problem(w, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
