package login

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Application is a namespace of accounts with its rules: customers of one,
// riders of another, and staff have nothing in common but this service.
type Application struct {
	// MinLength and MaxLength of a password, in characters. Defaults 12 and
	// 256. There are no rules about kinds of characters: length and Breached
	// are what helps (NIST SP 800-63B section 5.1.1).
	MinLength, MaxLength int

	// Breached reports whether a password is known to attackers. It is called
	// when a password is chosen. If it fails the password is accepted, and
	// that is logged. Default: nothing is known.
	Breached func(ctx context.Context, password string) (bool, error)

	// History is how many former passwords may not be used again. Default 0,
	// at most 24: each one costs an argon2id.
	History int

	// MaxAge is how long a password may be used. After that login answers
	// ErrPasswordExpired until it is changed. Default: for ever.
	MaxAge time.Duration

	// SessionIdle ends a session that isn't used for so long, SessionMax one
	// that began so long ago. Defaults 14 and 90 days.
	SessionIdle, SessionMax time.Duration

	// OneSession ends the sessions of the same account and device when a new
	// one begins.
	OneSession bool

	// TokenLifetime is how long an access token is valid. Default 5 min, at
	// most 1 h.
	TokenLifetime time.Duration

	// Audiences that tokens may be exchanged for, as the services' verifiers
	// call themselves; "*" allows every one. Default none.
	Audiences []string

	// Scopes says which scopes, or patterns of them, a role gives; the role
	// "" is everybody's. Default none.
	Scopes map[string][]string

	// Register lets anybody create an account over HTTP. Default: only
	// administrators do.
	Register bool
}

func (a *Application) setDefaults() {
	a.MinLength = orDefault(a.MinLength, 12)
	a.MaxLength = orDefault(a.MaxLength, 256)
	a.SessionIdle = orDefault(a.SessionIdle, 14*24*time.Hour)
	a.SessionMax = orDefault(a.SessionMax, 90*24*time.Hour)
	a.TokenLifetime = min(orDefault(a.TokenLifetime, 5*time.Minute), time.Hour)
	a.History = min(max(a.History, 0), 24)
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// scopes returns what an account's roles give, each once and sorted.
func (a *Application) scopes(roles []string) []string {
	all := slices.Clone(a.Scopes[""])
	for _, r := range roles {
		if r != "" {
			all = append(all, a.Scopes[r]...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// ErrPassword is wrapped by errors about a password that may not be chosen.
var ErrPassword = errors.New("login: the password can't be used")

// checkPassword says why an account may not have a password.
func (s *Service) checkPassword(ctx context.Context, app *Application, a *account, password string) error {
	n := utf8.RuneCountInString(password)
	switch {
	case !utf8.ValidString(password) || strings.ContainsRune(password, 0):
		return fmt.Errorf("%w: it is not text", ErrPassword)
	case n < app.MinLength:
		return fmt.Errorf("%w: it has %d characters, at least %d are needed", ErrPassword, n, app.MinLength)
	case n > app.MaxLength:
		return fmt.Errorf("%w: it has %d characters, at most %d are allowed", ErrPassword, n, app.MaxLength)
	case strings.EqualFold(password, a.Name):
		return fmt.Errorf("%w: it is the name of the account", ErrPassword)
	}
	if app.Breached != nil {
		known, err := app.Breached(ctx, password)
		if err != nil {
			s.opts.Logger.WarnContext(ctx, "the list of breached passwords can't be asked", "error", err)
		}
		if known {
			return fmt.Errorf("%w: it is on a list of known passwords", ErrPassword)
		}
	}
	if app.History == 0 {
		return nil
	}
	for _, old := range append([]string{a.Hash}, a.Former...) {
		if old == "" {
			continue
		}
		used, _, err := s.hasher.verify(ctx, password, old)
		if err != nil {
			return err
		}
		if used {
			return fmt.Errorf("%w: it was used before", ErrPassword)
		}
	}
	return nil
}
