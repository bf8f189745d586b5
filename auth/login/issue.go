package login

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/goswale/swale/auth"
)

// Token is an access token that was issued.
type Token struct {
	Access  string
	Expires time.Time
	Scopes  []string
}

// ErrScope and ErrAudience say that a token can't be had for what was asked
// for.
var (
	ErrScope    = errors.New("login: the scope is not granted")
	ErrAudience = errors.New("login: the audience is not allowed")
)

// Exchange issues an access token for a session (RFC 8693), for one audience.
// Without scopes it has all that the account's roles give; what is asked for
// beyond that is ErrScope.
func (s *Service) Exchange(ctx context.Context, sessionToken, audience string, scopes ...string) (Token, error) {
	read := s.opts.Clock() // before the account: see account.issuedAt
	one, a, err := s.session(ctx, sessionToken)
	if err != nil {
		s.audit(ctx, Event{What: "token exchange", Outcome: "denied", Reason: "no such session"})
		return Token{}, err
	}
	app, err := s.app(a.App)
	if err != nil {
		return Token{}, ErrDenied
	}
	if err := app.allows(audience); err != nil {
		return Token{}, err
	}
	granted, err := narrow(app.scopes(a.Roles), scopes)
	if err != nil {
		return Token{}, err
	}
	ends := read.Add(app.TokenLifetime)
	if one.Ends.Before(ends) {
		ends = one.Ends
	}
	return s.issue(ctx, a.issuedAt(read), ends, audience, granted, jwt.MapClaims{
		"sub": a.Subject, "app": a.App, "sid": one.ID, "roles": a.Roles,
	})
}

// Delegate issues a token with which a service acts on behalf of who it is
// being called by (RFC 8693 section 1.1): narrower than the token it was
// called with, never wider, and not for longer.
func (s *Service) Delegate(ctx context.Context, client, accessToken, audience string, scopes ...string) (Token, error) {
	read := s.opts.Clock()
	c, err := s.access(ctx, accessToken)
	if err != nil {
		s.audit(ctx, Event{What: "token exchange", Outcome: "denied", Client: client, Reason: "the subject token is not valid"})
		return Token{}, err
	}
	have := c.Scopes
	if len(scopes) == 0 {
		scopes = have
	}
	granted, err := narrow(have, scopes)
	if err != nil {
		return Token{}, err
	}
	grants, _, err := s.grants(ctx)
	if err != nil {
		return Token{}, err
	}
	for _, scope := range granted {
		if !grants.May(client, scope) {
			return Token{}, fmt.Errorf("%w: %s may not %s", ErrScope, client, scope)
		}
	}
	claims := jwt.MapClaims{"sub": c.Subject, "client_id": client, "act": map[string]string{"sub": client}}
	dated := read
	if c.Session != "" {
		app, err := s.app(c.Application)
		if err != nil {
			return Token{}, ErrDenied
		}
		if err := app.allows(audience); err != nil {
			return Token{}, err
		}
		a, err := s.account(ctx, c.Application, c.Subject)
		if err != nil || !a.open(read) {
			return Token{}, ErrDenied
		}
		claims["app"], claims["sid"], claims["roles"] = a.App, c.Session, a.Roles
		dated = a.issuedAt(read)
	}
	return s.issue(ctx, dated, c.Expires, audience, granted, claims)
}

// ServiceToken issues a token for a service itself (client credentials), with
// scopes that it is granted. Without scopes it has all of them.
func (s *Service) ServiceToken(ctx context.Context, client, audience string, scopes ...string) (Token, error) {
	if audience == "" {
		return Token{}, fmt.Errorf("%w: name one", ErrAudience)
	}
	grants, _, err := s.grants(ctx)
	if err != nil {
		return Token{}, err
	}
	var have []string
	for _, g := range grants.Grants {
		if g.Service == client || g.Service == "*" {
			have = append(have, g.May...)
		}
	}
	slices.Sort(have)
	granted, err := narrow(slices.Compact(have), scopes)
	if err != nil {
		s.audit(ctx, Event{What: "service token", Outcome: "denied", Client: client, Reason: err.Error()})
		return Token{}, err
	}
	now := s.opts.Clock()
	return s.issue(ctx, now, now.Add(5*time.Minute), audience, granted, jwt.MapClaims{"sub": client, "client_id": client})
}

// allows says whether tokens of an application are issued for an audience.
func (a *Application) allows(audience string) error {
	if audience == "" {
		return fmt.Errorf("%w: name one", ErrAudience)
	}
	if slices.Contains(a.Audiences, audience) || slices.Contains(a.Audiences, "*") {
		return nil
	}
	return fmt.Errorf("%w: %q", ErrAudience, audience)
}

// narrow returns the wanted scopes if those that somebody has cover them, and
// all of them if none are wanted.
func narrow(have, want []string) ([]string, error) {
	if len(want) == 0 {
		return have, nil
	}
	for _, w := range want {
		if !slices.ContainsFunc(have, func(h string) bool { return auth.Covers(h, w) }) {
			return nil, fmt.Errorf("%w: %q", ErrScope, w)
		}
	}
	return want, nil
}

func (s *Service) issue(ctx context.Context, dated, ends time.Time, audience string, scopes []string, claims jwt.MapClaims) (Token, error) {
	key, err := s.keys.signing(ctx)
	if err != nil {
		return Token{}, err
	}
	if !dated.Before(ends) {
		return Token{}, ErrDenied // what it is made of ends now
	}
	claims["iss"], claims["aud"], claims["jti"] = s.opts.Issuer, audience, newID()
	claims["iat"], claims["exp"] = seconds(dated), seconds(ends)
	if len(scopes) > 0 {
		claims["scope"] = strings.Join(scopes, " ")
	}
	if roles, ok := claims["roles"].([]string); ok && len(roles) == 0 {
		delete(claims, "roles")
	}
	text, err := key.sign("at+jwt", claims)
	if err != nil {
		return Token{}, err
	}
	return Token{Access: text, Expires: ends, Scopes: scopes}, nil
}

// access returns what one of our own access tokens says, if what it was made of
// still is.
func (s *Service) access(ctx context.Context, token string) (*auth.Claims, error) {
	keys, err := s.keys.current(ctx)
	if err != nil {
		return nil, err
	}
	jwks := make([]auth.JWK, len(keys))
	for i := range keys {
		jwks[i] = keys[i].Public
	}
	now := s.opts.Clock()
	c, err := auth.ParseAccessToken(token, s.opts.Issuer, jwks, now)
	if err != nil {
		return nil, ErrDenied
	}
	if c.Session == "" {
		return c, nil
	}
	if _, err := s.store.Get(ctx, kindSession, c.Session, now); err != nil {
		if errors.Is(err, ErrNotFound) {
			return nil, ErrDenied
		}
		return nil, err
	}
	a, err := s.account(ctx, c.Application, c.Subject)
	if errors.Is(err, ErrNotFound) || err == nil && (!a.open(now) || !a.Changed.IsZero() && !c.IssuedAt.After(a.Changed.Add(auth.ClockTolerance))) {
		return nil, ErrDenied
	}
	return c, err
}
