package auth_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/goswale/swale/auth"
)

// reply is what a handler answered.
type reply struct {
	status    int
	challenge string
	kind      string
	problem   struct{ Title, Detail string }
	retry     string
}

func call(t *testing.T, h http.Handler, path string, authorization ...string) reply {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	for _, a := range authorization {
		r.Header.Add("Authorization", a)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	out := reply{status: w.Code, challenge: w.Header().Get("Www-Authenticate"), kind: w.Header().Get("Content-Type"), retry: w.Header().Get("Retry-After")}
	_ = json.Unmarshal(w.Body.Bytes(), &out.problem)
	return out
}

func TestRefusalsSayWhatIsMissingAndNothingElse(t *testing.T) {
	f := newFixed(t)
	v := f.verifier(t, &auth.VerifierOptions{Strict: []string{"orders:refund"}})
	now := time.Now()
	kid := map[string]any{"kid": "ed"}
	token := "Bearer " + sign(t, jwt.SigningMethodEdDSA, kid, good2(now, "scope", "orders:read orders:refund"), f.ed)
	expired := "Bearer " + sign(t, jwt.SigningMethodEdDSA, kid, good2(now, "exp", now.Add(-time.Hour).Unix()), f.ed)
	ok := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, there := auth.FromContext(r.Context()); there {
			_, _ = io.WriteString(w, c.Subject)
		}
	})
	m := v.Mux()
	m.Handle("/read", auth.Scope("orders:read"), ok)
	m.Handle("/write", auth.Scope("orders:write", "orders:read"), ok)
	m.Handle("/refund", auth.Scope("orders:refund"), ok)
	m.Handle("/admin", auth.Role("admin"), ok)
	m.Handle("/any", auth.Any(auth.Role("admin"), auth.Scope("orders:read")), ok)
	m.Handle("/all", auth.All(auth.Authenticated, auth.Role("admin")), ok)
	m.Handle("/service", auth.Service("payments"), ok)
	m.Handle("/open", auth.Public, ok)
	m.Handle("/forgotten", auth.Policy{}, ok)
	m.Handle("/granted", auth.Granted("payments:charge"), ok)
	tests := []struct {
		path      string
		with      []string
		status    int
		challenge string
	}{
		{"/read", nil, 401, `Bearer`},
		{"/read", []string{token}, 200, ""},
		{"/read", []string{"bearer " + strings.TrimPrefix(token, "Bearer ")}, 200, ""},
		{"/read", []string{expired}, 401, `Bearer error="invalid_token"`},
		{"/read", []string{"Bearer"}, 400, `Bearer error="invalid_request"`},
		{"/read", []string{"Bearer a b"}, 400, `Bearer error="invalid_request"`},
		{"/read", []string{token + ", Basic eA=="}, 400, `Bearer error="invalid_request"`},
		{"/read", []string{token, token}, 400, `Bearer error="invalid_request"`},
		{"/read", []string{"Basic eA=="}, 401, `Bearer`},
		{"/read?access_token=" + strings.TrimPrefix(token, "Bearer "), nil, 401, `Bearer`},
		{"/write", []string{token}, 403, `Bearer error="insufficient_scope", scope="orders:write orders:read"`},
		{"/refund", []string{token}, 503, ""},
		{"/admin", []string{token}, 403, `Bearer error="insufficient_scope"`},
		{"/any", []string{token}, 200, ""},
		{"/all", []string{token}, 403, `Bearer error="insufficient_scope"`},
		{"/service", []string{token}, 403, `Bearer error="insufficient_scope"`},
		{"/granted", []string{token}, 503, ""}, // the issuer has no grants
		{"/open", nil, 200, ""},
		{"/open", []string{token}, 200, ""},
		{"/open", []string{expired}, 401, `Bearer error="invalid_token"`},
		{"/forgotten", []string{token}, 403, `Bearer error="insufficient_scope"`},
		{"/nowhere", []string{token}, 404, ""},
	}
	for _, tt := range tests {
		got := call(t, m, tt.path, tt.with...)
		if got.status != tt.status || got.challenge != tt.challenge {
			t.Errorf("%s with %d fields: %d %q, want %d %q", tt.path, len(tt.with), got.status, got.challenge, tt.status, tt.challenge)
		}
		if got.status >= 400 && got.status != 404 && (got.kind != "application/problem+json" || got.problem.Detail == "") {
			t.Errorf("%s: %d is answered as %q %+v, not as a problem document", tt.path, got.status, got.kind, got.problem)
		}
		if got.status == 503 && got.retry == "" {
			t.Errorf("%s: 503 doesn't say when to try again", tt.path)
		}
		if strings.Contains(got.problem.Detail, "expired at") {
			t.Errorf("%s: the answer tells what was wrong with the token: %q", tt.path, got.problem.Detail)
		}
	}
}

// Claims that something in front has put into the context count for nothing.
func TestClaimsFromElsewhereAreDropped(t *testing.T) {
	f := newFixed(t)
	v := f.verifier(t, nil)
	h := v.Middleware(v.Require(auth.Authenticated)(http.NotFoundHandler()))
	r := httptest.NewRequestWithContext(auth.WithClaims(t.Context(), &auth.Claims{Subject: "root"}), http.MethodGet, "/", nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusUnauthorized {
		t.Errorf("status %d, want 401", w.Code)
	}
}

func TestGrantsAreInForceWithTheNotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil, nil)
		set := func(may ...string) {
			t.Helper()
			g := auth.Grants{Grants: []auth.Grant{{Service: "orders", May: may, Because: "it takes payment"}}}
			if err := s.login.SetGrants(t.Context(), "test", g); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		set("payments:charge", "payments:refund")
		token, err := s.login.ServiceToken(t.Context(), "orders", audience)
		if err != nil {
			t.Fatal(err)
		}
		m := s.verifier.Mux()
		m.Handle("/charge", auth.Granted("payments:charge"), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		if got := call(t, m, "/charge", "Bearer "+token.Access); got.status != 200 {
			t.Errorf("with the grant: %+v", got)
		}
		asked := s.net.count("/grants")
		for range 100 {
			call(t, m, "/charge", "Bearer "+token.Access)
		}
		if n := s.net.count("/grants"); n != asked {
			t.Errorf("the issuer was asked %d times about grants that didn't change", n-asked)
		}
		set("payments:refund")
		if got := call(t, m, "/charge", "Bearer "+token.Access); got.status != 403 {
			t.Errorf("after the grant was taken away, with a token from before: %+v", got)
		}
		if _, err := s.login.ServiceToken(t.Context(), "orders", audience, "payments:charge"); err == nil {
			t.Error("a scope that isn't granted is issued")
		}
	})
}

func TestCovers(t *testing.T) {
	for _, tt := range []struct {
		pattern, scope string
		want           bool
	}{
		{"orders:read", "orders:read", true},
		{"orders:read", "orders:write", false},
		{"orders", "orders:read", false},
		{"orders:read", "orders", false},
		{"orders:*", "orders:read", true},
		{"orders:*", "orders:lines:write", true},
		{"orders:*", "orders", false},
		{"orders:*", "ordersx:read", false},
		{"*", "anything", true},
		{"*", "any:thing", true},
		{"*:read", "orders:read", true},
		{"*:read", "orders:write", false},
		{"*:read", "a:b:read", false},
		{"orders:*:read", "orders:9:read", true},
		{"orders:*:read", "orders:9:write", false},
		{"orders:read", "orders:*", false},
		{"orders:*", "orders:*", true},
		{"*", "orders:*", false},
		{"", "", false},
		{"*", "", false},
		{"orders:*", "orders:", false},
	} {
		if got := auth.Covers(tt.pattern, tt.scope); got != tt.want {
			t.Errorf("Covers(%q, %q) is %v", tt.pattern, tt.scope, got)
		}
	}
}
