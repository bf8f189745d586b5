package login_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/goswale/swale/auth"
	"github.com/goswale/swale/auth/login"
)

// answer is what the service said.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return m
}

func request(t *testing.T, h http.Handler, method, target, body string, header ...string) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, issuer+target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

func post(t *testing.T, h http.Handler, target string, values url.Values, header ...string) answer {
	t.Helper()
	return request(t, h, http.MethodPost, target, values.Encode(), append(header, "Content-Type", "application/x-www-form-urlencoded")...)
}

// service registers a client and returns what signs its assertions.
func (f *fixture) service(t *testing.T, id string, introspects bool) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := auth.NewJWK("k1", key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.PutClient(t.Context(), "test", login.Client{ID: id, Keys: []auth.JWK{jwk}, Introspects: introspects}); err != nil {
		t.Fatal(err)
	}
	return key
}

func assertion(t *testing.T, id string, key ed25519.PrivateKey, change func(jwt.MapClaims)) url.Values {
	t.Helper()
	claims := jwt.MapClaims{"iss": id, "sub": id, "aud": issuer + "/token", "jti": rand.Text(), "exp": time.Now().Add(time.Minute).Unix()}
	if change != nil {
		change(claims)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	token.Header["kid"] = "k1"
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return url.Values{
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {text},
		"grant_type": {"client_credentials"}, "audience": {orders},
	}
}

func with(v url.Values, pairs ...string) url.Values {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			v.Del(pairs[i])
		} else {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	return v
}

func TestSessionOverHTTP(t *testing.T) {
	f := open(t, app(func(a *login.Application) { a.Register = true }))
	h := f.Handler(nil)
	const hal = "application/hal+json"
	a := request(t, h, "POST", "/accounts/customers", `{"name":"ada","password":"`+password+`"}`, "Content-Type", "application/json")
	if a.status != 201 || a.header.Get("Content-Type") != hal || strings.Contains(a.body, password) {
		t.Fatalf("register: %+v", a)
	}
	a = request(t, h, "POST", "/accounts/customers", `{"name":"eve","password":"`+password+`","roles":["admin"]}`, "Content-Type", "application/json")
	if a.status != 403 {
		t.Errorf("registering with roles: %+v", a)
	}
	a = request(t, h, "POST", "/sessions", `{"application":"customers","name":"ada","password":"wrong"}`, "Content-Type", "application/json")
	if a.status != 401 || a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("a wrong password: %+v", a)
	}
	a = request(t, h, "POST", "/sessions", `{"application":"customers","name":"ada","password":"`+password+`"}`, "Content-Type", "application/json")
	if a.status != 201 || a.header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(a.header.Get("Location"), issuer+"/sessions/") {
		t.Fatalf("log in: %+v", a)
	}
	token, _ := a.json(t)["token"].(string)
	id, _ := a.json(t)["id"].(string)
	a = request(t, h, "GET", "/sessions", "", "Authorization", "Bearer "+token)
	if a.status != 200 || !strings.Contains(a.body, id) || strings.Contains(a.body, token) {
		t.Errorf("list: %+v", a)
	}
	a = post(t, h, "/token", url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "audience": {orders},
		"subject_token": {token}, "subject_token_type": {"urn:swale:params:oauth:token-type:session"},
	})
	got := a.json(t)
	if a.status != 200 || got["token_type"] != "Bearer" || got["issued_token_type"] != "urn:ietf:params:oauth:token-type:access_token" ||
		got["scope"] != "orders:read" || got["expires_in"].(float64) < 290 || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("exchange: %+v", a)
	}
	a = request(t, h, "DELETE", "/sessions/"+id, "", "Authorization", "Bearer "+token)
	if a.status != 204 {
		t.Errorf("end: %+v", a)
	}
	a = request(t, h, "GET", "/sessions", "", "Authorization", "Bearer "+token)
	if a.status != 401 {
		t.Errorf("after its end: %+v", a)
	}
	for target, body := range map[string]string{
		"/sessions": `{"application":`, "/password/reset": `[]`, "/accounts/customers": strings.Repeat("x", 100_000), "/accounts/nobody": `{}`,
	} {
		if a := request(t, h, "POST", target, body, "Content-Type", "application/json"); a.status < 400 || a.status >= 500 || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s with a bad body: %+v", target, a)
		}
	}
}

func TestOtherPeoplesSessionsAreNotThere(t *testing.T) {
	f := open(t, nil)
	h := f.Handler(nil)
	f.create(t, "ada")
	f.create(t, "bo")
	ada, bo := f.logIn(t, "ada"), f.logIn(t, "bo")
	if a := request(t, h, "DELETE", "/sessions/"+ada.Session.ID, "", "Authorization", "Bearer "+bo.Token); a.status != 404 {
		t.Errorf("ending somebody else's session: %+v", a)
	}
	if _, err := f.Exchange(t.Context(), ada.Token, orders); err != nil {
		t.Error(err)
	}
}

func TestTokenEndpointRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, nil)
		h := f.Handler(nil)
		f.create(t, "ada")
		key := f.service(t, "shop", false)
		other := f.service(t, "other", false)
		if err := f.SetGrants(t.Context(), "test", auth.Grants{Grants: []auth.Grant{{Service: "shop", May: []string{"payments:*"}}}}); err != nil {
			t.Fatal(err)
		}
		session := url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "audience": {orders},
			"subject_token": {f.logIn(t, "ada").Token}, "subject_token_type": {"urn:swale:params:oauth:token-type:session"},
		}
		clone := func(v url.Values) url.Values {
			c := url.Values{}
			for k, w := range v {
				c[k] = append([]string(nil), w...)
			}
			return c
		}
		once := assertion(t, "shop", key, nil)
		if a := post(t, h, "/token", clone(once)); a.status != 200 || a.json(t)["scope"] != "payments:*" {
			t.Fatalf("%+v", a)
		}
		twice := clone(session)
		twice.Add("audience", "https://other.example")
		double := clone(session)
		double.Add("subject_token", "x")
		for name, c := range map[string]struct {
			form   url.Values
			status int
			code   string
		}{
			"an assertion that was used before":    {once, 401, "invalid_client"},
			"signed by another client":             {assertion(t, "shop", other, nil), 401, "invalid_client"},
			"a client that isn't there":            {assertion(t, "nobody", key, nil), 401, "invalid_client"},
			"an assertion for somebody else":       {assertion(t, "shop", key, func(c jwt.MapClaims) { c["aud"] = "https://evil.example" }), 401, "invalid_client"},
			"iss and sub that differ":              {assertion(t, "shop", key, func(c jwt.MapClaims) { c["sub"] = "other" }), 401, "invalid_client"},
			"without jti":                          {assertion(t, "shop", key, func(c jwt.MapClaims) { delete(c, "jti") }), 401, "invalid_client"},
			"without exp":                          {assertion(t, "shop", key, func(c jwt.MapClaims) { delete(c, "exp") }), 401, "invalid_client"},
			"expired":                              {assertion(t, "shop", key, func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Hour).Unix() }), 401, "invalid_client"},
			"valid for a day":                      {assertion(t, "shop", key, func(c jwt.MapClaims) { c["exp"] = time.Now().Add(24 * time.Hour).Unix() }), 401, "invalid_client"},
			"another assertion type":               {with(assertion(t, "shop", key, nil), "client_assertion_type", "saml"), 401, "invalid_client"},
			"another client_id":                    {with(assertion(t, "shop", key, nil), "client_id", "other"), 401, "invalid_client"},
			"no client":                            {url.Values{"grant_type": {"client_credentials"}, "audience": {orders}}, 401, "invalid_client"},
			"a scope that isn't granted":           {with(assertion(t, "shop", key, nil), "scope", "orders:read"), 400, "invalid_scope"},
			"a pattern wider than the grant":       {with(assertion(t, "shop", key, nil), "scope", "*"), 400, "invalid_scope"},
			"no audience":                          {with(clone(session), "audience", ""), 400, "invalid_request"},
			"two audiences":                        {twice, 400, "invalid_request"},
			"a parameter twice":                    {double, 400, "invalid_request"},
			"an audience that isn't allowed":       {with(clone(session), "audience", "https://evil.example"), 400, "invalid_target"},
			"a scope beyond the roles":             {with(clone(session), "scope", "orders:write"), 400, "invalid_scope"},
			"another grant type":                   {with(clone(session), "grant_type", "password"), 400, "unsupported_grant_type"},
			"no subject token":                     {with(clone(session), "subject_token", ""), 400, "invalid_request"},
			"a session that isn't there":           {with(clone(session), "subject_token", "sws_made-up"), 400, "invalid_grant"},
			"another subject token type":           {with(clone(session), "subject_token_type", "saml"), 400, "invalid_request"},
			"another requested token type":         {with(clone(session), "requested_token_type", "urn:ietf:params:oauth:token-type:id_token"), 400, "invalid_request"},
			"an access token, by nobody in person": {with(clone(session), "subject_token_type", "urn:ietf:params:oauth:token-type:access_token"), 401, "invalid_client"},
		} {
			a := post(t, h, "/token", c.form)
			if a.status != c.status || a.json(t)["error"] != c.code {
				t.Errorf("%s: %d %s, want %d %s", name, a.status, a.body, c.status, c.code)
			}
		}
		if a := request(t, h, "POST", "/token", `{"grant_type":"client_credentials"}`, "Content-Type", "application/json"); a.status != 400 {
			t.Errorf("JSON: %+v", a)
		}
		if a := request(t, h, "GET", "/token?"+session.Encode(), ""); a.status != 405 {
			t.Errorf("a token by GET: %d", a.status)
		}
		if a := post(t, h, "/token?"+session.Encode(), url.Values{}); a.status == 200 {
			t.Error("parameters in the query are taken")
		}
	})
}

func TestDelegationNarrows(t *testing.T) {
	f := open(t, app(func(a *login.Application) {
		a.Audiences = []string{orders, "https://payments.example"}
		a.Scopes = map[string][]string{"": {"orders:read", "payments:charge", "payments:refund"}}
	}))
	a := f.create(t, "ada")
	session := f.logIn(t, "ada")
	if err := f.SetGrants(t.Context(), "test", auth.Grants{Grants: []auth.Grant{{Service: "orders", May: []string{"payments:charge", "admin:*"}}}}); err != nil {
		t.Fatal(err)
	}
	token, err := f.Exchange(t.Context(), session.Token, orders, "orders:read", "payments:charge")
	if err != nil {
		t.Fatal(err)
	}
	for _, scope := range []string{"payments:refund", "admin:all", "orders:read"} {
		if _, err := f.Delegate(t.Context(), "orders", token.Access, "https://payments.example", scope); err == nil {
			t.Errorf("%s was not both in the token and granted to the service, and is given", scope)
		}
	}
	narrow, err := f.Delegate(t.Context(), "orders", token.Access, "https://payments.example", "payments:charge")
	if err != nil {
		t.Fatal(err)
	}
	if narrow.Expires.After(token.Expires) {
		t.Error("a delegated token lives longer than what it was made of")
	}
	parts := strings.Split(narrow.Access, ".")
	payload, _ := jwt.NewParser().DecodeSegment(parts[1])
	var claims struct {
		Sub, Sid, Scope string
		Act             struct{ Sub string }
	}
	if err := json.Unmarshal(payload, &claims); err != nil || claims.Sub != a.Subject || claims.Act.Sub != "orders" || claims.Scope != "payments:charge" || claims.Sid != session.Session.ID {
		t.Errorf("%s, %v", payload, err)
	}
	if _, err := f.Delegate(t.Context(), "orders", token.Access, "https://payments.example"); err == nil {
		t.Error("who asks for nothing in particular gets what the service isn't granted")
	}
	if err := f.EndSession(t.Context(), "test", session.Session.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Delegate(t.Context(), "orders", token.Access, "https://payments.example", "payments:charge"); err == nil {
		t.Error("a token of a session that has ended is exchanged")
	}
}

// The grant that counts in a delegation is that of the service that acts: not
// another's, not that of whom the token was issued to, and not one of the past.
func TestDelegationNeedsTheServicesOwnGrant(t *testing.T) {
	const payments = "https://payments.example"
	f := open(t, app(func(a *login.Application) {
		a.Audiences = []string{orders, payments}
		a.Scopes = map[string][]string{"": {"payments:charge"}}
	}))
	h := f.Handler(nil)
	f.create(t, "ada")
	keys := map[string]ed25519.PrivateKey{}
	for _, name := range []string{"orders", "refunds", "curious"} {
		keys[name] = f.service(t, name, false)
	}
	granted := func(may ...auth.Grant) {
		t.Helper()
		if err := f.SetGrants(t.Context(), "test", auth.Grants{Grants: may}); err != nil {
			t.Fatal(err)
		}
	}
	granted(auth.Grant{Service: "orders", May: []string{"payments:charge"}}, auth.Grant{Service: "refunds", May: []string{"payments:refund"}})
	token, err := f.Exchange(t.Context(), f.logIn(t, "ada").Token, orders)
	if err != nil {
		t.Fatal(err)
	}
	acts := func(service, subject string) answer {
		t.Helper()
		return post(t, h, "/token", with(assertion(t, service, keys[service], nil),
			"grant_type", "urn:ietf:params:oauth:grant-type:token-exchange", "audience", payments, "scope", "payments:charge",
			"subject_token", subject, "subject_token_type", "urn:ietf:params:oauth:token-type:access_token"))
	}
	first := acts("orders", token.Access)
	if first.status != 200 {
		t.Fatalf("a service that is granted it: %+v", first)
	}
	delegated, _ := first.json(t)["access_token"].(string)
	for name, a := range map[string]answer{
		"a service without a grant":                                        acts("curious", token.Access),
		"a service with another grant":                                     acts("refunds", token.Access),
		"a service without a grant, by a token that one with it was given": acts("curious", delegated),
	} {
		if a.status != 400 || a.json(t)["error"] != "invalid_scope" {
			t.Errorf("%s: %d %s, want invalid_scope", name, a.status, a.body)
		}
	}
	granted(auth.Grant{Service: "*", May: []string{"payments:charge"}})
	if a := acts("curious", token.Access); a.status != 200 {
		t.Errorf("a grant to every service: %+v", a)
	}
	granted(auth.Grant{Service: "refunds", May: []string{"payments:charge"}})
	if a := acts("orders", token.Access); a.status != 400 {
		t.Errorf("a grant that was taken away: %d %s", a.status, a.body)
	}
}

func TestIntrospectionAndRevocation(t *testing.T) {
	f := open(t, nil)
	h := f.Handler(nil)
	f.create(t, "ada")
	session := f.logIn(t, "ada")
	key, curious := f.service(t, "gateway", true), f.service(t, "curious", false)
	token, err := f.Exchange(t.Context(), session.Token, orders)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(text string) answer {
		t.Helper()
		return post(t, h, "/introspect", with(assertion(t, "gateway", key, nil), "token", text))
	}
	if a := ask(token.Access); a.status != 200 || a.json(t)["active"] != true || a.json(t)["scope"] != "orders:read" {
		t.Errorf("%+v", a)
	}
	for _, text := range []string{"", "x", token.Access + "x", session.Token} {
		if a := ask(text); a.status != 200 || a.body != `{"active":false}` {
			t.Errorf("token %.10q: %+v", text, a)
		}
	}
	if a := post(t, h, "/introspect", with(assertion(t, "curious", curious, nil), "token", token.Access)); a.status != 401 {
		t.Errorf("a client that may not ask: %+v", a)
	}
	if a := post(t, h, "/introspect", url.Values{"token": {token.Access}}); a.status != 401 {
		t.Errorf("nobody in particular: %+v", a)
	}
	if a := post(t, h, "/revoke", url.Values{"token": {token.Access}}); a.status != 200 {
		t.Errorf("%+v", a)
	}
	if a := ask(token.Access); a.body != `{"active":false}` {
		t.Errorf("after it was revoked: %+v", a)
	}
	if a := post(t, h, "/revoke", url.Values{"token": {"unknown"}}); a.status != 200 {
		t.Errorf("RFC 7009 section 2.2: a token that isn't known is no error: %+v", a)
	}
}

func TestDocumentsMayBeCached(t *testing.T) {
	f := open(t, nil)
	h := f.Handler(nil)
	for _, path := range []string{auth.MetadataPath, "/.well-known/openid-configuration", "/jwks.json", "/grants"} {
		a := request(t, h, "GET", path, "")
		if a.status != 200 || a.header.Get("Etag") == "" || !strings.Contains(strings.Join(a.header.Values("Cache-Control"), ","), `resn="sessions"`) {
			t.Errorf("%s: %+v", path, a)
		}
		if again := request(t, h, "GET", path, "", "If-None-Match", a.header.Get("Etag")); again.status != 304 || again.body != "" {
			t.Errorf("%s: %+v, want 304", path, again)
		}
	}
	if a := request(t, h, "GET", "/jwks.json", ""); strings.Contains(a.body, `"d"`) || strings.Contains(strings.ToLower(a.body), "sealed") {
		t.Errorf("a private key is shown: %s", a.body)
	}
	below := open(t, func(o *login.Options) { o.Issuer = issuer + "/tenant" }).Handler(nil)
	for path, want := range map[string]int{auth.MetadataPath + "/tenant": 200, "/tenant/jwks.json": 200, "/jwks.json": 404, "/tenant/": 200} {
		if a := request(t, below, "GET", path, ""); a.status != want {
			t.Errorf("%s: %d, want %d", path, a.status, want)
		}
	}
}
