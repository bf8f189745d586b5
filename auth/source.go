package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A Token is an access token to be sent.
type Token struct {
	Access  string
	Expires time.Time
}

// A Source gets tokens for audiences. It may be called concurrently.
type Source interface {
	Token(ctx context.Context, audience string) (Token, error)
}

// Identity is a service that proves who it is by a key of its own (RFC 7523).
type Identity struct {
	ID    string // as it is registered at the issuer
	KeyID string // of the key there; may be empty if it has one
	Key   crypto.Signer
}

// assertion returns a proof for an issuer that works once.
func (i Identity) assertion(issuer string, now time.Time) (string, error) {
	var method jwt.SigningMethod
	switch i.Key.Public().(type) {
	case ed25519.PublicKey:
		method = jwt.SigningMethodEdDSA
	case *ecdsa.PublicKey:
		method = jwt.SigningMethodES256
	default:
		return "", fmt.Errorf("auth: keys of type %T are not supported, use Ed25519 or P-256", i.Key.Public())
	}
	t := jwt.NewWithClaims(method, jwt.MapClaims{
		"iss": i.ID, "sub": i.ID, "aud": issuer, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	})
	if i.KeyID != "" {
		t.Header["kid"] = i.KeyID
	}
	text, err := t.SignedString(i.Key)
	if err != nil {
		return "", fmt.Errorf("auth: %w", err)
	}
	return text, nil
}

// SourceOptions configures sources. The zero value, and nil, are useful.
type SourceOptions struct {
	// Scopes to ask for. Default all that there are.
	Scopes []string
	// HTTP sends requests to the issuer. Default one that gives up after 10 s.
	HTTP *http.Client
	// Clock replaces time.Now. Default time.Now.
	Clock func() time.Time
}

// endpoint is an issuer's token endpoint.
type endpoint struct {
	issuer string
	opts   SourceOptions
}

func newEndpoint(issuer string, opts *SourceOptions) (endpoint, error) {
	e := endpoint{issuer: issuer}
	if _, err := checkIssuer(issuer); err != nil {
		return e, err
	}
	if opts != nil {
		e.opts = *opts
	}
	if e.opts.HTTP == nil {
		e.opts.HTTP = &http.Client{Timeout: 10 * time.Second, CheckRedirect: noRedirect}
	}
	if e.opts.Clock == nil {
		e.opts.Clock = time.Now
	}
	return e, nil
}

// ServiceSource returns a Source of tokens for a service itself.
func ServiceSource(issuer string, identity Identity, opts *SourceOptions) (Source, error) {
	e, err := newEndpoint(issuer, opts)
	if err != nil {
		return nil, err
	}
	if identity.ID == "" || identity.Key == nil {
		return nil, errors.New("auth: an identity has an id and a key")
	}
	return sourceFunc(func(ctx context.Context, audience string) (Token, error) {
		return e.ask(ctx, audience, &identity, url.Values{"grant_type": {"client_credentials"}})
	}), nil
}

// SessionSource returns a Source of tokens for the holder of a session.
func SessionSource(issuer, session string, opts *SourceOptions) (Source, error) {
	e, err := newEndpoint(issuer, opts)
	if err != nil {
		return nil, err
	}
	return sourceFunc(func(ctx context.Context, audience string) (Token, error) {
		return e.ask(ctx, audience, nil, url.Values{
			"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
			"subject_token":      {session},
			"subject_token_type": {"urn:swale:params:oauth:token-type:session"},
		})
	}), nil
}

// Delegated returns a token with which a service acts on behalf of who it is
// being called by: narrower than the token it was called with, for one more
// audience (RFC 8693).
func Delegated(ctx context.Context, issuer, accessToken, audience string, identity Identity, opts *SourceOptions) (Token, error) {
	e, err := newEndpoint(issuer, opts)
	if err != nil {
		return Token{}, err
	}
	return e.ask(ctx, audience, &identity, url.Values{
		"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token":      {accessToken},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
	})
}

type sourceFunc func(ctx context.Context, audience string) (Token, error)

func (f sourceFunc) Token(ctx context.Context, audience string) (Token, error) {
	return f(ctx, audience)
}

// GrantError is what an issuer says when it gives no token (RFC 6749 section
// 5.2).
type GrantError struct {
	Status      int
	Code        string // such as "invalid_grant"
	Description string
}

func (e *GrantError) Error() string {
	text := fmt.Sprintf("auth: the issuer gives no token: %s (status %d)", e.Code, e.Status)
	if e.Description != "" {
		text += ": " + e.Description
	}
	return text
}

// ask sends a form to the token endpoint.
func (e endpoint) ask(ctx context.Context, audience string, identity *Identity, form url.Values) (Token, error) {
	now := e.opts.Clock()
	form.Set("audience", audience)
	if len(e.opts.Scopes) > 0 {
		form.Set("scope", strings.Join(e.opts.Scopes, " "))
	}
	if identity != nil {
		assertion, err := identity.assertion(e.issuer, now)
		if err != nil {
			return Token{}, err
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return Token{}, fmt.Errorf("auth: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := e.opts.HTTP.Do(req)
	if err != nil {
		return Token{}, fmt.Errorf("auth: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	return readToken(resp, now)
}

func readToken(resp *http.Response, now time.Time) (Token, error) {
	var answer struct {
		Access      string  `json:"access_token"`
		Type        string  `json:"token_type"`
		Expires     float64 `json:"expires_in"`
		Error       string  `json:"error"`
		Description string  `json:"error_description"`
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument))
	if err != nil {
		return Token{}, fmt.Errorf("auth: the issuer's answer: %w", err)
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind == "application/json" {
		err = json.Unmarshal(body, &answer)
	}
	switch {
	case resp.StatusCode != http.StatusOK:
		if answer.Error == "" {
			answer.Error = http.StatusText(resp.StatusCode)
		}
		return Token{}, &GrantError{resp.StatusCode, answer.Error, answer.Description}
	case err != nil:
		return Token{}, fmt.Errorf("auth: the issuer's answer: %w", err)
	case answer.Access == "" || !strings.EqualFold(answer.Type, "Bearer"):
		return Token{}, fmt.Errorf("auth: the issuer's answer has no bearer token: Content-Type is %q", kind)
	case answer.Expires <= 0 || answer.Expires > 1e9:
		return Token{}, fmt.Errorf("auth: the issuer's answer has expires_in %g", answer.Expires)
	}
	return Token{answer.Access, now.Add(time.Duration(answer.Expires * float64(time.Second)))}, nil
}
