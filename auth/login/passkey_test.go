package login_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/auth/login"
)

// keys is login.Passkeys in which an answer is the subject that it signs in, and
// has to come with the binding of the challenge.
type keys struct {
	bound string
	added []string
	names []string
}

func (k *keys) Offer(_ context.Context, _, subject, name, binding string) (json.RawMessage, error) {
	k.bound = "offer " + subject + " " + binding
	k.names = append(k.names, name)
	return json.RawMessage(`{"publicKey":{}}`), nil
}

func (k *keys) Add(_ context.Context, _, subject, binding, label string, answer []byte) error {
	if k.bound != "offer "+subject+" "+binding || string(answer) != "good" {
		return login.ErrDenied
	}
	k.added = append(k.added, label)
	return nil
}

func (k *keys) Challenge(_ context.Context, _, subject, binding string) (json.RawMessage, error) {
	k.bound = "challenge " + subject + " " + binding
	return json.RawMessage(`{"publicKey":{"challenge":"<x>"}}`), nil
}

func (k *keys) SignIn(_ context.Context, _, binding string, answer []byte) (string, error) {
	if len(answer) == 0 || k.bound != "challenge  "+binding {
		return "", login.ErrDenied
	}
	return string(answer), nil
}

func (k *keys) List(context.Context, string, string) ([]login.Passkey, error) {
	var all []login.Passkey
	for _, label := range k.added {
		all = append(all, login.Passkey{ID: "id-" + label, Label: label})
	}
	return all, nil
}

func (k *keys) Remove(_ context.Context, _, _, id string) error {
	i := slices.Index(k.added, strings.TrimPrefix(id, "id-"))
	if i < 0 {
		return login.ErrNotFound
	}
	k.added = slices.Delete(k.added, i, i+1)
	return nil
}

func (k *keys) Required(context.Context, string, string) (bool, error) { return len(k.added) > 0, nil }

func (k *keys) Verify(_ context.Context, _, subject, code string) (bool, error) {
	binding, answer, _ := strings.Cut(code, " ")
	return answer == "good" && k.bound == "challenge "+subject+" "+binding, nil
}

func withKeys(k *keys) func(*login.Options) {
	return func(o *login.Options) { o.Passkeys, o.Factor = k, k }
}

var own = []string{"Origin", issuer, "Sec-Fetch-Site", "same-origin"}

// browser adds the cookies of an answer to a request's fields.
func browser(header []string, answers ...answer) []string {
	all := map[string]string{}
	for _, a := range answers {
		for name, c := range cookies(a) {
			all[name] = c.Value
		}
	}
	var pairs []string
	for name, value := range all {
		pairs = append(pairs, name+"="+value)
	}
	return append(slices.Clone(header), "Cookie", strings.Join(pairs, "; "))
}

func TestPasskeyLogin(t *testing.T) {
	k := &keys{}
	f := open(t, withKeys(k))
	a := f.create(t, "ada")
	try := func(application, binding, answer string) (*login.Login, error) {
		t.Helper()
		if _, err := k.Challenge(t.Context(), application, "", "b"); err != nil {
			t.Fatal(err)
		}
		return f.PasskeyLogin(t.Context(), application, binding, []byte(answer), from("192.0.2.1"))
	}
	done, err := try("customers", "b", a.Subject)
	if err != nil || done.Session.Subject != a.Subject {
		t.Fatalf("%+v, %v", done, err)
	}
	if _, err := f.Exchange(t.Context(), done.Token, orders); err != nil {
		t.Errorf("the session gives no token: %v", err)
	}
	for name, c := range map[string][3]string{
		"another browser":        {"customers", "other", a.Subject},
		"no answer":              {"customers", "b", ""},
		"an account that's gone": {"customers", "b", "nobody"},
		"no such application":    {"staff", "b", a.Subject},
	} {
		if _, err := try(c[0], c[1], c[2]); !errors.Is(err, login.ErrDenied) {
			t.Errorf("%s: %v, want ErrDenied", name, err)
		}
	}
	if err := f.Disable(t.Context(), "test", a.Application, a.Subject); err != nil {
		t.Fatal(err)
	}
	if _, err := try("customers", "b", a.Subject); !errors.Is(err, login.ErrDenied) {
		t.Errorf("an account that is disabled: %v", err)
	}
	outcomes := map[string]int{}
	for _, e := range f.events {
		if e.What == "login" {
			outcomes[e.Outcome]++
		}
	}
	if outcomes["done"] != 1 || outcomes["denied"] != 5 {
		t.Errorf("the audit log has %v", outcomes)
	}
	none := open(t, nil)
	if _, err := none.PasskeyLogin(t.Context(), "customers", "b", []byte("x"), from("192.0.2.1")); err == nil {
		t.Error("without Options.Passkeys somebody is signed in by one")
	}
	if _, err := none.OfferPasskey(t.Context(), "sws_x"); err == nil {
		t.Error("without Options.Passkeys one is offered")
	}
}

// Whoever finds a browser signed in can't stay by adding a passkey, nor take the
// second factor away.
func TestPasskeysAreChangedByNewSessionsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keys{}
		f := open(t, withKeys(k))
		f.create(t, "ada")
		session, other := f.logIn(t, "ada"), f.logIn(t, "ada")
		add := func(s *login.Login) error {
			return f.AddPasskey(t.Context(), s.Token, "phone", []byte("good"))
		}
		if _, err := f.OfferPasskey(t.Context(), session.Token); err != nil || k.names[0] != "ada" {
			t.Fatalf("%q, %v", k.names, err)
		}
		if err := add(other); !errors.Is(err, login.ErrDenied) {
			t.Errorf("an offer to another session is taken up: %v", err)
		}
		if err := add(session); err != nil {
			t.Fatal(err)
		}
		time.Sleep(16 * time.Minute)
		if _, err := f.OfferPasskey(t.Context(), session.Token); !errors.Is(err, login.ErrStale) {
			t.Errorf("an offer to an old session: %v", err)
		}
		if err := add(session); !errors.Is(err, login.ErrStale) {
			t.Errorf("an old session adds one: %v", err)
		}
		if err := f.RemovePasskey(t.Context(), session.Token, "id-phone"); !errors.Is(err, login.ErrStale) {
			t.Errorf("an old session removes one: %v", err)
		}
		if err := f.RemovePasskey(t.Context(), "sws_made-up", "id-phone"); !errors.Is(err, login.ErrDenied) {
			t.Errorf("a session that isn't there removes one: %v", err)
		}
		var kinds []string
		for _, e := range f.events {
			if strings.HasPrefix(e.What, "passkey") {
				kinds = append(kinds, e.What+" "+e.Outcome)
			}
		}
		if !slices.Equal(kinds, []string{"passkey added denied", "passkey added done"}) {
			t.Errorf("the audit log has %q", kinds)
		}
	})
}

// Challenges are stored, so nobody gets as many as they like; others do go on.
func TestPasskeyChallengesAreBounded(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	f := open(t, func(o *login.Options) { o.Passkeys, o.Clock = &keys{}, func() time.Time { return now } })
	address := "192.0.2.1"
	h := f.Handler(&login.HandlerOptions{ClientAddress: func(*http.Request) netip.Addr { return netip.MustParseAddr(address) }})
	given := 0
	for range 100 {
		switch got := post(t, h, "/passkeys/challenge", url.Values{"application": {"customers"}}, own...); got.status {
		case 200:
			given++
		case 429:
			if got.header.Get("Retry-After") == "" || len(cookies(got)) > 0 {
				t.Fatalf("%+v", got)
			}
		default:
			t.Fatalf("%+v", got)
		}
	}
	if given != 60 {
		t.Errorf("one address was given %d challenges of 100, want 60", given)
	}
	address = "192.0.2.2"
	if got := post(t, h, "/passkeys/challenge", url.Values{"application": {"customers"}}, own...); got.status != 200 {
		t.Errorf("another address: %d", got.status)
	}
}

func TestPasskeyForms(t *testing.T) {
	k := &keys{}
	f := open(t, withKeys(k))
	h := f.Handler(nil)
	a := f.create(t, "ada")
	values := url.Values{"application": {"customers"}}

	asked := post(t, h, "/passkeys/challenge", values, own...)
	binding := cookies(asked)["__Host-swale-challenge"]
	if asked.status != 200 || binding == nil || !binding.HttpOnly || !binding.Secure || strings.Contains(k.bound, binding.Value) {
		t.Fatalf("%+v with %v, bound to %q", asked, binding, k.bound)
	}
	answered := with(url.Values{"application": {"customers"}, "return": {"//evil.example"}}, "answer", a.Subject)
	if got := post(t, h, "/passkeys/signin", answered, own...); got.status != 401 || len(cookies(got)) > 0 {
		t.Errorf("without the cookie: %d", got.status)
	}
	in := post(t, h, "/passkeys/signin", answered, browser(own, asked)...)
	if in.status != 303 || in.header.Get("Location") != "/account" || cookies(in)["__Host-swale-session"] == nil {
		t.Fatalf("%+v", in)
	}
	if got := post(t, h, "/passkeys/challenge", url.Values{"application": {"nobody"}}, own...); got.status != 401 {
		t.Errorf("an application that isn't there: %d", got.status)
	}
	if got := post(t, h, "/passkeys/offer", url.Values{}, own...); got.status != 401 || !strings.Contains(got.body, "Sign in first") {
		t.Errorf("an offer to nobody: %+v", got)
	}
	for _, target := range []string{"/passkeys", "/passkeys/offer", "/passkeys/challenge", "/passkeys/signin", "/passkeys/x/remove"} {
		if got := post(t, h, target, values, browser([]string{"Sec-Fetch-Site", "cross-site"}, in)...); got.status != 403 {
			t.Errorf("%s from another site: %d", target, got.status)
		}
	}
	if got := post(t, h, "/passkeys/offer", url.Values{}, browser(own, in)...); got.status != 200 {
		t.Fatalf("%+v", got)
	}
	if got := post(t, h, "/passkeys", url.Values{"answer": {"bad"}, "label": {"x"}}, browser(own, in)...); got.status != 401 || len(k.added) > 0 {
		t.Errorf("an answer that isn't accepted: %d, %q", got.status, k.added)
	}
	if got := post(t, h, "/passkeys", url.Values{"answer": {"good"}, "label": {`"><script>`}}, browser(own, in)...); got.status != 303 || len(k.added) != 1 {
		t.Fatalf("%+v, %q", got, k.added)
	}
	page := request(t, h, "GET", "/account", "", browser(nil, in)...)
	if strings.Contains(page.body, `"><script>`) || !strings.Contains(page.header.Get("Content-Security-Policy"), "script-src 'self'") {
		t.Errorf("%+v", page)
	}

	// After the password, the passkey of that account.
	byName := url.Values{"application": {"customers"}, "name": {"Ada"}, "password": {password}}
	wrong := post(t, h, "/signin", with(url.Values{}, "application", "customers", "name", "ada", "password", "wrong"), own...)
	if strings.Contains(wrong.body, "data-options") || len(cookies(wrong)) > 0 {
		t.Error("a challenge is given without the password: it tells who has a passkey")
	}
	first := post(t, h, "/signin", byName, own...)
	if first.status != 401 || !strings.Contains(first.body, `data-options="{&#34;publicKey&#34;:{&#34;challenge&#34;:&#34;&lt;x&gt;&#34;}}"`) || !strings.HasPrefix(k.bound, "challenge "+a.Subject+" ") {
		t.Fatalf("%+v, bound to %q", first, k.bound)
	}
	byName.Set("code", "good")
	if got := post(t, h, "/signin", byName, own...); got.status != 401 {
		t.Errorf("without the cookie: %d", got.status)
	}
	if got := post(t, h, "/signin", byName, browser(own, first)...); got.status != 303 {
		t.Errorf("%+v", got)
	}

	second := open(t, func(o *login.Options) { o.Factor = k }).Handler(nil)
	for _, target := range []string{"/passkeys/challenge", "/passkeys/signin"} {
		if got := post(t, second, target, values, own...); got.status != 404 && got.status != 405 {
			t.Errorf("%s where passkeys are the second factor only: %d", target, got.status)
		}
	}
	plain := open(t, nil).Handler(nil)
	if got := request(t, plain, "GET", "/signin", ""); strings.Contains(got.header.Get("Content-Security-Policy"), "script-src") || strings.Contains(got.body, "passkey") {
		t.Errorf("without passkeys the page has a script: %+v", got)
	}
	if got := post(t, plain, "/passkeys/challenge", values, own...); got.status != 404 && got.status != 405 {
		t.Errorf("without passkeys a challenge: %d", got.status)
	}
}
