package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// ErrToken is wrapped by every error about a token that can't be accepted as
// it is: another one is needed.
var ErrToken = errors.New("auth: token not accepted")

// ErrUnavailable is wrapped by errors that say nothing about the token: the
// issuer's keys can't be had, or it isn't known whether the token was revoked.
var ErrUnavailable = errors.New("auth: the token can't be judged now")

// MaxToken is the longest token that is looked at, in bytes.
const MaxToken = 8192

// Algorithms that tokens may be signed with.
const (
	EdDSA = "EdDSA" // Ed25519 (RFC 8037)
	ES256 = "ES256" // ECDSA with P-256 (RFC 7518 section 3.4)
)

// tokenTypes are the values of typ that an access token may have (RFC 9068
// section 2.1).
var tokenTypes = []string{"at+jwt", "application/at+jwt"}

// parsing takes tokens apart (RFC 7515 section 7.1) and checks signatures. What
// claims must say is in check.
type parsing struct {
	methods map[string]jwt.SigningMethod
	types   []string

	mu   *sync.RWMutex
	seen map[string]header // of tokens that were good, by their encoding
}

// header is what a token says of its signature. Nothing in it is followed: not
// jku, not x5u, and a jwk in it is nobody's key.
type header struct {
	Algorithm string          `json:"alg"`
	KeyID     string          `json:"kid"`
	Type      string          `json:"typ"`
	Critical  json.RawMessage `json:"crit"`
}

// maxHeaders bounds the headers that are remembered: an issuer has one for each
// of its keys.
const maxHeaders = 64

func newParsing(algorithms, types []string) parsing {
	methods := make(map[string]jwt.SigningMethod)
	for _, a := range algorithms {
		methods[a] = jwt.GetSigningMethod(a)
	}
	return parsing{methods, types, &sync.RWMutex{}, make(map[string]header)}
}

// segments decodes what a token is made of: each text has one encoding.
var segments = base64.RawURLEncoding.Strict()

// read returns the payload of a token with a good signature; until then it
// isn't looked at. find returns the key of an id for an algorithm.
func (p parsing) read(token string, find func(kid, alg string) (any, error)) (*payload, error) {
	if len(token) > MaxToken {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrToken, MaxToken)
	}
	head, rest, _ := strings.Cut(token, ".")
	claims, signature, three := strings.Cut(rest, ".")
	if !three || strings.IndexByte(signature, '.') >= 0 {
		return nil, fmt.Errorf("%w: it doesn't have three parts", ErrToken)
	}
	h, known, err := p.header(head)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	key, err := find(h.KeyID, h.Algorithm)
	if errors.Is(err, ErrUnavailable) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	sum, err := segments.DecodeString(signature)
	if err != nil {
		return nil, fmt.Errorf("%w: signature: %w", ErrToken, err)
	}
	if err := p.methods[h.Algorithm].Verify(token[:len(head)+1+len(claims)], sum, key); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	text, err := segments.DecodeString(claims)
	body := &payload{}
	if err == nil {
		err = json.Unmarshal(text, body)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: claims: %w", ErrToken, err)
	}
	if !known {
		p.remember(head, h)
	}
	return body, nil
}

// header reads the first part of a token, and says whether it is known.
func (p parsing) header(text string) (h header, known bool, err error) {
	p.mu.RLock()
	h, known = p.seen[text]
	p.mu.RUnlock()
	if known {
		return h, true, nil
	}
	raw, err := segments.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(raw, &h)
	}
	switch {
	case err != nil:
		return h, false, fmt.Errorf("header: %w", err)
	case !slices.Contains(p.types, strings.ToLower(h.Type)):
		return h, false, fmt.Errorf("typ is %q, want %q", h.Type, p.types[0])
	case h.Critical != nil:
		return h, false, errors.New("crit names extensions that aren't understood")
	case h.KeyID == "" || len(h.KeyID) > 128:
		return h, false, errors.New("kid is missing or too long")
	case p.methods[h.Algorithm] == nil:
		return h, false, fmt.Errorf("alg %q is not allowed", h.Algorithm)
	}
	return h, false, nil
}

func (p parsing) remember(text string, h header) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.seen) >= maxHeaders {
		clear(p.seen)
	}
	p.seen[strings.Clone(text)] = h
}

// check applies RFC 7519 section 4.1 and RFC 9068 section 4.
func (p *payload) check(issuer, audience string, now time.Time, skew time.Duration) error {
	switch {
	case p.Issuer != issuer:
		return fmt.Errorf("%w: iss is %q, want %q", ErrToken, p.Issuer, issuer)
	case !slices.Contains(p.Audience, audience):
		return fmt.Errorf("%w: aud is %q, want %q", ErrToken, p.Audience, audience)
	case p.Subject == "":
		return fmt.Errorf("%w: sub is missing", ErrToken)
	case p.Expires.IsZero():
		return fmt.Errorf("%w: exp is missing", ErrToken)
	case p.IssuedAt.IsZero():
		return fmt.Errorf("%w: iat is missing", ErrToken)
	case !now.Before(p.Expires.Add(skew)):
		return fmt.Errorf("%w: it expired at %s", ErrToken, p.Expires.UTC().Format(time.RFC3339))
	case p.IssuedAt.After(now.Add(skew)):
		return fmt.Errorf("%w: it was issued in the future, at %s", ErrToken, p.IssuedAt.UTC().Format(time.RFC3339))
	case p.NotBefore.After(now.Add(skew)):
		return fmt.Errorf("%w: it isn't valid before %s", ErrToken, p.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// ParseAccessToken returns what an access token of an issuer says, whatever
// its audience: for the issuer itself, which is asked about tokens. It knows
// nothing of revocation. Others use a [Verifier].
func ParseAccessToken(token, issuer string, keys []JWK, now time.Time) (*Claims, error) {
	algorithms := []string{EdDSA, ES256}
	set := make(keySet, len(keys))
	for _, k := range keys {
		public, algorithm, err := k.Public()
		if err != nil {
			return nil, err
		}
		set[k.ID] = verifyingKey{public, algorithm}
	}
	body, err := newParsing(algorithms, tokenTypes).read(token, func(kid, alg string) (any, error) {
		key, known, err := set.find(kid, alg, algorithms)
		if !known {
			return nil, fmt.Errorf("there is no key %q", kid)
		}
		return key, err
	})
	if err != nil {
		return nil, err
	}
	audience := ""
	if len(body.Audience) > 0 {
		audience = body.Audience[0]
	}
	// An issuer dates tokens a little ahead after a change.
	if err := body.check(issuer, audience, now, 4*ClockTolerance); err != nil {
		return nil, err
	}
	return body.claims(), nil
}
