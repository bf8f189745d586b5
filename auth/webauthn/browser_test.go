package webauthn_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goswale/swale/auth/login"
	"github.com/goswale/swale/auth/memauth"
	"github.com/goswale/swale/auth/webauthn"
	"github.com/goswale/swale/hal/browsertest"
)

const password = "correct horse battery"

// authenticator is a device that Chromium plays.
type authenticator struct {
	b  *browsertest.Browser
	id string
}

func plug(b *browsertest.Browser) *authenticator {
	b.Must("WebAuthn.enable", map[string]any{"enableUI": false}, nil)
	var out struct {
		ID string `json:"authenticatorId"`
	}
	b.Must("WebAuthn.addVirtualAuthenticator", map[string]any{"options": map[string]any{
		"protocol": "ctap2", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
		"isUserVerified": true, "automaticPresenceSimulation": true,
	}}, &out)
	return &authenticator{b, out.ID}
}

func (a *authenticator) verifies(yes bool) {
	a.b.Must("WebAuthn.setUserVerified", map[string]any{"authenticatorId": a.id, "isUserVerified": yes}, nil)
}

// rewind makes the device forget what it has counted, as a copy of it would.
func (a *authenticator) rewind() {
	var out struct {
		Credentials []map[string]any `json:"credentials"`
	}
	a.b.Must("WebAuthn.getCredentials", map[string]any{"authenticatorId": a.id}, &out)
	for _, c := range out.Credentials {
		a.b.Must("WebAuthn.removeCredential", map[string]any{"authenticatorId": a.id, "credentialId": c["credentialId"]}, nil)
		c["signCount"] = 0
		a.b.Must("WebAuthn.addCredential", map[string]any{"authenticatorId": a.id, "credential": c}, nil)
	}
}

// site is a login service on a port of localhost.
type site struct {
	*login.Service
	keys    *webauthn.Keys
	root    string
	account login.Account
	late    atomic.Int64 // how far the service's clock is ahead
	regress atomic.Int32
}

func serve(t *testing.T, change func(*site, *login.Options)) *site {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := &site{root: "http://localhost:" + port}
	clock := func() time.Time { return time.Now().Add(time.Duration(s.late.Load())) }
	store := memauth.New()
	if s.keys, err = webauthn.New(store, &webauthn.Options{Origins: []string{s.root}, Clock: clock, OnRegress: func(context.Context, webauthn.Regress) { s.regress.Add(1) }}); err != nil {
		t.Fatal(err)
	}
	o := &login.Options{
		Issuer: s.root, KeyEncryption: [][]byte{make([]byte, 32)}, Hashing: login.Hashing{MemoryKiB: 8, Passes: 1}, Clock: clock,
		Applications: map[string]login.Application{app: {}}, Passkeys: s.keys, Factor: s.keys,
	}
	if change != nil {
		change(s, o)
	}
	if s.Service, err = login.New(store, o); err != nil {
		t.Fatal(err)
	}
	if s.account, err = s.CreateAccount(t.Context(), app, "ada", password); err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = s.Handler(nil)
	server.Start()
	t.Cleanup(server.Close)
	return s
}

// submit fills a form in and sends it, when the page's script is there to listen: the
// form is there before it.
func submit(b *browsertest.Browser, form, values string) {
	b.Until(`document.readyState === 'complete' && document.querySelector('` + form + `')`)
	b.Eval(values + `; setTimeout(() => document.querySelector('` + form + `').requestSubmit())`)
}

const (
	byName    = `form[action$="/signin"]:not([action$="/passkeys/signin"])`
	byPasskey = `form[action$="/passkeys/signin"]`
	adding    = `form[action$="/passkeys"]`
	signOut   = `form[action$="/signout"]`
)

func signInByPassword(b *browsertest.Browser, root string) {
	b.Go(root + "/signin")
	b.Until(`document.querySelector('#name')`)
	submit(b, byName, `document.querySelector('#name').value = 'ada'; document.querySelector('#password').value = '`+password+`'`)
}

// Somebody signs in by password, adds a passkey, and from then on signs in by that
// alone, or is asked for it after the password.
func TestPasskeysInABrowser(t *testing.T) {
	b := browsertest.Open(t)
	device := plug(b)
	s := serve(t, nil)

	signInByPassword(b, s.root)
	b.Until(`document.querySelector('.passkeys')?.innerText.includes('None yet')`)
	submit(b, adding, `document.querySelector('#label').value = 'My phone <b>'`)
	b.Until(`document.querySelector('.passkeys strong')?.innerText === 'My phone <b>'`)
	b.CheckAccessible()
	b.Screenshot("passkeys")

	submit(b, signOut, ``)
	b.Until(`document.querySelector('` + byPasskey + `')`)
	b.CheckAccessible()
	b.Screenshot("signin-passkey")
	submit(b, byPasskey, ``)
	b.Until(`location.pathname === '/account' && document.querySelector('.passkeys time:nth-of-type(2)')`)

	// By password it is the second factor.
	submit(b, signOut, ``)
	b.Until(`location.pathname === '/signin'`)
	signInByPassword(b, s.root)
	b.Until(`document.querySelector('#error')?.innerText.includes('Your passkey is needed')`)
	b.CheckAccessible()
	b.Screenshot("signin-second")
	submit(b, byName, `document.querySelector('#password').value = '`+password+`'`)
	b.Until(`location.pathname === '/account'`)

	// A session that is not new can't change passkeys, not even by its owner.
	s.late.Store(int64(20 * time.Minute))
	submit(b, `form[action$="/remove"]`, ``)
	b.Until(`document.querySelector('h1').innerText === 'Sign in again'`)
	b.Go(s.root + "/account")
	b.Until(`document.querySelector('.passkeys strong')`)
	submit(b, signOut, ``)
	b.Until(`document.querySelector('` + byPasskey + `')`)
	submit(b, byPasskey, ``)
	b.Until(`location.pathname === '/account'`)
	if trouble := b.Troubles(); len(trouble) > 0 {
		t.Errorf("the browser complains: %q", trouble)
	}

	// A copy of the device.
	submit(b, signOut, ``)
	b.Until(`document.querySelector('` + byPasskey + `')`)
	device.rewind()
	submit(b, byPasskey, ``)
	b.Until(`document.querySelector('#error')?.innerText.includes('not accepted')`)
	if s.regress.Load() != 1 {
		t.Errorf("a device that counts backwards was reported %d times", s.regress.Load())
	}
}

// What a browser signs for a page of another origin of the same party, or without
// having verified its user, is of no use, and neither is what was used.
func TestWhatABrowserSignsElsewhere(t *testing.T) {
	b := browsertest.Open(t)
	device := plug(b)
	s := serve(t, nil)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<title>elsewhere</title>`))
	}))
	t.Cleanup(other.Close)
	_, port, err := net.SplitHostPort(other.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	signInByPassword(b, s.root)
	b.Until(`document.querySelector('.passkeys')`)
	submit(b, adding, ``)
	b.Until(`document.querySelector('.passkeys strong')`)

	sign := func(verify string) []byte {
		t.Helper()
		options, err := s.keys.Challenge(t.Context(), app, "", "browser")
		if err != nil {
			t.Fatal(err)
		}
		return []byte(b.Eval(`(async () => {
			const options = ` + string(options) + `.publicKey;
			options.userVerification = '` + verify + `';
			const c = await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
			return JSON.stringify(c.toJSON());
		})()`))
	}
	signIn := func(answer []byte) error {
		subject, err := s.keys.SignIn(t.Context(), app, "browser", answer)
		if err == nil && subject != s.account.Subject {
			t.Errorf("signed in %q", subject)
		}
		return err
	}
	answer := sign("required")
	if err := signIn(answer); err != nil {
		t.Fatalf("what the service's own page has signed: %v", err)
	}
	if err := signIn(answer); !errors.Is(err, login.ErrDenied) {
		t.Errorf("the same again: %v, want ErrDenied", err)
	}
	device.verifies(false)
	if err := signIn(sign("discouraged")); !errors.Is(err, login.ErrDenied) {
		t.Errorf("without having verified its user: %v, want ErrDenied", err)
	}
	device.verifies(true)
	b.Go("http://localhost:" + port)
	b.Until(`document.title === 'elsewhere'`)
	if err := signIn(sign("required")); !errors.Is(err, login.ErrDenied) {
		t.Errorf("on a page of another origin: %v, want ErrDenied", err)
	}
}

// Where passkeys are the second factor only, nobody signs in without the password.
func TestSecondFactorOnly(t *testing.T) {
	b := browsertest.Open(t)
	plug(b)
	s := serve(t, func(_ *site, o *login.Options) { o.Passkeys = nil })
	signInByPassword(b, s.root)
	b.Until(`document.querySelector('.passkeys')`)
	submit(b, adding, ``)
	b.Until(`document.querySelector('.passkeys strong')`)
	submit(b, signOut, ``)
	b.Until(`location.pathname === '/signin'`)
	if b.Eval(`String(document.querySelector('`+byPasskey+`'))`) != "null" {
		t.Error("the page offers to sign in by passkey alone")
	}
	if status := b.Eval(`fetch('/passkeys/challenge', {method: 'POST'}).then(r => String(r.status))`); status != "404" {
		t.Errorf("a challenge for the passkey alone: status %s", status)
	}
	signInByPassword(b, s.root)
	b.Until(`document.querySelector('#error')?.innerText.includes('Your passkey is needed')`)
	submit(b, byName, `document.querySelector('#password').value = '`+password+`'`)
	b.Until(`location.pathname === '/account'`)
	submit(b, `form[action$="/remove"]`, ``)
	b.Until(`document.querySelector('.passkeys')?.innerText.includes('None yet')`)
	submit(b, signOut, ``)
	b.Until(`location.pathname === '/signin'`)
	signInByPassword(b, s.root)
	b.Until(`location.pathname === '/account'`)
}
