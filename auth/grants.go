package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Grants say which service may do what at which other: "orders may call
// payments:charge". They are data, served by the issuer, which gives no service
// a scope that it isn't granted; services read them too, so that taking a grant
// away is in force with the notice.
type Grants struct {
	Grants []Grant `json:"grants"`
}

// A Grant is one line.
type Grant struct {
	// Service is who may; "*" is every service.
	Service string `json:"service"`
	// May lists what it may do: scopes, or patterns of them, see
	// [Claims.Allows].
	May []string `json:"may"`
	// Because says why, for those who read it later.
	Because string `json:"because,omitempty"`
}

// Limits on grants.
const (
	maxGrants  = 10_000
	maxPattern = 128
)

// ParseGrants reads grants and says what is wrong with them.
func ParseGrants(data []byte) (Grants, error) {
	var g Grants
	if err := json.Unmarshal(data, &g); err != nil {
		return Grants{}, fmt.Errorf("auth: grants: %w", err)
	}
	return g, g.Validate()
}

// Validate says what is wrong with the grants, or nil.
func (g Grants) Validate() error {
	if len(g.Grants) > maxGrants {
		return fmt.Errorf("auth: %d grants are more than %d", len(g.Grants), maxGrants)
	}
	for i, one := range g.Grants {
		if one.Service == "" {
			return fmt.Errorf("auth: grant %d: service is missing; use \"*\" for every service", i)
		}
		if len(one.May) == 0 {
			return fmt.Errorf("auth: grant %d: may is empty", i)
		}
		for _, pattern := range one.May {
			if err := validScope(pattern); err != nil {
				return fmt.Errorf("auth: grant %d: %w", i, err)
			}
		}
	}
	return nil
}

// validScope checks the form of a scope or of a pattern of scopes (RFC 6749
// section 3.3).
func validScope(s string) error {
	if s == "" || len(s) > maxPattern {
		return fmt.Errorf("a scope has 1 to %d characters", maxPattern)
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return fmt.Errorf("scope %q has a character that scopes can't have", s)
		}
	}
	for part := range strings.SplitSeq(s, ":") {
		if part == "" {
			return fmt.Errorf("scope %q has an empty part", s)
		}
		if part != "*" && strings.Contains(part, "*") {
			return fmt.Errorf("scope %q: \"*\" stands for a whole part", s)
		}
	}
	return nil
}

// May reports whether a service may do something.
func (g Grants) May(service, action string) bool {
	_, ok := g.find(service, action)
	return ok
}

func (g Grants) find(service, action string) (Grant, bool) {
	if service == "" {
		return Grant{}, false
	}
	for _, one := range g.Grants {
		if one.Service != service && one.Service != "*" {
			continue
		}
		for _, pattern := range one.May {
			if Covers(pattern, action) {
				return one, true
			}
		}
	}
	return Grant{}, false
}

// Explain says in words whether a service may do something, and why.
func (g Grants) Explain(service, action string) string {
	var b strings.Builder
	one, ok := g.find(service, action)
	if ok {
		fmt.Fprintf(&b, "%s may %s: a grant to %q says %s", service, action, one.Service, strings.Join(one.May, ", "))
		if one.Because != "" {
			fmt.Fprintf(&b, ", because %s", one.Because)
		}
		b.WriteString(".\n")
		return b.String()
	}
	fmt.Fprintf(&b, "%s may not %s: no grant covers it.\n", service, action)
	for _, other := range g.Grants {
		if other.Service == service || other.Service == "*" {
			fmt.Fprintf(&b, "  %s may %s\n", other.Service, strings.Join(other.May, ", "))
		}
	}
	for _, other := range g.Grants {
		for _, pattern := range other.May {
			if other.Service != service && other.Service != "*" && Covers(pattern, action) {
				fmt.Fprintf(&b, "  %s may %s\n", other.Service, pattern)
			}
		}
	}
	return b.String()
}

var errNoGrants = errors.New("auth: the issuer's metadata has no swale_grants_uri")

// Grants returns the grants as they are now: read through the coherent cache,
// so that it asks the issuer only after a change.
func (v *Verifier) Grants(ctx context.Context) (Grants, error) {
	m, err := v.metadata.get(ctx, v, v.metadataURL, false)
	if err != nil {
		return Grants{}, err
	}
	if m.GrantsURI == "" {
		return Grants{}, fmt.Errorf("%w: %w", ErrUnavailable, errNoGrants)
	}
	return v.grants.get(ctx, v, m.GrantsURI, false)
}
