package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Passkeys are keys that people's devices hold for this service (WebAuthn):
// package webauthn. A challenge works once, within minutes, and for whoever shows
// the binding that it was made for again. What isn't accepted is an error that
// wraps ErrDenied.
//
// A Passkeys that is a [SecondFactor] too takes as its code the binding, a space,
// and the browser's answer.
type Passkeys interface {
	// Offer returns what navigator.credentials.create is called with, as JSON.
	Offer(ctx context.Context, application, subject, name, binding string) (json.RawMessage, error)
	// Add keeps the passkey that a browser has made. Label is what its owner
	// calls it.
	Add(ctx context.Context, application, subject, binding, label string, answer []byte) error
	// Challenge returns what navigator.credentials.get is called with, as
	// JSON: for the passkeys of an account as a second factor, or, if subject is
	// empty, for whichever the browser has as the only one.
	Challenge(ctx context.Context, application, subject, binding string) (json.RawMessage, error)
	// SignIn checks the answer to a challenge that was for no account in
	// particular, for which the device has verified its user, and returns the
	// account's subject.
	SignIn(ctx context.Context, application, binding string, answer []byte) (subject string, err error)
	// List returns the passkeys of an account, the oldest first.
	List(ctx context.Context, application, subject string) ([]Passkey, error)
	// Remove forgets a passkey of an account, or returns ErrNotFound.
	Remove(ctx context.Context, application, subject, id string) error
}

// Passkey is what may be known of one.
type Passkey struct {
	ID    string
	Label string
	Added time.Time
	Used  time.Time // zero if it never was
}

// ErrStale says that the session was begun too long ago for what was asked for:
// who is there has to log in again.
var ErrStale = errors.New("login: the session is too old for that, log in again")

// passkeys returns what keeps passkeys, or nil.
func (s *Service) passkeys() Passkeys {
	if s.opts.Passkeys != nil {
		return s.opts.Passkeys
	}
	p, _ := s.opts.Factor.(Passkeys)
	return p
}

var errNoPasskeys = fmt.Errorf("%w: there are no passkeys here", ErrNotFound)

// recently is how old a session may be that adds or removes a passkey: whoever
// finds a browser signed in doesn't get to stay.
const recently = 15 * time.Minute

// PasskeyLogin begins a session for the owner of a passkey, who needs to give
// nothing else: having the device is one factor, and being verified by it another.
func (s *Service) PasskeyLogin(ctx context.Context, application, binding string, answer []byte, from Origin) (*Login, error) {
	e := Event{What: "login", Outcome: "denied", Application: application, Address: from.text()}
	done, err := s.passkeyLogin(ctx, application, binding, answer, from, &e)
	if err != nil {
		if e.Reason == "" {
			e.Reason = err.Error()
		}
		if !errors.Is(err, ErrDenied) {
			e.Outcome = "failed"
		}
		s.audit(ctx, e)
		return nil, err
	}
	e.Outcome, e.Session, e.Reason = "done", done.Session.ID, "by passkey"
	s.audit(ctx, e)
	return done, nil
}

func (s *Service) passkeyLogin(ctx context.Context, application, binding string, answer []byte, from Origin, e *Event) (*Login, error) {
	if s.opts.Passkeys == nil {
		return nil, errNoPasskeys
	}
	app, known := s.apps[application]
	if !known {
		e.Application, e.Reason = "", "no such application"
		return nil, ErrDenied
	}
	subject, err := s.opts.Passkeys.SignIn(ctx, application, binding, answer)
	if err != nil {
		return nil, err
	}
	e.Subject = subject
	a, err := s.account(ctx, application, subject)
	switch {
	case errors.Is(err, ErrNotFound):
		e.Reason = "the account of the passkey is gone"
		return nil, ErrDenied
	case err != nil:
		return nil, err
	case !a.open(s.opts.Clock()):
		e.Reason = "the account is disabled or has expired"
		return nil, ErrDenied
	}
	s.throttle.forgive(guess{address: from.Address, asking: true})
	return s.begin(ctx, app, a, "", false, from)
}

// recent returns a session that was begun a moment ago, and its account.
func (s *Service) recent(ctx context.Context, sessionToken string) (*session, *account, error) {
	if s.passkeys() == nil {
		return nil, nil, errNoPasskeys
	}
	one, a, err := s.session(ctx, sessionToken)
	if err == nil && s.opts.Clock().Sub(one.Begun) > recently {
		err = ErrStale
	}
	return one, a, err
}

// OfferPasskey returns what navigator.credentials.create is called with, as JSON,
// for the owner of a session that was begun within the last 15 minutes.
func (s *Service) OfferPasskey(ctx context.Context, sessionToken string) (json.RawMessage, error) {
	one, a, err := s.recent(ctx, sessionToken)
	if err != nil {
		return nil, err
	}
	return s.passkeys().Offer(ctx, a.App, a.Subject, a.Name, one.ID)
}

// AddPasskey keeps what a browser has made of an offer to the same session.
func (s *Service) AddPasskey(ctx context.Context, sessionToken, label string, answer []byte) error {
	one, a, err := s.recent(ctx, sessionToken)
	if err != nil {
		return err
	}
	e := Event{What: "passkey added", Application: a.App, Subject: a.Subject, Session: one.ID}
	if err = s.passkeys().Add(ctx, a.App, a.Subject, one.ID, clip(label, 100), answer); err != nil {
		e.Outcome, e.Reason = "denied", err.Error()
	}
	s.audit(ctx, e)
	return err
}

// RemovePasskey forgets a passkey of the owner of a session that was begun within
// the last 15 minutes.
func (s *Service) RemovePasskey(ctx context.Context, sessionToken, id string) error {
	one, a, err := s.recent(ctx, sessionToken)
	if err != nil {
		return err
	}
	if err := s.passkeys().Remove(ctx, a.App, a.Subject, id); err != nil {
		return err
	}
	s.audit(ctx, Event{What: "passkey removed", Application: a.App, Subject: a.Subject, Session: one.ID})
	return nil
}
