package login

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

// Cookies that bind a challenge to the browser that asked for it.
const (
	challengeSecure = "__Host-swale-challenge"
	challengePlain  = "swale-challenge"
)

// passkeyPolicy allows in addition the one script that WebAuthn needs, and what
// it asks this service.
const passkeyPolicy = policy + "; script-src 'self'; connect-src 'self'"

// challengeLife is how long the browser keeps the cookie; the challenge itself
// ends when Passkeys says so.
const challengeLife = 10 * time.Minute

func (h *handler) passkeyPages(mux *http.ServeMux) {
	if h.passkeys() == nil {
		return
	}
	if h.Service.opts.Passkeys != nil {
		h.page(mux, "POST /passkeys/challenge", h.passkeyChallenge)
		h.page(mux, "POST /passkeys/signin", h.passkeySignIn)
	}
	h.page(mux, "POST /passkeys/offer", h.passkeyOffer)
	h.page(mux, "POST /passkeys", h.addPasskey)
	h.page(mux, "POST /passkeys/{id}/remove", h.removePasskey)
	mux.HandleFunc("GET /passkeys.js", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		http.ServeFileFS(w, r, web, "web/passkeys.js")
	})
}

func (h *handler) secure() bool { return strings.HasPrefix(h.Service.opts.Issuer, "https:") }

// newBinding gives the browser a secret, and returns what challenges are bound
// to: its hash.
func (h *handler) newBinding(w http.ResponseWriter) string {
	text, hash := secret("swp")
	h.setCookie(w, pick(h.secure(), challengeSecure, challengePlain), text, challengeLife)
	return hash
}

// binding returns what the browser's challenge is bound to.
func (h *handler) binding(r *http.Request) string {
	c, err := r.Cookie(pick(h.secure(), challengeSecure, challengePlain))
	if err != nil {
		return ""
	}
	return hashOf(c.Value)
}

// answerJSON answers a script of ours.
func (h *handler) answerJSON(w http.ResponseWriter, r *http.Request, options json.RawMessage, err error) {
	w.Header().Set("Content-Type", "application/json")
	var throttled *ThrottledError
	switch {
	case errors.As(err, &throttled):
		w.Header().Set("Retry-After", retryAfter(throttled))
		w.WriteHeader(http.StatusTooManyRequests)
		options = json.RawMessage(`{"error":"Too many tries. Wait a moment and try again."}`)
	case errors.Is(err, ErrDenied):
		w.WriteHeader(http.StatusUnauthorized)
		options = json.RawMessage(`{"error":"Sign in first."}`)
	case errors.Is(err, ErrStale):
		w.WriteHeader(http.StatusForbidden)
		options = json.RawMessage(`{"error":"For that, sign out and in again."}`)
	case err != nil:
		h.Service.opts.Logger.ErrorContext(r.Context(), "no passkey options", "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		options = json.RawMessage(`{"error":"That doesn't work at the moment. Try again."}`)
	}
	_, _ = w.Write(options)
}

func (h *handler) passkeyChallenge(w http.ResponseWriter, r *http.Request) {
	application := r.PostFormValue("application")
	if _, known := h.apps[application]; !known {
		h.answerJSON(w, r, nil, ErrDenied)
		return
	}
	if wait, ok := h.throttle.allow(guess{address: h.origin(r).Address, asking: true}); !ok {
		h.answerJSON(w, r, nil, &ThrottledError{wait})
		return
	}
	options, err := h.Service.opts.Passkeys.Challenge(r.Context(), application, "", h.newBinding(w))
	h.answerJSON(w, r, options, err)
}

func (h *handler) passkeySignIn(w http.ResponseWriter, r *http.Request) {
	v := h.signInView(r)
	done, err := h.PasskeyLogin(r.Context(), v.Application, h.binding(r), []byte(r.PostFormValue("answer")), h.signInOrigin(r))
	if err != nil {
		h.signInFailed(w, r, v, err, "The passkey was not accepted. Try again, or sign in by name and password.")
		return
	}
	h.signedIn(w, r, v, done)
}

func (h *handler) passkeyOffer(w http.ResponseWriter, r *http.Request) {
	options, err := h.OfferPasskey(r.Context(), sessionToken(r))
	h.answerJSON(w, r, options, err)
}

func (h *handler) addPasskey(w http.ResponseWriter, r *http.Request) {
	label := strings.TrimSpace(r.PostFormValue("label"))
	if label == "" {
		label = deviceName(r.UserAgent())
	}
	h.passkeyDone(w, r, h.AddPasskey(r.Context(), sessionToken(r), label, []byte(r.PostFormValue("answer"))))
}

func (h *handler) removePasskey(w http.ResponseWriter, r *http.Request) {
	err := h.RemovePasskey(r.Context(), sessionToken(r), r.PathValue("id"))
	if errors.Is(err, ErrNotFound) {
		err = nil // it is gone, which was asked for
	}
	h.passkeyDone(w, r, err)
}

func (h *handler) passkeyDone(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case err == nil:
		http.Redirect(w, r, h.base()+"/account", http.StatusSeeOther)
	case errors.Is(err, ErrStale):
		h.show(w, http.StatusForbidden, "message.html", message{"Sign in again", "You have signed in too long ago to change your passkeys. Sign out and in again."})
	case errors.Is(err, ErrDenied):
		h.show(w, http.StatusUnauthorized, "message.html", message{"Not accepted", "The passkey was not accepted, or you are not signed in. Try again."})
	case errors.Is(err, ErrExists):
		h.show(w, http.StatusConflict, "message.html", message{"Not added", "That passkey is known already."})
	default:
		h.Service.opts.Logger.ErrorContext(r.Context(), "passkeys not changed", "error", err)
		h.show(w, http.StatusInternalServerError, "message.html", message{"Not changed", "That didn't work. Try again."})
	}
}

// factorCode completes the code of a second factor that is a passkey.
func (h *handler) factorCode(r *http.Request) string {
	code := r.PostFormValue("code")
	if _, ok := h.Service.opts.Factor.(Passkeys); ok && code != "" {
		return h.binding(r) + " " + code
	}
	return code
}

// factorChallenge puts the challenge into a page that asks who has given the
// right password for their passkey.
func (h *handler) factorChallenge(w http.ResponseWriter, r *http.Request, v *signInView) error {
	p, ok := h.Service.opts.Factor.(Passkeys)
	if !ok {
		return nil
	}
	name, err := normalName(v.Name)
	if err != nil {
		return err
	}
	a, err := h.byName(r.Context(), v.Application, name)
	if err != nil {
		return err
	}
	if a == nil {
		return ErrDenied
	}
	options, err := p.Challenge(r.Context(), v.Application, a.Subject, h.newBinding(w))
	v.Challenge = string(options)
	return err
}
