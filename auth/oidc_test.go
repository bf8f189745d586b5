package auth_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/goswale/swale/auth"
	"github.com/goswale/swale/auth/login"
	"github.com/goswale/swale/auth/memauth"
)

// A relying party's library that knows nothing of us verifies our tokens from
// our metadata alone.
func TestARelyingPartyVerifiesOurTokens(t *testing.T) {
	for _, algorithm := range []string{auth.EdDSA, auth.ES256} {
		s, err := login.New(memauth.New(), &login.Options{
			Issuer: issuer, KeyEncryption: [][]byte{make([]byte, 32)}, Hashing: cheap, Algorithm: algorithm,
			Applications: map[string]login.Application{"customers": {Audiences: []string{audience}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx := oidc.ClientContext(t.Context(), &http.Client{Transport: &here{handler: s.Handler(nil)}})
		provider, err := oidc.NewProvider(ctx, issuer)
		if err != nil {
			t.Fatal(err)
		}
		a, err := s.CreateAccount(ctx, "customers", "ada", password)
		if err != nil {
			t.Fatal(err)
		}
		session, err := s.Login(ctx, login.Credentials{Application: "customers", Name: "ada", Password: password}, login.Origin{})
		if err != nil {
			t.Fatal(err)
		}
		token, err := s.Exchange(ctx, session.Token, audience)
		if err != nil {
			t.Fatal(err)
		}
		got, err := provider.VerifierContext(ctx, &oidc.Config{ClientID: audience}).Verify(ctx, token.Access)
		if err != nil {
			t.Fatalf("%s: %v", algorithm, err)
		}
		if got.Subject != a.Subject || got.Issuer != issuer || time.Until(got.Expiry) > 5*time.Minute {
			t.Errorf("%s: %+v", algorithm, got)
		}
		if _, err := provider.VerifierContext(ctx, &oidc.Config{ClientID: "https://other.example"}).Verify(context.WithoutCancel(ctx), token.Access); err == nil {
			t.Errorf("%s: a token for another audience is accepted", algorithm)
		}
	}
}
