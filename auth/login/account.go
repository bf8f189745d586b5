package login

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/goswale/swale/auth"
	"github.com/goswale/swale/auth/driver"
	"github.com/goswale/swale/resn"
)

// Account is what may be known of an account.
type Account struct {
	Application string
	Subject     string // the id that tokens carry
	Name        string // what its owner logs in with
	Roles       []string
	Disabled    bool
	Expires     time.Time // zero for never
	Created     time.Time
	Version     int64
}

func (a *account) public() Account {
	return Account{
		Application: a.App, Subject: a.Subject, Name: a.Name, Roles: slices.Clone(a.Roles),
		Disabled: a.Disabled, Expires: a.Expires, Created: a.Created, Version: a.version,
	}
}

// ErrInvalid is wrapped by errors about what was asked for.
var ErrInvalid = errors.New("login: not valid")

// normalName is what a name is compared by.
func normalName(name string) (string, error) {
	name = strings.ToLower(strings.TrimSpace(name))
	if name == "" || len(name) > 254 || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return "", fmt.Errorf("%w: a name has 1 to 254 bytes of text without white space", ErrInvalid)
	}
	return name, nil
}

// CreateAccount creates an account. Without a password its owner has to reset
// it first. The error is ErrExists if the name is taken in the application,
// and wraps ErrPassword if the password may not be chosen.
func (s *Service) CreateAccount(ctx context.Context, application, name, password string, roles ...string) (Account, error) {
	app, err := s.app(application)
	if err != nil {
		return Account{}, err
	}
	if name, err = normalName(name); err != nil {
		return Account{}, err
	}
	if err := validRoles(roles); err != nil {
		return Account{}, err
	}
	now := s.opts.Clock()
	a := &account{App: application, Subject: newID(), Name: name, Roles: roles, Created: now, Chosen: now}
	if password != "" {
		if err := s.checkPassword(ctx, app, a, password); err != nil {
			return Account{}, err
		}
		if a.Hash, err = s.hasher.hash(ctx, password); err != nil {
			return Account{}, err
		}
	}
	if err := s.put(ctx, a.op()); err != nil {
		return Account{}, err
	}
	a.version = 1
	s.audit(ctx, Event{What: "account created", Application: application, Subject: a.Subject, Name: name})
	return a.public(), nil
}

func validRoles(roles []string) error {
	if len(roles) > 64 {
		return fmt.Errorf("%w: %d roles are more than 64", ErrInvalid, len(roles))
	}
	for _, r := range roles {
		if !validName(strings.NewReplacer(":", "-", "_", "-", ".", "-").Replace(r), 64) {
			return fmt.Errorf("%w: role %q: a role has 1 to 64 of a-z, 0-9 and \"-_.:\"", ErrInvalid, r)
		}
	}
	return nil
}

// Account returns an account, or ErrNotFound.
func (s *Service) Account(ctx context.Context, application, subject string) (Account, error) {
	a, err := s.account(ctx, application, subject)
	if err != nil {
		return Account{}, err
	}
	return a.public(), nil
}

func (s *Service) account(ctx context.Context, application, subject string) (*account, error) {
	r, err := s.store.Get(ctx, kindAccount, accountID(application, subject), s.opts.Clock())
	if err != nil {
		return nil, err
	}
	return decodeAccount(r)
}

// byName returns an account, or nil if there is none.
func (s *Service) byName(ctx context.Context, application, name string) (*account, error) {
	found, err := s.store.Find(ctx, kindAccount, nameKey(application, name), "", 1, s.opts.Clock())
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return decodeAccount(found[0])
}

// open reports whether an account may be used.
func (a *account) open(now time.Time) bool {
	return !a.Disabled && (a.Expires.IsZero() || now.Before(a.Expires))
}

// SetRoles changes the roles of an account. Tokens that were issued before are
// refused once the notice arrives; those that are issued next have the new
// roles.
func (s *Service) SetRoles(ctx context.Context, by, application, subject string, roles []string) error {
	if err := validRoles(roles); err != nil {
		return err
	}
	return s.change(ctx, by, "roles changed", application, subject, func(a *account) error {
		a.Roles = roles
		return nil
	})
}

// Disable ends an account's tokens and sessions, and lets nobody log in to it
// until it is enabled.
func (s *Service) Disable(ctx context.Context, by, application, subject string) error {
	err := s.change(ctx, by, "account disabled", application, subject, func(a *account) error {
		a.Disabled = true
		return nil
	})
	if err != nil {
		return err
	}
	_, err = s.endSessions(ctx, application, subject, "")
	return err
}

// Enable takes Disable back. Sessions that were ended stay so.
func (s *Service) Enable(ctx context.Context, by, application, subject string) error {
	return s.change(ctx, by, "account enabled", application, subject, func(a *account) error {
		a.Disabled = false
		return nil
	})
}

// Expire sets when an account ceases to be usable; zero for never.
func (s *Service) Expire(ctx context.Context, by, application, subject string, at time.Time) error {
	return s.change(ctx, by, "account's end set", application, subject, func(a *account) error {
		a.Expires = at
		return nil
	})
}

// change changes an account so that its tokens cease to be true, and announces
// it.
func (s *Service) change(ctx context.Context, by, what, application, subject string, f func(*account) error) error {
	err := retry(ctx, func() error {
		a, err := s.account(ctx, application, subject)
		if err != nil {
			return err
		}
		if err := s.settle(ctx, a); err != nil {
			return err
		}
		if err := f(a); err != nil {
			return err
		}
		a.Changed = s.opts.Clock()
		return s.write(ctx, []driver.Op{a.op()}, resn.Update, auth.AccountHref(s.opts.Issuer, application, subject))
	})
	e := Event{What: what, Application: application, Subject: subject, By: by}
	if err != nil {
		e.Outcome, e.Reason = "failed", err.Error()
	}
	s.audit(ctx, e)
	return err
}

// apart is how long after a change its tokens are dated, see issuedAt, and so
// how far two changes have to be apart for the second to refuse what was issued
// after the first.
const apart = 2 * auth.ClockTolerance

// settle waits until an account that has just changed may change again.
func (s *Service) settle(ctx context.Context, a *account) error {
	wait := a.Changed.Add(apart).Sub(s.opts.Clock())
	if wait <= 0 {
		return nil
	}
	t := time.NewTimer(min(wait, apart))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// issuedAt dates a token that was made of an account as it was read at a time:
// after the account's last change, by more than the clocks of two processes may
// be apart.
func (a *account) issuedAt(read time.Time) time.Time {
	if after := a.Changed.Add(apart + time.Millisecond); after.After(read) {
		return after
	}
	return read
}

// ChangePassword changes a password for who knows the old one, ends all other
// sessions of the account and gives the session that is used a new secret,
// which it returns.
func (s *Service) ChangePassword(ctx context.Context, sessionToken, old, chosen string, from Origin) (string, error) {
	current, a, err := s.session(ctx, sessionToken)
	if err != nil {
		return "", err
	}
	g := guess{account: nameKey(a.App, a.Name), address: from.Address}
	if wait, ok := s.throttle.allow(g); !ok {
		return "", &ThrottledError{wait}
	}
	ok, _, err := s.hasher.verify(ctx, old, a.Hash)
	if err != nil {
		return "", err
	}
	if !ok {
		s.audit(ctx, Event{What: "password change", Outcome: "denied", Application: a.App, Subject: a.Subject, Session: current.ID, Address: from.text()})
		return "", ErrDenied
	}
	s.throttle.forgive(g)
	if err := s.choose(ctx, a.App, a.Subject, chosen); err != nil {
		return "", err
	}
	if _, err := s.endSessions(ctx, a.App, a.Subject, current.ID); err != nil {
		return "", err
	}
	token, err := s.renewSecret(ctx, current.ID)
	if err != nil {
		return "", err
	}
	s.audit(ctx, Event{What: "password changed", Application: a.App, Subject: a.Subject, Session: current.ID, Address: from.text()})
	return token, nil
}

// choose sets a password, if it may be chosen.
func (s *Service) choose(ctx context.Context, application, subject, chosen string) error {
	app, err := s.app(application)
	if err != nil {
		return err
	}
	a, err := s.account(ctx, application, subject)
	if err != nil {
		return err
	}
	if err := s.checkPassword(ctx, app, a, chosen); err != nil {
		return err
	}
	hash, err := s.hasher.hash(ctx, chosen)
	if err != nil {
		return err
	}
	return s.change(ctx, "", "password set", application, subject, func(a *account) error {
		if a.Hash != "" && app.History > 0 {
			a.Former = append([]string{a.Hash}, a.Former...)
			a.Former = a.Former[:min(len(a.Former), app.History-1)]
		}
		a.Hash, a.Chosen, a.Devices = hash, s.opts.Clock(), nil
		return nil
	})
}
