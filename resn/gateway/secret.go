package gateway

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// secrets hashes what clients show to the gateway, and seals what the gateway
// must show to callbacks.
type secrets struct {
	pepper []byte
	seal   cipher.AEAD // nil without a key
}

// sealed begins a sealed credential, so that one that was kept before a key was
// configured is still understood.
const sealed = "sealed:"

func newSecrets(key []byte) (secrets, error) {
	if len(key) == 0 {
		return secrets{}, nil
	}
	if len(key) < 16 {
		return secrets{}, fmt.Errorf("gateway: Options.Key has %d bytes; it needs at least 16", len(key))
	}
	pepper, err := hkdf.Key(sha256.New, key, nil, "swale gateway: hash of tokens", 32)
	if err != nil {
		return secrets{}, err
	}
	aesKey, err := hkdf.Key(sha256.New, key, nil, "swale gateway: credentials of callbacks", 32)
	if err != nil {
		return secrets{}, err
	}
	block, err := aes.NewCipher(aesKey)
	if err != nil {
		return secrets{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return secrets{pepper: pepper, seal: aead}, err
}

// hash returns what is kept of a token. Tokens are long and random, unless
// somebody chose one; the pepper then keeps whoever reads the store from
// trying.
func (s secrets) hash(token string) string {
	h := hmac.New(sha256.New, s.pepper)
	h.Write([]byte(token))
	return hex.EncodeToString(h.Sum(nil))
}

// close seals a credential for the subscriber, whose it stays.
func (s secrets) close(subscriber, credential string) string {
	if s.seal == nil || credential == "" {
		return credential
	}
	box := s.seal.Seal(nil, nil, []byte(credential), []byte(subscriber)) //nolint:gosec // this AEAD makes its own random nonce and wants none
	return sealed + base64.RawStdEncoding.EncodeToString(box)
}

// open returns the credential that close sealed.
func (s secrets) open(subscriber, kept string) (string, error) {
	box, ok := strings.CutPrefix(kept, sealed)
	if !ok {
		return kept, nil
	}
	if s.seal == nil {
		return "", errors.New("the credential is sealed and Options.Key isn't set")
	}
	raw, err := base64.RawStdEncoding.DecodeString(box)
	if err != nil {
		return "", errors.New("the sealed credential is damaged")
	}
	text, err := s.seal.Open(nil, nil, raw, []byte(subscriber))
	if err != nil {
		return "", errors.New("the credential was sealed with another Options.Key")
	}
	return string(text), nil
}

// newID returns an ID for a client: 80 random bits in lower case.
func newID() string { return strings.ToLower(rand.Text()[:16]) }

// newToken returns a token that begins with the client's name, as Routemaster's
// do, so that people can tell them apart. The Ruby client takes at most 64 of
// a-z, 0-9, '-' and '_'.
func newToken(name string) string {
	kept := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, name)
	if len(kept) > 32 {
		kept = kept[:32]
	}
	return kept + "--" + strings.ToLower(rand.Text())
}
