package auth

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// A Policy says what a request needs. Policies are made by [Scope], [Role],
// [Service], [Granted], [All], [Any], and are [Authenticated] and [Public].
type Policy struct {
	// check returns nil, a *lack, or what wraps ErrToken or ErrUnavailable.
	check  func(ctx context.Context, v *Verifier, c *Claims) error
	public bool
	text   string
}

// String says in words what the policy asks for.
func (p Policy) String() string {
	if p.check == nil && !p.public {
		return "nobody"
	}
	return p.text
}

// lack is what a valid token doesn't have.
type lack struct {
	scopes []string // that would do, if any would
	text   string
}

func (l *lack) Error() string { return "the token lacks " + l.text }

// Public lets everybody in, with or without a token. A token that is presented
// must be valid all the same.
var Public = Policy{public: true, text: "nothing"}

// Authenticated asks for a valid token and nothing more.
var Authenticated = Policy{
	text:  "a valid token",
	check: func(context.Context, *Verifier, *Claims) error { return nil },
}

// Scope asks for a token whose scopes cover all of these; see [Claims.Allows].
// For a scope that is strict, see [VerifierOptions.Strict], it also asks for
// the certainty that the token wasn't revoked.
func Scope(scopes ...string) Policy {
	text := "scope " + strings.Join(scopes, " ")
	return Policy{text: text, check: func(_ context.Context, v *Verifier, c *Claims) error {
		for _, s := range scopes {
			if !c.Allows(s) {
				return &lack{scopes: scopes, text: text}
			}
		}
		if slices.ContainsFunc(scopes, v.strict) {
			return v.Fresh(c)
		}
		return nil
	}}
}

// Role asks for one of these roles; see [Claims.HasRole].
func Role(roles ...string) Policy {
	text := "role " + strings.Join(roles, " or ")
	return Policy{text: text, check: func(_ context.Context, _ *Verifier, c *Claims) error {
		if !slices.ContainsFunc(roles, c.HasRole) {
			return &lack{text: text}
		}
		return nil
	}}
}

// Service asks that one of these services acts.
func Service(names ...string) Policy {
	text := "service " + strings.Join(names, " or ")
	return Policy{text: text, check: func(_ context.Context, _ *Verifier, c *Claims) error {
		for _, name := range names {
			if c.Service() == name && name != "" {
				return nil
			}
		}
		return &lack{text: text}
	}}
}

// Granted asks that the service behind the token may do something by the
// grants as they are now; see [Grants]. A grant that was taken away holds from
// the notice on, whatever tokens say.
func Granted(action string) Policy {
	text := "the grant " + action
	return Policy{text: text, check: func(ctx context.Context, v *Verifier, c *Claims) error {
		grants, err := v.Grants(ctx)
		if err != nil {
			return err
		}
		if !grants.May(c.Service(), action) {
			return &lack{scopes: []string{action}, text: text}
		}
		return nil
	}}
}

// All asks for everything that the policies ask for.
func All(policies ...Policy) Policy {
	return Policy{text: joined(policies, " and "), check: func(ctx context.Context, v *Verifier, c *Claims) error {
		for _, p := range policies {
			if err := p.judge(ctx, v, c); err != nil {
				return err
			}
		}
		return nil
	}}
}

// Any asks for what one of the policies asks for.
func Any(policies ...Policy) Policy {
	text := joined(policies, " or ")
	return Policy{text: text, check: func(ctx context.Context, v *Verifier, c *Claims) error {
		var worst error = &lack{text: text}
		for _, p := range policies {
			err := p.judge(ctx, v, c)
			if err == nil {
				return nil
			}
			if l := (*lack)(nil); !errors.As(err, &l) {
				worst = err // what another moment or another token may cure
			}
		}
		return worst
	}}
}

func joined(policies []Policy, by string) string {
	texts := make([]string, len(policies))
	for i, p := range policies {
		texts[i] = p.String()
	}
	return strings.Join(texts, by)
}

var errNoToken = errors.New("auth: the request has no token")

// judge applies the policy. The zero policy lets nobody in.
func (p Policy) judge(ctx context.Context, v *Verifier, c *Claims) error {
	switch {
	case p.public:
		return nil
	case c == nil:
		return errNoToken
	case p.check == nil:
		return &lack{text: "what nobody has: the route has no policy"}
	}
	return p.check(ctx, v, c)
}
