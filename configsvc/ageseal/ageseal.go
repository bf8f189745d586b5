// Package ageseal encrypts the secrets of a configuration with age
// (age-encryption.org), by a key from the environment.
//
//	sealer, err := ageseal.FromEnv("SWALE_CONFIG_KEY")
//	…
//	s := store.New(d, &store.Options{Sealer: sealer})
//
// A key is what age-keygen prints: AGE-SECRET-KEY-1…. To rotate it, put the new
// one before the old one: secrets are encrypted with the first and decrypted with
// whichever fits. The old one may go when every document with a secret has been
// written again.
package ageseal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"
)

// ErrKey is wrapped by errors about keys. They never have a key in them.
var ErrKey = errors.New("ageseal: key")

// Sealer is a configsvc.Sealer. It is safe for concurrent use.
type Sealer struct{ identities []*age.X25519Identity }

// New returns a Sealer with these keys, of which the first one encrypts.
func New(keys ...string) (*Sealer, error) {
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: there is none; age-keygen makes one", ErrKey)
	}
	s := &Sealer{}
	for i, key := range keys {
		identity, err := age.ParseX25519Identity(key)
		if err != nil {
			// The cause may quote what it was given.
			return nil, fmt.Errorf("%w: number %d isn't one; it begins with AGE-SECRET-KEY-1", ErrKey, i+1)
		}
		s.identities = append(s.identities, identity)
	}
	return s, nil
}

// FromEnv returns a Sealer with the keys in a variable of the environment, with
// commas or white space between them.
func FromEnv(name string) (*Sealer, error) {
	s, err := New(strings.FieldsFunc(os.Getenv(name), func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })...)
	if err != nil {
		return nil, fmt.Errorf("environment variable %s: %w", name, err)
	}
	return s, nil
}

// Generate returns a new key.
func Generate() (string, error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrKey, err)
	}
	return identity.String(), nil
}

// Seal encrypts with the first key.
func (s *Sealer) Seal(_ context.Context, plain []byte) ([]byte, error) {
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, s.identities[0].Recipient())
	if err != nil {
		return nil, fmt.Errorf("ageseal: encrypt: %w", err)
	}
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("ageseal: encrypt: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("ageseal: encrypt: %w", err)
	}
	return sealed.Bytes(), nil
}

// Open decrypts with whichever key fits.
func (s *Sealer) Open(_ context.Context, sealed []byte) ([]byte, error) {
	identities := make([]age.Identity, len(s.identities))
	for i, identity := range s.identities {
		identities[i] = identity
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), identities...)
	if err != nil {
		return nil, fmt.Errorf("ageseal: decrypt: %w", err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("ageseal: decrypt: %w", err)
	}
	return plain, nil
}
