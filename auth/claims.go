package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Claims are what a verified access token says (RFC 7519, RFC 9068). They are
// shared by every request that presents the token and must not be changed.
type Claims struct {
	Issuer   string   // iss
	Subject  string   // sub: the account, or the service itself
	Audience []string // aud
	ID       string   // jti

	Expires   time.Time // exp
	IssuedAt  time.Time // iat
	NotBefore time.Time // nbf; zero if absent

	Application string   // app: the namespace that the account is in
	Session     string   // sid: the session that it was exchanged for; empty for services
	Client      string   // client_id: the service that asked for it, or acts with it
	Scopes      []string // scope
	Roles       []string // roles

	// Actor is the subject of act (RFC 8693 section 4.1): the service that
	// acts on behalf of Subject. Empty if Subject acts by itself.
	Actor string
}

// Service returns the service identity behind the token: the actor, or the
// client that the token was issued to.
func (c *Claims) Service() string {
	if c.Actor != "" {
		return c.Actor
	}
	return c.Client
}

// Allows reports whether the token's scopes cover a scope. A scope has parts
// divided by colons; in a token "*" stands for one part, or as the last part
// for one or more: "orders:*" covers "orders:read" and "orders:lines:write",
// and not "orders".
func (c *Claims) Allows(scope string) bool {
	return slices.ContainsFunc(c.Scopes, func(have string) bool { return Covers(have, scope) })
}

// HasRole reports whether the token's roles cover a role; see [Claims.Allows].
func (c *Claims) HasRole(role string) bool {
	return slices.ContainsFunc(c.Roles, func(have string) bool { return Covers(have, role) })
}

// Covers reports whether a pattern covers a scope; see [Claims.Allows]. A scope
// that has a "*" itself is covered only by the same text, so that nobody gets
// more than was granted by asking for a pattern.
func Covers(pattern, scope string) bool {
	if pattern == scope {
		return scope != ""
	}
	if strings.Contains(scope, "*") || !strings.Contains(pattern, "*") {
		return false
	}
	for {
		p, restP, moreP := strings.Cut(pattern, ":")
		s, restS, moreS := strings.Cut(scope, ":")
		switch {
		case s == "" || p != "*" && p != s:
			return false
		case !moreP:
			return !moreS || p == "*" && !strings.HasPrefix(restS, ":") && restS != ""
		case !moreS:
			return false
		}
		pattern, scope = restP, restS
	}
}

type claimsKey struct{}

// WithClaims returns a context that carries claims, as [Verifier.Middleware]
// does. It is for tests and for transports other than HTTP.
func WithClaims(ctx context.Context, c *Claims) context.Context {
	return context.WithValue(ctx, claimsKey{}, c)
}

// FromContext returns the claims of the request's token. It reports false for
// a request without one.
func FromContext(ctx context.Context) (*Claims, bool) {
	c, ok := ctx.Value(claimsKey{}).(*Claims)
	return c, ok && c != nil
}

// Partition tells identities apart by the verified claims of the request that
// is being served: it is for the Partition option of a cache whose requests
// carry the token of whoever is served. A token that was renewed then finds
// what its predecessor has stored.
func Partition(ctx context.Context) string {
	c, ok := FromContext(ctx)
	if !ok {
		return ""
	}
	scopes := slices.Sorted(slices.Values(c.Scopes))
	roles := slices.Sorted(slices.Values(c.Roles))
	return strings.Join([]string{c.Issuer, c.Application, c.Subject, c.Actor, strings.Join(scopes, " "), strings.Join(roles, " ")}, "\x1f")
}

// payload is the body of a token.
type payload struct {
	Issuer      string      `json:"iss"`
	Subject     string      `json:"sub"`
	Audience    stringOrAll `json:"aud"`
	Expires     numericDate `json:"exp"`
	IssuedAt    numericDate `json:"iat"`
	NotBefore   numericDate `json:"nbf,omitzero"`
	ID          string      `json:"jti"`
	Application string      `json:"app,omitempty"`
	Session     string      `json:"sid,omitempty"`
	Client      string      `json:"client_id,omitempty"`
	Scope       string      `json:"scope,omitempty"`
	Roles       []string    `json:"roles,omitempty"`
	Actor       *struct {
		Subject string `json:"sub"`
	} `json:"act,omitempty"`
}

func (p *payload) claims() *Claims {
	c := &Claims{
		Issuer: p.Issuer, Subject: p.Subject, Audience: p.Audience, ID: p.ID,
		Expires: p.Expires.Time, IssuedAt: p.IssuedAt.Time, NotBefore: p.NotBefore.Time,
		Application: p.Application, Session: p.Session, Client: p.Client,
		Scopes: strings.Fields(p.Scope), Roles: p.Roles,
	}
	if p.Actor != nil {
		c.Actor = p.Actor.Subject
	}
	return c
}

// stringOrAll is one string or an array of them (RFC 7519 section 4.1.3).
type stringOrAll []string

func (s *stringOrAll) UnmarshalJSON(data []byte) error {
	if len(data) > 1 && data[0] == '"' {
		if bytes.IndexByte(data, '\\') < 0 {
			*s = []string{string(data[1 : len(data)-1])}
			return nil
		}
		var one string
		if err := json.Unmarshal(data, &one); err != nil {
			return err
		}
		*s = []string{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(s))
}

// numericDate is a time in seconds (RFC 7519 section 2).
type numericDate struct{ time.Time }

var errDate = errors.New("not a NumericDate")

func (d *numericDate) UnmarshalJSON(data []byte) error {
	// What is passed is JSON, so what begins like a number is one.
	if len(data) == 0 || data[0] != '-' && (data[0] < '0' || data[0] > '9') {
		return errDate
	}
	seconds, err := strconv.ParseFloat(string(data), 64)
	if err != nil {
		return errDate
	}
	// Beyond that a float64 isn't exact, and time.Time isn't far.
	if math.IsNaN(seconds) || seconds < 0 || seconds > 1<<40 {
		return errDate
	}
	whole, part := math.Modf(seconds)
	d.Time = time.Unix(int64(whole), int64(part*1e9))
	return nil
}
