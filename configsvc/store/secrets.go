package store

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goswale/swale/configsvc"
)

// errSealed keeps the sealed form inside: who could write it could move
// secrets to where they may be revealed.
var errSealed = errors.New(`write a secret as {"$secret": "text"}`)

// seal returns the value as it is stored: new secrets are encrypted, redacted
// ones replaced by what the current version has.
func (s *Store) seal(ctx context.Context, key string, v, current configsvc.Value, found *problems) configsvc.Value {
	known := map[string]string{}
	_, _ = configsvc.MapSecrets(current, func(_, form, text string) (configsvc.Value, error) {
		if form == configsvc.SealedMember {
			known[configsvc.Mark(text)] = text
		}
		return configsvc.Value{}, nil
	})
	sealed, err := configsvc.MapSecrets(v, func(path, form, text string) (configsvc.Value, error) {
		out, err := s.sealOne(ctx, key, form, text, known)
		if err != nil {
			found.add(key, path, "%v", err)
		}
		return out, nil
	})
	if err != nil {
		found.add(key, "", "%v", err)
	}
	strays(v, "", func(path, name string) {
		found.add(key, path, `%s stands alone in its object and is a string: {"%s": "text"}`, name, configsvc.SecretMember)
	})
	return sealed
}

func (s *Store) sealOne(ctx context.Context, key, form, text string, known map[string]string) (configsvc.Value, error) {
	switch form {
	case configsvc.SealedMember:
		return configsvc.Value{}, errSealed
	case configsvc.RedactedMember:
		sealed, ok := known[text]
		if !ok {
			return configsvc.Value{}, fmt.Errorf("the current version has no secret with the mark %q; write the secret itself", text)
		}
		return configsvc.Secret(configsvc.SealedMember, sealed), nil
	}
	if s.opts.Sealer == nil {
		return configsvc.Value{}, errors.New("this service has no key to encrypt secrets with; give it one (store.Options.Sealer)")
	}
	sealed, err := s.opts.Sealer.Seal(ctx, []byte(key+"\n"+text))
	if err != nil {
		return configsvc.Value{}, fmt.Errorf("encrypt it: %w", err)
	}
	return configsvc.Secret(configsvc.SealedMember, base64.StdEncoding.EncodeToString(sealed)), nil
}

// strays finds members that look like a secret's and aren't.
func strays(v configsvc.Value, path string, each func(path, name string)) {
	if form, _ := configsvc.SecretForm(v); form != "" {
		return
	}
	for name, e := range v.Members() {
		if name == configsvc.SecretMember || name == configsvc.SealedMember || name == configsvc.RedactedMember {
			each(path, name)
		}
		strays(e, path+configsvc.Pointer(name), each)
	}
	for i, e := range v.Elements() {
		strays(e, path+configsvc.Pointer(strconv.Itoa(i)), each)
	}
}

// opened is a value with its secrets in the clear.
type opened struct {
	value configsvc.Value
	paths []string // of the secrets
	texts []string
}

// open decrypts what is sealed. The secrets must belong to one of the keys.
func (s *Store) open(ctx context.Context, v configsvc.Value, keys ...string) (opened, error) {
	var o opened
	var err error
	o.value, err = configsvc.MapSecrets(v, func(path, form, text string) (configsvc.Value, error) {
		if form == configsvc.SealedMember {
			var err error
			if text, err = s.openOne(ctx, text, keys); err != nil {
				return configsvc.Value{}, fmt.Errorf("%w at %s: %w", configsvc.ErrSecret, path, err)
			}
		}
		o.paths, o.texts = append(o.paths, path), append(o.texts, text)
		return configsvc.Text(text), nil
	})
	return o, err
}

func (s *Store) openOne(ctx context.Context, text string, keys []string) (string, error) {
	if s.opts.Sealer == nil {
		return "", errors.New("this service has no key to decrypt with")
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", errors.New("what is stored is no encrypted text")
	}
	plain, err := s.opts.Sealer.Open(ctx, sealed)
	if err != nil {
		return "", fmt.Errorf("decrypt it: %w", err)
	}
	key, secret, ok := strings.Cut(string(plain), "\n")
	if !ok || !slices.Contains(keys, key) {
		return "", errors.New("it was encrypted for another key, so somebody has moved it")
	}
	return secret, nil
}

// clean returns a message that has none of the secrets in it.
func (o opened) clean(message string) string {
	for _, text := range o.texts {
		if text != "" && strings.Contains(message, text) {
			return "isn't allowed (the message had a secret in it)"
		}
	}
	return message
}
