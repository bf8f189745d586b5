package login

import (
	"bytes"
	"embed"
	"errors"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

//go:embed web
var web embed.FS

// Cookies that keep a session's secret in a browser. The prefix makes browsers
// refuse one that another host, or a connection without TLS, has set.
const (
	cookieSecure = "__Host-swale-session"
	cookiePlain  = "swale-session" // where the issuer itself has no TLS
	deviceSecure = "__Host-swale-device"
	devicePlain  = "swale-device"
)

// policy allows what the pages have: a style sheet and forms, no script.
const policy = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// pages adds the pages for people. They work without scripts, but for passkeys.
func (h *handler) pages(mux *http.ServeMux) {
	h.views = template.Must(template.New("").Funcs(template.FuncMap{
		"when": func(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") },
		"iso":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	}).ParseFS(web, "web/*.html"))
	h.page(mux, "GET /signin", h.signInPage)
	h.page(mux, "POST /signin", h.signIn)
	h.page(mux, "POST /signout", h.signOut)
	h.page(mux, "GET /account", h.accountPage)
	h.page(mux, "POST /account/sessions/{id}/end", h.endSessionPage)
	h.passkeyPages(mux)
	mux.HandleFunc("GET /login.css", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		http.ServeFileFS(w, r, web, "web/login.css")
	})
}

// page adds a page. It may be framed by nobody, and its forms are posted by its
// own site alone.
func (h *handler) page(mux *http.ServeMux, pattern string, f http.HandlerFunc) {
	allowed := policy
	if h.passkeys() != nil {
		allowed = passkeyPolicy
	}
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", allowed)
		w.Header().Set("X-Frame-Options", "DENY")
		if r.Method == http.MethodPost {
			if err := h.cross.Check(r); err != nil {
				h.show(w, http.StatusForbidden, "message.html", message{"Not accepted", "The form was sent from another site."})
				return
			}
		}
		f(w, r)
	})
}

type message struct{ Title, Text string }

type signInView struct {
	Base, Application, Name, Return, Error string
	Applications                           []string
	Factor                                 bool
	Passkeys                               bool
	Challenge                              string // for the passkey that is the second factor
}

type accountView struct {
	Base, Name, Application string
	Sessions                []sessionDoc
	HasPasskeys             bool
	Passkeys                []Passkey
}

func (h *handler) show(w http.ResponseWriter, status int, name string, data any) {
	var buf bytes.Buffer
	if err := h.views.ExecuteTemplate(&buf, name, data); err != nil {
		h.Service.opts.Logger.Error("page not rendered", "page", name, "error", err)
		http.Error(w, "The page can't be shown.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes())
}

// base is the path below which the pages are.
func (h *handler) base() string {
	u, err := url.Parse(h.Service.opts.Issuer)
	if err != nil {
		return ""
	}
	return u.Path
}

func (h *handler) signInView(r *http.Request) signInView {
	v := signInView{Base: h.base(), Application: r.FormValue("application"), Name: r.FormValue("name"), Return: local(r.FormValue("return"))}
	v.Passkeys = h.Service.opts.Passkeys != nil
	v.Applications = slices.Sorted(maps.Keys(h.apps))
	if v.Application == "" && len(v.Applications) == 1 {
		v.Application = v.Applications[0]
	}
	return v
}

// local returns a path to go on to, if it stays on this origin.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		return ""
	}
	return to
}

func (h *handler) signInPage(w http.ResponseWriter, r *http.Request) {
	h.show(w, http.StatusOK, "signin.html", h.signInView(r))
}

func (h *handler) signIn(w http.ResponseWriter, r *http.Request) {
	v := h.signInView(r)
	done, err := h.Login(r.Context(), Credentials{v.Application, v.Name, r.PostFormValue("password"), h.factorCode(r)}, h.signInOrigin(r))
	if err != nil {
		h.signInFailed(w, r, v, err, "The name and the password don't match an account.")
		return
	}
	h.signedIn(w, r, v, done)
}

// signInOrigin is where a sign-in comes from, with the device that it was given.
func (h *handler) signInOrigin(r *http.Request) Origin {
	from := h.origin(r)
	if c, err := r.Cookie(pick(h.secure(), deviceSecure, devicePlain)); err == nil {
		from.DeviceID = c.Value
	}
	return from
}

// signedIn puts a session into the browser and goes on.
func (h *handler) signedIn(w http.ResponseWriter, r *http.Request, v signInView, done *Login) {
	// Whoever was signed in here before isn't any more: a browser never goes on
	// with a session that somebody else may have put there.
	if old := sessionToken(r); old != "" {
		if err := h.Logout(r.Context(), old); err != nil {
			h.Service.opts.Logger.WarnContext(r.Context(), "the former session was not ended", "error", err)
		}
	}
	h.setCookie(w, pick(h.secure(), cookieSecure, cookiePlain), done.Token, 0)
	h.setCookie(w, pick(h.secure(), deviceSecure, devicePlain), done.DeviceID, 365*24*time.Hour)
	to := v.Return
	if to == "" {
		to = h.base() + "/account"
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func pick(secure bool, yes, no string) string {
	if secure {
		return yes
	}
	return no
}

func (h *handler) setCookie(w http.ResponseWriter, name, value string, age time.Duration) {
	c := &http.Cookie{ //nolint:gosec // Secure wherever the issuer has TLS
		Name: name, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: strings.HasPrefix(name, "__Host-"), MaxAge: int(age / time.Second),
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// signInFailed shows the page again. denied is what to say to who wasn't
// accepted.
func (h *handler) signInFailed(w http.ResponseWriter, r *http.Request, v signInView, err error, denied string) {
	status := http.StatusUnauthorized
	if errors.Is(err, ErrFactor) {
		if cerr := h.factorChallenge(w, r, &v); cerr != nil {
			err = cerr
		}
	}
	var throttled *ThrottledError
	switch {
	case errors.As(err, &throttled):
		status = http.StatusTooManyRequests
		w.Header().Set("Retry-After", retryAfter(throttled))
		v.Error = "There were too many tries. Wait " + throttled.Wait.Round(time.Second).String() + " and try again."
	case errors.Is(err, ErrFactor) && v.Challenge != "":
		v.Factor, v.Error = true, "Your passkey is needed, and your password once more."
	case errors.Is(err, ErrFactor):
		v.Factor, v.Error = true, "A code from your device is needed, and your password once more."
	case errors.Is(err, ErrPasswordExpired):
		v.Error = "The password has expired. Choose another one by resetting it."
	case errors.Is(err, ErrDenied):
		v.Error = denied
	default:
		status = http.StatusInternalServerError
		v.Error = "Signing in doesn't work at the moment. Try again."
		h.Service.opts.Logger.Error("sign-in failed", "error", err)
	}
	h.show(w, status, "signin.html", v)
}

func (h *handler) signOut(w http.ResponseWriter, r *http.Request) {
	if err := h.Logout(r.Context(), sessionToken(r)); err != nil {
		h.show(w, http.StatusInternalServerError, "message.html", message{"Not signed out", "That didn't work. Try again."})
		return
	}
	h.setCookie(w, pick(h.secure(), cookieSecure, cookiePlain), "", 0)
	http.Redirect(w, r, h.base()+"/signin", http.StatusSeeOther)
}

func (h *handler) accountPage(w http.ResponseWriter, r *http.Request) {
	current, a, err := h.session(r.Context(), sessionToken(r))
	if errors.Is(err, ErrDenied) {
		http.Redirect(w, r, h.base()+"/signin?return="+url.QueryEscape(h.base()+"/account"), http.StatusSeeOther)
		return
	}
	var all []Session
	if err == nil {
		all, err = h.Sessions(r.Context(), a.App, a.Subject)
	}
	if err != nil {
		h.show(w, http.StatusInternalServerError, "message.html", message{"Not now", "Your sessions can't be shown at the moment. Try again."})
		return
	}
	v := accountView{Base: h.base(), Name: a.Name, Application: a.App, HasPasskeys: h.passkeys() != nil}
	if v.HasPasskeys {
		if v.Passkeys, err = h.passkeys().List(r.Context(), a.App, a.Subject); err != nil {
			h.Service.opts.Logger.ErrorContext(r.Context(), "passkeys not listed", "error", err)
		}
	}
	for _, s := range all {
		v.Sessions = append(v.Sessions, h.sessionDoc(s, s.ID == current.ID))
	}
	h.show(w, http.StatusOK, "account.html", v)
}

func (h *handler) endSessionPage(w http.ResponseWriter, r *http.Request) {
	_, a, err := h.session(r.Context(), sessionToken(r))
	if err == nil {
		err = h.endOwn(r, a, r.PathValue("id"))
	}
	if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrDenied) {
		h.show(w, http.StatusInternalServerError, "message.html", message{"Not ended", "That didn't work. Try again."})
		return
	}
	http.Redirect(w, r, h.base()+"/account", http.StatusSeeOther)
}
