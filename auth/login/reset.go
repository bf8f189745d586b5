package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/goswale/swale/auth/driver"
)

// resetLifetime is how long a reset token works.
const resetLifetime = 30 * time.Minute

// code is what is stored of a one-time token, found by its hash.
type code struct {
	Kind    string `json:"kind"`
	App     string `json:"app"`
	Subject string `json:"sub"`
}

// ErrNoDelivery says that Options.Deliver is missing.
var ErrNoDelivery = errors.New("login: passwords can't be reset: Options.Deliver is missing")

// StartReset sends the owner of an account a token with which a password can be
// chosen. It returns nil whether there is such an account or not, and does
// what takes long in the background of the caller's choice: Deliver is called
// before it returns, so a Deliver that sends mail should put it in a queue.
func (s *Service) StartReset(ctx context.Context, application, name string, from Origin) error {
	if s.opts.Deliver == nil {
		return ErrNoDelivery
	}
	e := Event{What: "password reset asked for", Outcome: "denied", Application: application, Address: from.text()}
	defer func() { s.audit(ctx, e) }()
	normal, err := normalName(name)
	_, known := s.apps[application]
	if err != nil || !known {
		e.Reason = "malformed name or application"
		return nil
	}
	e.Name = normal
	g := guess{account: nameKey(application, normal) + "\x00reset", address: from.Address}
	if wait, ok := s.throttle.allow(g); !ok {
		e.Reason = "throttled"
		return &ThrottledError{wait}
	}
	a, err := s.byName(ctx, application, normal)
	if err != nil {
		e.Outcome, e.Reason = "failed", err.Error()
		return err
	}
	now := s.opts.Clock()
	if a == nil || !a.open(now) {
		e.Reason = "no such account, or it is disabled"
		return nil
	}
	token, hash := secret("swr")
	expires := now.Add(resetLifetime)
	err = s.put(ctx, op(kindCode, hash, 0, "", nil, expires, code{"reset", a.App, a.Subject}))
	if err == nil {
		err = s.opts.Deliver(ctx, Message{a.App, a.Subject, a.Name, "reset", token, expires})
	}
	if err != nil {
		// Not shown: that something was to be sent would tell of the account.
		e.Outcome, e.Reason = "failed", err.Error()
		s.opts.Logger.ErrorContext(ctx, "a reset token was not delivered", "application", a.App, "subject", a.Subject, "error", err)
		return nil
	}
	e.Outcome, e.Subject = "done", a.Subject
	return nil
}

// FinishReset chooses a password with a token of StartReset, which works once,
// and ends the account's sessions.
func (s *Service) FinishReset(ctx context.Context, token, chosen string, from Origin) error {
	if wait, ok := s.throttle.allow(guess{account: "\x00reset", address: from.Address}); !ok {
		return &ThrottledError{wait}
	}
	now := s.opts.Clock()
	r, err := s.store.Get(ctx, kindCode, hashOf(token), now)
	if errors.Is(err, ErrNotFound) {
		return ErrDenied
	}
	if err != nil {
		return err
	}
	var c code
	if err := json.Unmarshal(r.Data, &c); err != nil || c.Kind != "reset" {
		return ErrDenied
	}
	app, err := s.app(c.App)
	if err != nil {
		return ErrDenied
	}
	a, err := s.account(ctx, c.App, c.Subject)
	if err != nil || !a.open(now) {
		return ErrDenied
	}
	if err := s.checkPassword(ctx, app, a, chosen); err != nil {
		return err // the token may be tried again with a better one
	}
	// Whoever takes the token first has it.
	r.Data = nil
	if err := s.put(ctx, driver.Op{Record: r, Delete: true}); err != nil {
		if errors.Is(err, driver.ErrConflict) {
			return ErrDenied
		}
		return err
	}
	if err := s.choose(ctx, c.App, c.Subject, chosen); err != nil {
		return fmt.Errorf("login: the token is used up, the password is the old one: %w", err)
	}
	if _, err := s.endSessions(ctx, c.App, c.Subject, ""); err != nil {
		return err
	}
	s.audit(ctx, Event{What: "password reset", Application: c.App, Subject: c.Subject, Address: from.text()})
	return nil
}
