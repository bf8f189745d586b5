package auth_test

import (
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/goswale/swale/auth"
)

// BenchmarkVerify verifies tokens that weren't seen before, and one that was,
// beside the bare check of a signature.
func BenchmarkVerify(b *testing.B) {
	f := newFixed(b)
	v, err := auth.NewVerifier(nil, issuer, audience, &auth.VerifierOptions{Transport: f.net, MaxTokens: 16})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = v.Close(b.Context()) })
	tokens := make([]string, 512)
	for i := range tokens {
		tokens[i] = sign(b, jwt.SigningMethodEdDSA, map[string]any{"kid": "ed"}, good2(time.Now(), "jti", string(rune('a'+i))), f.ed)
	}
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := v.Verify(b.Context(), tokens[i%len(tokens)]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(b.Context(), tokens[0]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bare", func(b *testing.B) {
		text := []byte(tokens[0])
		signature := ed25519.Sign(f.ed, text)
		public := f.ed.Public().(ed25519.PublicKey)
		for b.Loop() {
			if !ed25519.Verify(public, text, signature) {
				b.Fatal("the signature isn't right")
			}
		}
	})
}
