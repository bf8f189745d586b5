package webauthn

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/goswale/swale/auth/driver"
	"github.com/goswale/swale/auth/login"
)

// purpose is what a challenge is for.
type purpose string

const (
	adding purpose = "add"    // a passkey to an account
	alone  purpose = "alone"  // signing in, to whichever account
	second purpose = "second" // the second factor of an account
)

// challenge is one that has not been answered yet.
type challenge struct {
	Purpose purpose              `json:"purpose"`
	App     string               `json:"app"`
	Subject string               `json:"sub,omitempty"`
	Binding string               `json:"binding"` // as a hash
	Session webauthn.SessionData `json:"session"`
}

// keep stores a challenge until it is answered.
func (k *Keys) keep(ctx context.Context, why purpose, application, subject, binding string, session *webauthn.SessionData) error {
	if binding == "" {
		return errors.New("webauthn: a challenge is bound to a browser or a session: the binding is empty")
	}
	data, err := json.Marshal(challenge{why, application, subject, idOf([]byte(binding)), *session})
	if err != nil {
		return fmt.Errorf("webauthn: %w", err)
	}
	now := k.opts.Clock()
	raw, err := base64.RawURLEncoding.DecodeString(session.Challenge)
	if err != nil {
		return fmt.Errorf("webauthn: %w", err)
	}
	r := driver.Record{Kind: kindChallenge, ID: idOf(raw), Expires: now.Add(life), Data: data}
	if err := k.store.Write(ctx, []driver.Op{{Record: r}}, nil, now); err != nil {
		return fmt.Errorf("webauthn: %w", err)
	}
	return nil
}

// take returns the session of the challenge that an answer says it is to. Whoever
// takes it has used it, whatever becomes of the answer.
func (k *Keys) take(ctx context.Context, given string, why purpose, application, subject, binding string) (webauthn.SessionData, error) {
	var none webauthn.SessionData
	raw, err := base64.RawURLEncoding.DecodeString(given)
	if err != nil {
		return none, denied("the challenge is malformed")
	}
	now := k.opts.Clock()
	r, err := k.store.Get(ctx, kindChallenge, idOf(raw), now)
	if errors.Is(err, driver.ErrNotFound) {
		return none, denied("there is no such challenge, or it was answered before, or too late")
	}
	if err != nil {
		return none, fmt.Errorf("webauthn: %w", err)
	}
	var c challenge
	if err := json.Unmarshal(r.Data, &c); err != nil {
		return none, fmt.Errorf("webauthn: stored challenge: %w", err)
	}
	op := driver.Op{Record: driver.Record{Kind: kindChallenge, ID: r.ID, Version: r.Version}, Delete: true}
	err = k.store.Write(ctx, []driver.Op{op}, nil, now)
	switch {
	case errors.Is(err, driver.ErrConflict):
		return none, denied("the challenge was answered before")
	case err != nil:
		return none, fmt.Errorf("webauthn: %w", err)
	case c.Purpose != why || c.App != application || c.Subject != subject:
		return none, denied("the challenge was for something else")
	case c.Binding != idOf([]byte(binding)):
		return none, denied("the challenge was given to somebody else")
	}
	return c.Session, nil
}

func denied(why string) error { return fmt.Errorf("%w: webauthn: %s", login.ErrDenied, why) }
