package webauthn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/goswale/swale/auth/driver"
	"github.com/goswale/swale/auth/login"
)

// Challenge implements [login.Passkeys].
func (k *Keys) Challenge(ctx context.Context, application, subject, binding string) (json.RawMessage, error) {
	var options *protocol.CredentialAssertion
	var session *webauthn.SessionData
	why := alone
	if subject == "" {
		var err error
		if options, session, err = k.rp.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired)); err != nil {
			return nil, fmt.Errorf("webauthn: %w", err)
		}
	} else {
		why = second
		who, err := k.person(ctx, application, subject, "")
		if err != nil {
			return nil, err
		}
		if len(who.keys) == 0 {
			return nil, denied("the account has no passkey")
		}
		if options, session, err = k.rp.BeginLogin(who, webauthn.WithUserVerification(k.verify)); err != nil {
			return nil, fmt.Errorf("webauthn: %w", err)
		}
	}
	if err := k.keep(ctx, why, application, subject, binding, session); err != nil {
		return nil, err
	}
	return json.Marshal(options)
}

// SignIn implements [login.Passkeys].
func (k *Keys) SignIn(ctx context.Context, application, binding string, answer []byte) (subject string, err error) {
	given, session, err := k.answer(ctx, alone, application, "", binding, answer)
	if err != nil {
		return "", err
	}
	one, err := k.get(ctx, idOf(given.RawID))
	if errors.Is(err, driver.ErrNotFound) || err == nil && one.App != application {
		return "", denied("nobody has that passkey")
	}
	if err != nil {
		return "", err
	}
	who := &person{handle: handle(one.App, one.Subject), keys: []*passkey{one}}
	_, used, err := k.rp.ValidatePasskeyLogin(func(_, _ []byte) (webauthn.User, error) { return who, nil }, session, given)
	if err != nil {
		return "", denied(reason(err))
	}
	return one.Subject, k.used(ctx, one, used, given)
}

// Required implements [login.SecondFactor]: an account that has a passkey is asked
// for it.
func (k *Keys) Required(ctx context.Context, application, subject string) (bool, error) {
	keys, err := k.of(ctx, application, subject)
	return len(keys) > 0, err
}

// Verify implements [login.SecondFactor]. The code is the binding, a space, and the
// browser's answer.
func (k *Keys) Verify(ctx context.Context, application, subject, code string) (bool, error) {
	err := k.second(ctx, application, subject, code)
	if errors.Is(err, login.ErrDenied) {
		return false, nil
	}
	return err == nil, err
}

func (k *Keys) second(ctx context.Context, application, subject, code string) error {
	binding, answer, _ := strings.Cut(code, " ")
	given, session, err := k.answer(ctx, second, application, subject, binding, []byte(answer))
	if err != nil {
		return err
	}
	who, err := k.person(ctx, application, subject, "")
	if err != nil {
		return err
	}
	// One that was removed since the challenge isn't the account's any more, and
	// one that was added since was not asked for.
	used, err := k.rp.ValidateLogin(who, session, given)
	if err != nil {
		return denied(reason(err))
	}
	for _, one := range who.keys {
		if one.id == idOf(used.ID) {
			return k.used(ctx, one, used, given)
		}
	}
	return denied("nobody has that passkey")
}

// answer reads an answer and takes the challenge that it is to.
func (k *Keys) answer(ctx context.Context, why purpose, application, subject, binding string, answer []byte) (*protocol.ParsedCredentialAssertionData, webauthn.SessionData, error) {
	given, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return nil, webauthn.SessionData{}, denied("the answer can't be read: " + reason(err))
	}
	session, err := k.take(ctx, given.Response.CollectedClientData.Challenge, why, application, subject, binding)
	return given, session, err
}

// used notes that a passkey was used, unless its device has counted backwards.
func (k *Keys) used(ctx context.Context, one *passkey, now *webauthn.Credential, given *protocol.ParsedCredentialAssertionData) error {
	for {
		count := given.Response.AuthenticatorData.Counter
		if stored := one.Credential.Authenticator.SignCount; (count > 0 || stored > 0) && count <= stored {
			if k.opts.OnRegress != nil {
				k.opts.OnRegress(ctx, Regress{one.App, one.Subject, one.public(), stored, count})
			}
			return denied(fmt.Sprintf("the passkey has counted %d after %d: it may have been copied", count, stored))
		}
		one.Credential.Flags = now.Flags
		one.Credential.Authenticator.SignCount = count
		one.Used = k.opts.Clock()
		err := k.put(ctx, one)
		if !errors.Is(err, driver.ErrConflict) {
			return err
		}
		// It was used by somebody else at the same time, or removed.
		if one, err = k.get(ctx, one.id); errors.Is(err, driver.ErrNotFound) {
			return denied("nobody has that passkey")
		} else if err != nil {
			return err
		}
	}
}
