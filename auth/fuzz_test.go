package auth_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/goswale/swale/auth"
)

// Whatever is presented as a token is accepted only if it is the one that was
// signed, and nothing panics.
func FuzzVerify(f *testing.F) {
	fix := newFixed(f)
	v, err := auth.NewVerifier(nil, issuer, audience, &auth.VerifierOptions{Transport: fix.net})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = v.Close(f.Context()) })
	valid := sign(f, jwt.SigningMethodEdDSA, map[string]any{"kid": "ed"}, good(time.Now()), fix.ed)
	f.Add(valid)
	f.Add("..")
	f.Add(strings.Repeat("a.", 1000))
	f.Add(`eyJhbGciOiJub25lIn0..`)
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := v.Verify(t.Context(), token); err == nil && token != valid || err != nil && !errors.Is(err, auth.ErrToken) && !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("%q: %v", token, err)
		}
	})
}

// FuzzGrants reads anything as grants.
func FuzzGrants(f *testing.F) {
	f.Add([]byte(`{"grants":[{"service":"orders","may":["payments:*"]}]}`), "orders", "payments:charge")
	f.Add([]byte(`{"grants":[{"service":"*","may":["*"]}]}`), "x", "*")
	f.Fuzz(func(t *testing.T, data []byte, service, action string) {
		g, err := auth.ParseGrants(data)
		if err != nil {
			return
		}
		may := g.May(service, action)
		if text := g.Explain(service, action); strings.HasPrefix(text, service+" may not "+action) == may {
			t.Errorf("%q %q: May is %v, and it is explained as %q", service, action, may, text)
		}
	})
}
