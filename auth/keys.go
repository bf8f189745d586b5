package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// JWK is a public key as a JWK Set has it (RFC 7517): Ed25519 (RFC 8037) or
// P-256 (RFC 7518 section 6.2).
type JWK struct {
	KeyType   string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	Y         string `json:"y,omitempty"`
	ID        string `json:"kid"`
	Use       string `json:"use,omitempty"`
	Algorithm string `json:"alg,omitempty"`
}

// NewJWK describes a public key: an ed25519.PublicKey, or a *ecdsa.PublicKey
// on P-256.
func NewJWK(id string, public any) (JWK, error) {
	encode := base64.RawURLEncoding.EncodeToString
	switch key := public.(type) {
	case ed25519.PublicKey:
		return JWK{KeyType: "OKP", Curve: "Ed25519", X: encode(key), ID: id, Use: "sig", Algorithm: EdDSA}, nil
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return JWK{}, errors.New("auth: of the elliptic curves only P-256 is supported")
		}
		point, err := key.ECDH()
		if err != nil {
			return JWK{}, fmt.Errorf("auth: %w", err)
		}
		b := point.Bytes() // 4, x, y
		return JWK{KeyType: "EC", Curve: "P-256", X: encode(b[1:33]), Y: encode(b[33:]), ID: id, Use: "sig", Algorithm: ES256}, nil
	}
	return JWK{}, fmt.Errorf("auth: keys of type %T are not supported, use Ed25519 or P-256", public)
}

// Public returns the key and the one algorithm that it is for.
func (k JWK) Public() (public any, algorithm string, err error) {
	x, err := base64.RawURLEncoding.DecodeString(k.X)
	if err != nil {
		return nil, "", fmt.Errorf("auth: key %q: x: %w", k.ID, err)
	}
	switch {
	case k.Use != "" && k.Use != "sig":
		return nil, "", fmt.Errorf("auth: key %q is for %q, not for signatures", k.ID, k.Use)
	case k.KeyType == "OKP" && k.Curve == "Ed25519" && len(x) == ed25519.PublicKeySize:
		public, algorithm = ed25519.PublicKey(x), EdDSA
	case k.KeyType == "EC" && k.Curve == "P-256":
		y, yerr := base64.RawURLEncoding.DecodeString(k.Y)
		if yerr != nil || len(x) != 32 || len(y) != 32 {
			return nil, "", fmt.Errorf("auth: key %q: the coordinates are malformed", k.ID)
		}
		key := &ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int).SetBytes(x), Y: new(big.Int).SetBytes(y)}
		if _, err := key.ECDH(); err != nil {
			return nil, "", fmt.Errorf("auth: key %q: %w", k.ID, err)
		}
		public, algorithm = key, ES256
	default:
		return nil, "", fmt.Errorf("auth: key %q: kty %q with crv %q is not supported", k.ID, k.KeyType, k.Curve)
	}
	if k.Algorithm != "" && k.Algorithm != algorithm {
		return nil, "", fmt.Errorf("auth: key %q is for %s, its alg says %q", k.ID, algorithm, k.Algorithm)
	}
	return public, algorithm, nil
}

// keySet is a parsed JWK Set.
type keySet map[string]verifyingKey

type verifyingKey struct {
	public    any
	algorithm string
}

// parseKeys reads a JWK Set. Keys of kinds that aren't understood are passed
// over (RFC 7517 section 5); a set in which nothing is left is an error.
func parseKeys(data []byte) (keySet, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("auth: JWK Set: %w", err)
	}
	keys := make(keySet, len(set.Keys))
	for _, raw := range set.Keys[:min(len(set.Keys), maxKeys)] {
		var k JWK
		if json.Unmarshal(raw, &k) != nil || k.ID == "" {
			continue
		}
		if public, algorithm, err := k.Public(); err == nil {
			keys[k.ID] = verifyingKey{public, algorithm}
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("auth: the JWK Set has no key with an id that is for EdDSA or ES256")
	}
	return keys, nil
}

// maxKeys bounds the keys of one issuer.
const maxKeys = 64

// find returns the key of an id, for the algorithm that it is for.
func (s keySet) find(kid, alg string, allowed []string) (any, bool, error) {
	k, ok := s[kid]
	if !ok {
		return nil, false, nil
	}
	if k.algorithm != alg {
		return nil, true, fmt.Errorf("alg is %q, key %q is for %s", alg, kid, k.algorithm)
	}
	if !slices.Contains(allowed, alg) {
		return nil, true, fmt.Errorf("alg %q is not allowed", alg)
	}
	return k.public, true, nil
}
