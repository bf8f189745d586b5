package login

import (
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/goswale/swale/auth"
	"github.com/goswale/swale/auth/driver"
	"github.com/goswale/swale/resn"
)

// storedKey is a signing key as it is stored. It goes through three times of
// life: published and not signing yet, signing, and published until the last
// token that it signed has expired.
type storedKey struct {
	ID        string    `json:"kid"`
	Algorithm string    `json:"alg"`
	From      time.Time `json:"from"`  // signs from then on, until a newer one does
	Until     time.Time `json:"until"` // published until then
	Public    auth.JWK  `json:"public"`
	Sealed    []byte    `json:"sealed"` // nonce and ciphertext of the PKCS #8 form
}

// keyring holds the keys that this process knows of.
type keyring struct {
	service *Service
	sealers []cipher.AEAD

	mu     *sync.Mutex
	loaded time.Time
	keys   []signingKey // by From
}

type signingKey struct {
	storedKey
	method jwt.SigningMethod
	signer crypto.Signer
}

// reload is how old what this process knows of the keys may be.
const reload = 10 * time.Second

func newKeyring(s *Service) (keyring, error) {
	k := keyring{service: s, mu: &sync.Mutex{}}
	switch s.opts.Algorithm {
	case "":
		s.opts.Algorithm = auth.EdDSA
	case auth.EdDSA, auth.ES256:
	default:
		return k, fmt.Errorf("login: algorithm %q is not supported, use %s or %s", s.opts.Algorithm, auth.EdDSA, auth.ES256)
	}
	if len(s.opts.KeyEncryption) == 0 {
		return k, errors.New("login: KeyEncryption is missing: give 32 random bytes, and keep them where backups of the store are not")
	}
	for i, key := range s.opts.KeyEncryption {
		if len(key) != 32 {
			return k, fmt.Errorf("login: KeyEncryption %d has %d bytes, 32 are needed", i, len(key))
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return k, err
		}
		sealer, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return k, err
		}
		k.sealers = append(k.sealers, sealer)
	}
	return k, nil
}

// signing returns the key to sign with now.
func (k *keyring) signing(ctx context.Context) (*signingKey, error) {
	keys, err := k.current(ctx)
	if err != nil {
		return nil, err
	}
	now := k.service.opts.Clock()
	for i := range slices.Backward(keys) {
		if !keys[i].From.After(now) {
			return &keys[i], nil
		}
	}
	return nil, errors.New("login: there is no signing key")
}

// current returns the keys, the oldest first. If there is none that signs, one
// is made.
func (k *keyring) current(ctx context.Context) ([]signingKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.service.opts.Clock()
	if now.Sub(k.loaded) < reload && k.signs(now) {
		return k.keys, nil
	}
	if err := k.load(ctx); err != nil {
		return nil, err
	}
	if !k.signs(now) {
		if err := k.create(ctx, now, "first"); err != nil {
			return nil, err
		}
		if err := k.load(ctx); err != nil {
			return nil, err
		}
	}
	return k.keys, nil
}

// signs reports whether one of the keys signs now.
func (k *keyring) signs(now time.Time) bool {
	return slices.ContainsFunc(k.keys, func(key signingKey) bool { return !key.From.After(now) && now.Before(key.Until) })
}

// turn creates the next key when its time has come.
func (k *keyring) turn(ctx context.Context) error {
	if _, err := k.current(ctx); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.load(ctx); err != nil {
		return err
	}
	now, last := k.service.opts.Clock(), k.keys[len(k.keys)-1]
	next := last.From.Add(k.service.opts.RotateEvery)
	if now.Before(next.Add(-k.service.opts.RotateLead)) {
		return nil
	}
	// When nobody has turned for long, the successor is late, and still
	// published before it signs.
	from := next
	if earliest := now.Add(k.service.opts.RotateLead); earliest.After(from) {
		from = earliest
	}
	return k.create(ctx, from, "after "+last.ID)
}

// Rotate publishes a new key, which signs after Options.RotateLead.
func (s *Service) Rotate(ctx context.Context) error {
	if _, err := s.keys.current(ctx); err != nil {
		return err
	}
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	if err := s.keys.load(ctx); err != nil {
		return err
	}
	last := s.keys.keys[len(s.keys.keys)-1]
	if err := s.keys.create(ctx, s.opts.Clock().Add(s.opts.RotateLead), "after "+last.ID); err != nil {
		return err
	}
	return s.keys.load(ctx)
}

// RevokeKey withdraws a key that somebody else may have. Tokens that it signed
// are refused once the notice arrives. If it was the one that signs, another
// one does at once.
func (s *Service) RevokeKey(ctx context.Context, by, id string) error {
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	r, err := s.store.Get(ctx, kindKey, id, s.opts.Clock())
	if err != nil {
		return err
	}
	r.Data = nil
	if err := s.write(ctx, []driver.Op{{Record: r, Delete: true}}, resn.Update, s.jwksHref()); err != nil {
		return err
	}
	s.audit(ctx, Event{What: "key revoked", By: by, Reason: id})
	s.keys.loaded = time.Time{}
	return nil
}

// create stores a new key and announces it. slot is what it is the key for: of
// several processes that make one only one succeeds, and the others use that.
func (k *keyring) create(ctx context.Context, from time.Time, slot string) error {
	s := k.service
	var signer crypto.Signer
	var err error
	if s.opts.Algorithm == auth.ES256 {
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		return fmt.Errorf("login: new key: %w", err)
	}
	key := storedKey{
		ID: newID(), Algorithm: s.opts.Algorithm, From: from,
		// Its successor may be late by as long as it is published ahead.
		Until: from.Add(s.opts.RotateEvery + 2*s.opts.RotateLead + 2*time.Hour),
	}
	if key.Public, err = auth.NewJWK(key.ID, signer.Public()); err != nil {
		return err
	}
	plain, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return fmt.Errorf("login: new key: %w", err)
	}
	key.Sealed = k.sealers[0].Seal(nil, nil, plain, []byte(key.ID)) //nolint:gosec // it makes a random nonce by itself
	err = s.write(ctx, []driver.Op{op(kindKey, key.ID, 0, slot, nil, key.Until, key)}, resn.Update, s.jwksHref())
	if errors.Is(err, driver.ErrExists) {
		return nil
	}
	if err == nil {
		s.audit(ctx, Event{What: "key created", Reason: key.ID + " signs from " + from.UTC().Format(time.RFC3339)})
	}
	return err
}

// load reads the keys.
func (k *keyring) load(ctx context.Context) error {
	s := k.service
	now := s.opts.Clock()
	found, err := s.store.Find(ctx, kindKey, "", "", 64, now)
	if err != nil {
		return err
	}
	keys := make([]signingKey, 0, len(found))
	for _, r := range found {
		var one storedKey
		if err := unmarshal(r, &one); err != nil {
			return err
		}
		key, err := k.open(one)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b signingKey) int { return a.From.Compare(b.From) })
	k.keys, k.loaded = keys, now
	return nil
}

func (k *keyring) open(one storedKey) (signingKey, error) {
	key := signingKey{storedKey: one}
	switch one.Algorithm {
	case auth.EdDSA:
		key.method = jwt.SigningMethodEdDSA
	case auth.ES256:
		key.method = jwt.SigningMethodES256
	default:
		return key, fmt.Errorf("login: key %q: algorithm %q", one.ID, one.Algorithm)
	}
	for _, sealer := range k.sealers {
		plain, err := sealer.Open(nil, nil, one.Sealed, []byte(one.ID))
		if err != nil {
			continue
		}
		parsed, err := x509.ParsePKCS8PrivateKey(plain)
		if err != nil {
			return key, fmt.Errorf("login: key %q: %w", one.ID, err)
		}
		signer, ok := parsed.(crypto.Signer)
		if !ok {
			return key, fmt.Errorf("login: key %q can't sign", one.ID)
		}
		key.signer = signer
		return key, nil
	}
	return key, fmt.Errorf("login: key %q: none of Options.KeyEncryption opens it", one.ID)
}

// sign makes a token. typ is its type.
func (k *signingKey) sign(typ string, claims jwt.MapClaims) (string, error) {
	t := jwt.NewWithClaims(k.method, claims)
	t.Header["typ"], t.Header["kid"] = typ, k.ID
	text, err := t.SignedString(k.signer)
	if err != nil {
		return "", fmt.Errorf("login: key %q: %w", k.ID, err)
	}
	return text, nil
}

// seconds is a NumericDate to the millisecond (RFC 7519 section 2).
func seconds(t time.Time) jsonNumber {
	ms := t.UnixMilli()
	if ms%1000 == 0 {
		return jsonNumber(strconv.FormatInt(ms/1000, 10))
	}
	return jsonNumber(strconv.FormatFloat(float64(ms)/1000, 'f', 3, 64))
}

type jsonNumber string

func (n jsonNumber) MarshalJSON() ([]byte, error) { return []byte(n), nil }
