package discovery

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// ErrProof is wrapped by the errors of claims whose proof is missing or wrong.
var ErrProof = errors.New("the claim isn't proven")

// SignEd25519 returns an Options.Sign that signs with the key; keyID tells those
// who verify which key it was.
func SignEd25519(keyID string, key ed25519.PrivateKey) func(Claim) (string, error) {
	return func(c Claim) (string, error) {
		if len(key) != ed25519.PrivateKeySize || keyID == "" || strings.Contains(keyID, ":") {
			return "", errors.New("discovery: a signing key needs an id without ':' and 64 bytes")
		}
		return keyID + ":" + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, c.Bytes)), nil
	}
}

// VerifyEd25519 returns an Options.Verify. find returns the public key with the
// ID if it may make the claim, else false: whether a key speaks for
// Claim.Service, and whether it may mark other people's instances
// (Claim.Kind "marks"), is find's decision.
//
// A proof names the record and covers all of its statement. It carries no time:
// somebody who can write to the store can bring back what an instance said
// earlier, for as long as its key is trusted.
func VerifyEd25519(find func(keyID string, c Claim) (ed25519.PublicKey, bool)) func(Claim, string) error {
	return func(c Claim, proof string) error {
		keyID, text, ok := strings.Cut(proof, ":")
		if !ok {
			return fmt.Errorf("%w: there is no proof", ErrProof)
		}
		key, ok := find(keyID, c)
		if !ok || len(key) != ed25519.PublicKeySize {
			return fmt.Errorf("%w: key %q may not speak for %s", ErrProof, keyID, c.Service)
		}
		signature, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || !ed25519.Verify(key, c.Bytes, signature) {
			return fmt.Errorf("%w: the signature of key %q is wrong", ErrProof, keyID)
		}
		return nil
	}
}
