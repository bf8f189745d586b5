package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/goswale/swale/auth"
)

// fixed is an issuer whose keys the test holds.
type fixed struct {
	ed    ed25519.PrivateKey
	ec    *ecdsa.PrivateKey
	net   *here
	extra []auth.JWK
}

func newFixed(t testing.TB) *fixed {
	t.Helper()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixed{ed: ed, ec: ec}
	f.net = &here{handler: http.HandlerFunc(f.serve)}
	return f
}

func (f *fixed) serve(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case auth.MetadataPath:
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": issuer, "jwks_uri": issuer + "/jwks.json"})
	case "/jwks.json":
		one, _ := auth.NewJWK("ed", f.ed.Public())
		two, _ := auth.NewJWK("ec", f.ec.Public())
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": append([]auth.JWK{one, two}, f.extra...)})
	default:
		http.NotFound(w, r)
	}
}

func (f *fixed) verifier(t *testing.T, opts *auth.VerifierOptions) *auth.Verifier {
	t.Helper()
	o := auth.VerifierOptions{}
	if opts != nil {
		o = *opts
	}
	o.Transport = f.net
	v, err := auth.NewVerifier(nil, issuer, audience, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close(t.Context()) })
	return v
}

func good(now time.Time) jwt.MapClaims {
	return jwt.MapClaims{
		"iss": issuer, "sub": "ada", "aud": audience, "jti": "1",
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "scope": "orders:read",
	}
}

func good2(now time.Time, name string, value any) jwt.MapClaims {
	c := maps.Clone(good(now))
	if value == nil {
		delete(c, name)
	} else {
		c[name] = value
	}
	return c
}

// sign makes a token with whatever header and key.
func sign(t testing.TB, method jwt.SigningMethod, header map[string]any, claims jwt.Claims, key any) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	token.Header["typ"] = "at+jwt"
	for name, value := range header {
		if value == nil {
			delete(token.Header, name)
		} else {
			token.Header[name] = value
		}
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestWhatIsAccepted(t *testing.T) {
	f := newFixed(t)
	v := f.verifier(t, nil)
	now := time.Now()
	kid := map[string]any{"kid": "ed"}
	tests := map[string]string{
		"EdDSA":                      sign(t, jwt.SigningMethodEdDSA, kid, good(now), f.ed),
		"ES256":                      sign(t, jwt.SigningMethodES256, map[string]any{"kid": "ec"}, good(now), f.ec),
		"the long form of typ":       sign(t, jwt.SigningMethodEdDSA, map[string]any{"kid": "ed", "typ": "application/AT+JWT"}, good(now), f.ed),
		"several audiences":          sign(t, jwt.SigningMethodEdDSA, kid, good2(now, "aud", []string{"https://other.example", audience}), f.ed),
		"fractions of a second":      sign(t, jwt.SigningMethodEdDSA, kid, good2(now, "iat", float64(now.UnixMilli())/1000), f.ed),
		"a clock that is behind":     sign(t, jwt.SigningMethodEdDSA, kid, good2(now, "iat", now.Add(20*time.Second).Unix()), f.ed),
		"expired within the skew":    sign(t, jwt.SigningMethodEdDSA, kid, good2(now, "exp", now.Add(-20*time.Second).Unix()), f.ed),
		"claims that nobody asks of": sign(t, jwt.SigningMethodEdDSA, kid, good2(now, "email", map[string]any{"x": []int{1}}), f.ed),
	}
	for name, token := range tests {
		c, err := v.Verify(t.Context(), token)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c.Subject != "ada" || !c.Allows("orders:read") || c.Allows("orders:write") {
			t.Errorf("%s: %+v", name, c)
		}
		if again, err := v.Verify(t.Context(), token); err != nil || again != c {
			t.Errorf("%s: the second time: %v, %v; want the same claims", name, again, err)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	f := newFixed(t)
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	kid := map[string]any{"kid": "ed"}
	ed := func(header map[string]any, claims jwt.MapClaims) string {
		return sign(t, jwt.SigningMethodEdDSA, header, claims, f.ed)
	}
	valid := ed(kid, good(now))
	parts := strings.Split(valid, ".")
	mine, _ := auth.NewJWK("mine", stranger.Public())
	b64 := base64.RawURLEncoding.EncodeToString

	// HMAC with the public key as its secret: what alg confusion is.
	head := b64([]byte(`{"alg":"HS256","typ":"at+jwt","kid":"ed"}`))
	mac := hmac.New(sha256.New, f.ed.Public().(ed25519.PublicKey))
	mac.Write([]byte(head + "." + parts[1]))
	confused := head + "." + parts[1] + "." + b64(mac.Sum(nil))

	tests := map[string]string{
		"nothing":                       "",
		"no token":                      "hello",
		"two parts":                     parts[0] + "." + parts[1],
		"four parts":                    valid + ".x",
		"alg none":                      b64([]byte(`{"alg":"none","typ":"at+jwt","kid":"ed"}`)) + "." + parts[1] + ".",
		"alg None":                      b64([]byte(`{"alg":"None","typ":"at+jwt","kid":"ed"}`)) + "." + parts[1] + ".",
		"alg confusion":                 confused,
		"the other key's alg":           sign(t, jwt.SigningMethodES256, kid, good(now), f.ec),
		"another key":                   sign(t, jwt.SigningMethodEdDSA, kid, good(now), stranger),
		"a kid that isn't there":        ed(map[string]any{"kid": "nobody"}, good(now)),
		"no kid":                        ed(nil, good(now)),
		"a kid that is a path":          ed(map[string]any{"kid": "../../dev/null"}, good(now)),
		"a kid that is a query":         ed(map[string]any{"kid": "' OR 1=1 --"}, good(now)),
		"a kid that isn't text":         ed(map[string]any{"kid": 7}, good(now)),
		"a jku of its own":              sign(t, jwt.SigningMethodEdDSA, map[string]any{"kid": "mine", "jku": "https://evil.example/jwks"}, good(now), stranger),
		"a jwk of its own":              sign(t, jwt.SigningMethodEdDSA, map[string]any{"kid": "mine", "jwk": mine}, good(now), stranger),
		"crit":                          ed(map[string]any{"kid": "ed", "crit": []string{"exp"}}, good(now)),
		"an ID token":                   ed(map[string]any{"kid": "ed", "typ": "JWT"}, good(now)),
		"no typ":                        ed(map[string]any{"kid": "ed", "typ": nil}, good(now)),
		"another issuer":                ed(kid, good2(now, "iss", "https://login.example.evil")),
		"another audience":              ed(kid, good2(now, "aud", "https://other.example")),
		"no audience":                   ed(kid, good2(now, "aud", nil)),
		"an audience of another kind":   ed(kid, good2(now, "aud", map[string]any{"x": audience})),
		"no subject":                    ed(kid, good2(now, "sub", nil)),
		"no exp":                        ed(kid, good2(now, "exp", nil)),
		"exp that isn't a number":       ed(kid, good2(now, "exp", "tomorrow")),
		"exp beyond all time":           ed(kid, good2(now, "exp", 1e300)),
		"a negative exp":                ed(kid, good2(now, "exp", -1)),
		"expired":                       ed(kid, good2(now, "exp", now.Add(-time.Minute).Unix())),
		"no iat":                        ed(kid, good2(now, "iat", nil)),
		"issued in the future":          ed(kid, good2(now, "iat", now.Add(time.Minute).Unix())),
		"not yet valid":                 ed(kid, good2(now, "nbf", now.Add(time.Minute).Unix())),
		"valid for a year":              ed(kid, good2(now, "exp", now.Add(365*24*time.Hour).Unix())),
		"huge":                          ed(kid, good2(now, "pad", strings.Repeat("x", auth.MaxToken))),
		"a signature cut short":         valid[:len(valid)-4],
		"a payload that was changed":    parts[0] + "." + b64([]byte(strings.Replace(string(raw(t, parts[1])), "ada", "bob", 1))) + "." + parts[2],
		"a signature with loose bits":   loose(valid),
		"padding":                       valid + "==",
		"a payload that isn't JSON":     signRaw(f.ed, `{"alg":"EdDSA","typ":"at+jwt","kid":"ed"}`, `{"iss"`),
		"a payload that is an array":    signRaw(f.ed, `{"alg":"EdDSA","typ":"at+jwt","kid":"ed"}`, `[]`),
		"a header that has alg twice":   signRaw(f.ed, `{"alg":"EdDSA","alg":"none","typ":"at+jwt","kid":"ed"}`, string(raw(t, parts[1]))),
		"a header that is null":         signRaw(f.ed, `null`, string(raw(t, parts[1]))),
		"white space around":            " " + valid,
		"roles that are not a list":     ed(kid, good2(now, "roles", "admin")),
		"an actor that isn't an object": ed(kid, good2(now, "act", "admin")),
	}
	v := f.verifier(t, nil)
	if _, err := v.Verify(t.Context(), valid); err != nil {
		t.Fatal(err)
	}
	for name, token := range tests {
		if c, err := v.Verify(t.Context(), token); !errors.Is(err, auth.ErrToken) {
			t.Errorf("%s: %+v, %v; want ErrToken", name, c, err)
		} else if len(token) > 20 && strings.Contains(err.Error(), token) {
			t.Errorf("%s: the error shows the token", name)
		}
	}
	if f.net.count("/jwks") != 0 || f.net.count("/jwks.json") > 3 {
		t.Errorf("made-up keys and key ids had the issuer asked %d times", f.net.count("/jwks.json"))
	}
	only := f.verifier(t, &auth.VerifierOptions{Algorithms: []string{auth.ES256}})
	if _, err := only.Verify(t.Context(), valid); !errors.Is(err, auth.ErrToken) {
		t.Errorf("an algorithm that isn't allowed: %v", err)
	}
}

func raw(t *testing.T, part string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// loose sets bits of the last character that no byte is made of.
func loose(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	i := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[i|1])
}

func signRaw(key crypto.Signer, header, payload string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(header)) + "." + b64([]byte(payload))
	sig, err := key.Sign(rand.Reader, []byte(text), crypto.Hash(0))
	if err != nil {
		panic(err)
	}
	return text + "." + b64(sig)
}

// The issuer being away is no reason to refuse whom it vouched for, and
// metadata may not lead elsewhere.
func TestIssuerAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixed(t)
		v := f.verifier(t, nil)
		f.net.down = true
		token := sign(t, jwt.SigningMethodEdDSA, map[string]any{"kid": "ed"}, good(time.Now()), f.ed)
		if _, err := v.Verify(t.Context(), token); !errors.Is(err, auth.ErrUnavailable) || errors.Is(err, auth.ErrToken) {
			t.Errorf("before any key was had: %v, want ErrUnavailable", err)
		}
		f.net.down = false
		time.Sleep(time.Minute)
		other := sign(t, jwt.SigningMethodEdDSA, map[string]any{"kid": "ed"}, good(time.Now()), f.ed)
		if _, err := v.Verify(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		f.net.down = true
		time.Sleep(24 * time.Hour)
		late := sign(t, jwt.SigningMethodEdDSA, map[string]any{"kid": "ed"}, good(time.Now()), f.ed)
		if _, err := v.Verify(t.Context(), late); err != nil {
			t.Errorf("with the last good keys: %v", err)
		}
		if _, err := v.Verify(t.Context(), other); !errors.Is(err, auth.ErrToken) {
			t.Errorf("a remembered token that has expired: %v, want ErrToken", err)
		}
	})
}

func TestMetadataMayNotLeadElsewhere(t *testing.T) {
	for name, m := range map[string]map[string]any{
		"another issuer":      {"issuer": "https://evil.example", "jwks_uri": issuer + "/jwks.json"},
		"keys at another one": {"issuer": issuer, "jwks_uri": "https://evil.example/jwks.json"},
		"keys without TLS":    {"issuer": issuer, "jwks_uri": "http://login.example/jwks.json"},
		"no keys":             {"issuer": issuer},
	} {
		net := &here{handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(m) })}
		v, err := auth.NewVerifier(nil, issuer, audience, &auth.VerifierOptions{Transport: net})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Ready(t.Context()); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", name, err)
		}
		_ = v.Close(t.Context())
	}
	for _, bad := range []string{"", "login.example", "ftp://x", "https://x/?q", "https://x/", "https://u@x"} {
		if _, err := auth.NewVerifier(nil, bad, audience, nil); err == nil {
			t.Errorf("issuer %q is accepted", bad)
		}
	}
}
