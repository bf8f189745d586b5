package configsvc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
)

// A secret is a string inside a document that only those see who may. It is an
// object with one of these members and nothing else.
const (
	// SecretMember is how a writer says that a string is a secret:
	// {"$secret": "hunter2"}.
	SecretMember = "$secret"
	// SealedMember holds the encrypted form, which never leaves the service.
	SealedMember = "$sealed"
	// RedactedMember is what is shown instead, with a mark that tells versions
	// of the secret apart. Who writes it back leaves the secret as it was.
	RedactedMember = "$redacted"
)

// ErrSecret is wrapped by errors about secrets that can't be sealed, opened or
// kept.
var ErrSecret = errors.New("configsvc: secret")

// Sealer encrypts secrets before they are stored: package ageseal is one, a key
// management service is another. Implementations are safe for concurrent use.
type Sealer interface {
	// Seal encrypts a text. The same text may give another result each time.
	Seal(ctx context.Context, plain []byte) ([]byte, error)
	// Open decrypts what Seal returned, also under keys that were rotated out.
	Open(ctx context.Context, sealed []byte) ([]byte, error)
}

// isSecret reports whether a value is one of the three forms of a secret.
func isSecret(v Value) bool {
	if v.kind != Object || len(v.members) != 1 {
		return false
	}
	switch name := v.members[0].name; name {
	case SecretMember, SealedMember, RedactedMember:
		return v.members[0].value.kind == String
	}
	return false
}

// SecretForm returns which of the three members a secret has, and its text. The
// form of what is no secret is empty.
func SecretForm(v Value) (form, text string) {
	if !isSecret(v) {
		return "", ""
	}
	text, _ = v.members[0].value.Text()
	return v.members[0].name, text
}

// Secret returns a secret in one of its three forms.
func Secret(form, text string) Value { return of(form, Text(text)) }

// Redact returns the value with every secret replaced by its redacted form.
func Redact(v Value) Value {
	redacted, err := MapSecrets(v, func(_, form, text string) (Value, error) {
		if form == RedactedMember {
			return Secret(form, text), nil
		}
		return Secret(RedactedMember, Mark(text)), nil
	})
	if err != nil {
		return Value{} // the function above returns none
	}
	return redacted
}

// Mark returns what tells one version of a secret from another in its redacted
// form. It is made of the sealed text and says nothing about the secret.
func Mark(sealed string) string {
	sum := sha256.Sum256([]byte(sealed))
	return hex.EncodeToString(sum[:6])
}

// MapSecrets returns v with every secret replaced by what replace returns for
// it, in arrays too. Path is the JSON Pointer of the secret.
func MapSecrets(v Value, replace func(path, form, text string) (Value, error)) (Value, error) {
	return mapSecrets(v, "", replace)
}

func mapSecrets(v Value, path string, replace func(path, form, text string) (Value, error)) (Value, error) {
	if form, text := SecretForm(v); form != "" {
		return replace(path, form, text)
	}
	if !hasSecrets(v) {
		return v, nil
	}
	out := Value{kind: v.kind, members: make([]member, len(v.members))}
	for i, m := range v.members {
		name := m.name
		if v.kind == Array {
			name = strconv.Itoa(i)
		}
		e, err := mapSecrets(m.value, below(path, name), replace)
		if err != nil {
			return Value{}, err
		}
		out.members[i] = member{m.name, e}
	}
	return out, nil
}

func hasSecrets(v Value) bool {
	if isSecret(v) {
		return true
	}
	for i := range v.members {
		if k := v.members[i].value.kind; (k == Object || k == Array) && hasSecrets(v.members[i].value) {
			return true
		}
	}
	return false
}
