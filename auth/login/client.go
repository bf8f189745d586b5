package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/goswale/swale/auth"
	"github.com/goswale/swale/auth/driver"
	"github.com/goswale/swale/resn"
)

// Client is a service that asks for tokens. It proves who it is by a key that
// it keeps to itself (RFC 7523): there is no shared secret that could leak
// here.
type Client struct {
	ID   string     `json:"id"`
	Keys []auth.JWK `json:"keys"`
	// Introspects allows it to ask about others' tokens (RFC 7662).
	Introspects bool `json:"introspects,omitempty"`
}

// PutClient registers a service, or replaces its keys.
func (s *Service) PutClient(ctx context.Context, by string, c Client) error {
	if !validName(c.ID, 64) {
		return fmt.Errorf("%w: client %q: an id has 1 to 64 of a-z, 0-9 and \"-\"", ErrInvalid, c.ID)
	}
	if len(c.Keys) == 0 || len(c.Keys) > 8 {
		return fmt.Errorf("%w: client %q has %d keys, 1 to 8 are allowed", ErrInvalid, c.ID, len(c.Keys))
	}
	for _, k := range c.Keys {
		if _, _, err := k.Public(); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	err := retry(ctx, func() error {
		r, err := s.store.Get(ctx, kindClient, c.ID, s.opts.Clock())
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		return s.put(ctx, op(kindClient, c.ID, r.Version, "", nil, time.Time{}, c))
	})
	if err == nil {
		s.audit(ctx, Event{What: "client registered", Client: c.ID, By: by})
	}
	return err
}

// DeleteClient takes a service's registration away: it gets no more tokens.
func (s *Service) DeleteClient(ctx context.Context, by, id string) error {
	err := retry(ctx, func() error {
		r, err := s.store.Get(ctx, kindClient, id, s.opts.Clock())
		if err != nil {
			return err
		}
		r.Data = nil
		// The tokens that it has are those of this subject.
		return s.write(ctx, []driver.Op{{Record: r, Delete: true}}, resn.Update, auth.AccountHref(s.opts.Issuer, "", id))
	})
	if err == nil {
		s.audit(ctx, Event{What: "client deleted", Client: id, By: by})
	}
	return err
}

// assertionType is the one way in which clients prove who they are (RFC 7523
// section 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

const maxAssertionLife = 10 * time.Minute

// authenticate returns the client that has signed an assertion (RFC 7523
// section 3). An assertion works once.
func (s *Service) authenticate(ctx context.Context, assertion string) (*Client, error) {
	client, err := s.assertion(ctx, assertion)
	if err != nil {
		e := Event{What: "client authentication", Outcome: "denied", Reason: err.Error()}
		if !errors.Is(err, ErrDenied) {
			e.Outcome = "failed"
		}
		s.audit(ctx, e)
	}
	return client, err
}

func (s *Service) assertion(ctx context.Context, assertion string) (*Client, error) {
	if len(assertion) > auth.MaxToken {
		return nil, fmt.Errorf("%w: the assertion is too long", ErrDenied)
	}
	now := s.opts.Clock()
	var client Client
	var lookup error
	claims := &jwt.RegisteredClaims{}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{auth.EdDSA, auth.ES256}), jwt.WithExpirationRequired(), jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(func() time.Time { return now }), jwt.WithLeeway(30*time.Second), jwt.WithIssuedAt(),
	)
	_, err := parser.ParseWithClaims(assertion, claims, func(t *jwt.Token) (any, error) {
		if !validName(claims.Issuer, 64) || claims.Subject != claims.Issuer {
			return nil, errors.New("iss and sub are not both the client's id")
		}
		if _, ok := t.Header["crit"]; ok {
			return nil, errors.New("crit names extensions that aren't understood")
		}
		r, err := s.store.Get(ctx, kindClient, claims.Issuer, now)
		if err != nil {
			if !errors.Is(err, ErrNotFound) {
				lookup = err
			}
			return nil, errors.New("there is no such client")
		}
		if err := json.Unmarshal(r.Data, &client); err != nil {
			return nil, err
		}
		kid, _ := t.Header["kid"].(string)
		for _, k := range client.Keys {
			public, algorithm, err := k.Public()
			if err == nil && algorithm == t.Method.Alg() && (k.ID == kid || kid == "" && len(client.Keys) == 1) {
				return public, nil
			}
		}
		return nil, fmt.Errorf("client %q has no such key", client.ID)
	})
	switch {
	case lookup != nil:
		return nil, lookup
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrDenied, err)
	case !s.isAudience(claims.Audience):
		return nil, fmt.Errorf("%w: aud of the assertion is %q", ErrDenied, claims.Audience)
	case claims.ID == "" || len(claims.ID) > 256:
		return nil, fmt.Errorf("%w: jti of the assertion is missing or too long", ErrDenied)
	case claims.ExpiresAt.Sub(now) > maxAssertionLife:
		return nil, fmt.Errorf("%w: the assertion is valid for longer than %s", ErrDenied, maxAssertionLife)
	}
	err = s.put(ctx, op(kindOnce, client.ID+"/"+hashOf(claims.ID), 0, "", nil, claims.ExpiresAt.Add(time.Minute), struct{}{}))
	if errors.Is(err, driver.ErrConflict) {
		return nil, fmt.Errorf("%w: the assertion was used before", ErrDenied)
	}
	return &client, err
}

// isAudience reports whether an assertion is for this issuer: its identifier,
// or its token endpoint (RFC 7523 section 3).
func (s *Service) isAudience(audience []string) bool {
	for _, a := range audience {
		if a == s.opts.Issuer || strings.HasPrefix(a, s.opts.Issuer+"/token") {
			return true
		}
	}
	return false
}

// SetGrants replaces the grants of services. Services that read them hear of
// it.
func (s *Service) SetGrants(ctx context.Context, by string, g auth.Grants) error {
	if err := g.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	err := retry(ctx, func() error {
		_, version, err := s.grants(ctx)
		if err != nil {
			return err
		}
		return s.write(ctx, []driver.Op{op(kindGrants, "grants", version, "", nil, time.Time{}, g)}, resn.Update, s.grantsHref())
	})
	if err == nil {
		s.audit(ctx, Event{What: "grants changed", By: by})
	}
	return err
}

// Grants returns the grants of services.
func (s *Service) Grants(ctx context.Context) (auth.Grants, error) {
	g, _, err := s.grants(ctx)
	return g, err
}

func (s *Service) grants(ctx context.Context) (auth.Grants, int64, error) {
	r, err := s.store.Get(ctx, kindGrants, "grants", s.opts.Clock())
	if errors.Is(err, ErrNotFound) {
		return auth.Grants{Grants: []auth.Grant{}}, 0, nil
	}
	if err != nil {
		return auth.Grants{}, 0, err
	}
	g, err := auth.ParseGrants(r.Data)
	return g, r.Version, err
}

func (s *Service) grantsHref() string { return s.opts.Issuer + "/grants" }
func (s *Service) jwksHref() string   { return s.opts.Issuer + "/jwks.json" }
