package login_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/goswale/swale/auth/login"
	"github.com/goswale/swale/hal/browsertest"
)

// Somebody signs in, sees the sessions, ends another one, and signs out, with
// no script and nothing that the policy forbids.
func TestPagesInABrowser(t *testing.T) {
	b := browsertest.Open(t)
	server := httptest.NewUnstartedServer(nil)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	root := "http://localhost:" + port
	f := open(t, func(o *login.Options) { o.Issuer = root })
	server.Config.Handler = f.Handler(nil)
	server.Start()
	defer server.Close()
	f.create(t, "ada")
	f.logIn(t, "ada") // elsewhere, by "a test"

	submit := func(values string) {
		t.Helper()
		b.Eval(values + `; setTimeout(() => document.querySelector('form').requestSubmit())`)
	}
	b.Go(root + "/account")
	b.Until(`location.pathname === '/signin' && document.activeElement?.id === 'name'`)
	b.Screenshot("signin")
	submit(`document.querySelector('#name').value = 'ada'; document.querySelector('#password').value = 'wrong'`)
	b.Until(`document.querySelector('[role=alert]')?.innerText.includes("don't match")`)
	b.Until(`document.querySelector('#name').value === 'ada' && document.querySelector('#password').value === ''`)
	b.Screenshot("signin-refused")
	submit(`document.querySelector('#password').value = '` + password + `'`)
	b.Until(`location.pathname === '/account' && document.querySelectorAll('.sessions li').length === 2`)
	b.Screenshot("sessions")
	if got := b.Eval(`document.cookie`); got != "" {
		t.Errorf("a script could read the cookies %q", got)
	}
	if got := b.Eval(`document.querySelector('.sessions button').getAttribute('aria-label')`); got != "End the session on a test" {
		t.Errorf("the button says %q to who can't see it", got)
	}
	b.Eval(`setTimeout(() => document.querySelector('.sessions button').click())`)
	b.Until(`document.querySelectorAll('.sessions li').length === 1`)
	b.Eval(`setTimeout(() => document.querySelector('form[action$=signout] button').click())`)
	b.Until(`location.pathname === '/signin'`)
	b.Go(root + "/account")
	b.Until(`location.pathname === '/signin'`)

	// A page of another site posts a form.
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<form method="post" action="` + root + `/signin"><input name="application" value="customers"><input name="name" value="ada"><input name="password" value="` + password + `"></form><script>document.forms[0].submit()</script>`))
	}))
	defer evil.Close()
	b.Go(evil.URL)
	b.Until(`document.querySelector('h1')?.innerText === 'Not accepted'`)
	if trouble := b.Troubles(); len(trouble) > 0 {
		t.Errorf("the browser complains: %q", trouble)
	}
}

func cookies(a answer) map[string]*http.Cookie {
	all := map[string]*http.Cookie{}
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		all[c.Name] = c
	}
	return all
}

func TestSigningInByForm(t *testing.T) {
	f := open(t, nil)
	h := f.Handler(nil)
	f.create(t, "ada")
	values := url.Values{"application": {"customers"}, "name": {"ada"}, "password": {password}, "return": {"/account?x=1"}}
	own := []string{"Origin", issuer, "Sec-Fetch-Site", "same-origin"}

	for name, header := range map[string][]string{
		"another site":      {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"},
		"another subdomain": {"Sec-Fetch-Site", "same-site", "Origin", "https://evil.login.example"},
		"an older browser":  {"Origin", "https://evil.example"},
		"a sandboxed frame": {"Origin", "null"},
	} {
		if a := post(t, h, "/signin", values, header...); a.status != 403 || len(cookies(a)) > 0 {
			t.Errorf("%s: status %d with cookies %v", name, a.status, cookies(a))
		}
	}
	first := post(t, h, "/signin", values, own...)
	session := cookies(first)["__Host-swale-session"]
	if first.status != 303 || first.header.Get("Location") != "/account?x=1" || session == nil {
		t.Fatalf("%+v", first)
	}
	if !session.HttpOnly || !session.Secure || session.SameSite != http.SameSiteLaxMode || session.Path != "/" || session.Domain != "" {
		t.Errorf("the cookie is %s", session)
	}
	// Fixation: what the browser had before is not what it has after, and is
	// worth nothing any more.
	second := post(t, h, "/signin", values, append(own, "Cookie", session.Name+"="+session.Value)...)
	if again := cookies(second)["__Host-swale-session"]; again == nil || again.Value == session.Value {
		t.Error("signing in keeps the session that was there")
	}
	if _, err := f.Exchange(t.Context(), session.Value, orders); err == nil {
		t.Error("the session from before signing in is alive")
	}
	for _, to := range []string{"//evil.example", "https://evil.example", `/\evil.example`, "/\tx", "javascript:alert(1)", "evil", ""} {
		values.Set("return", to)
		if a := post(t, h, "/signin", values, own...); a.header.Get("Location") != "/account" {
			t.Errorf("return to %q leads to %q", to, a.header.Get("Location"))
		}
	}
	page := request(t, h, "GET", "/signin?name=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&return=%22onload=x", "")
	if strings.Contains(page.body, "<script>") || !strings.Contains(page.header.Get("Content-Security-Policy"), "default-src 'none'") || page.header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("%+v", page)
	}
	for _, target := range []string{"/signout", "/account/sessions/x/end"} {
		if a := post(t, h, target, url.Values{}, "Sec-Fetch-Site", "cross-site"); a.status != 403 {
			t.Errorf("%s from another site: %d", target, a.status)
		}
	}
	session = cookies(post(t, h, "/signin", values, own...))["__Host-swale-session"]
	if a := request(t, h, "DELETE", "/sessions/x", "", "Cookie", session.Name+"="+session.Value, "Sec-Fetch-Site", "cross-site"); a.status != 403 {
		t.Errorf("DELETE with a cookie from another site: %d", a.status)
	}
}
