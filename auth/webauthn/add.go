package webauthn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/goswale/swale/auth/driver"
	"github.com/goswale/swale/auth/login"
)

// errTooMany says that an account has as many passkeys as it may.
var errTooMany = fmt.Errorf("%w: webauthn: the account has as many passkeys as it may", login.ErrDenied)

// Offer implements [login.Passkeys].
func (k *Keys) Offer(ctx context.Context, application, subject, name, binding string) (json.RawMessage, error) {
	who, err := k.person(ctx, application, subject, name)
	if err != nil {
		return nil, err
	}
	if len(who.keys) >= k.opts.MaxPasskeys {
		return nil, errTooMany
	}
	options, session, err := k.rp.BeginRegistration(who,
		webauthn.WithExclusions(webauthn.Credentials(who.WebAuthnCredentials()).CredentialDescriptors()),
		webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{
			// A passkey that the device finds by itself can be the only factor.
			ResidentKey: protocol.ResidentKeyRequirementPreferred, UserVerification: k.verify,
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("webauthn: %w", err)
	}
	if err := k.keep(ctx, adding, application, subject, binding, session); err != nil {
		return nil, err
	}
	return json.Marshal(options)
}

// Add implements [login.Passkeys]. It returns login.ErrExists for a passkey that
// is somebody's already.
func (k *Keys) Add(ctx context.Context, application, subject, binding, label string, answer []byte) error {
	given, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return denied("the answer can't be read: " + reason(err))
	}
	session, err := k.take(ctx, given.Response.CollectedClientData.Challenge, adding, application, subject, binding)
	if err != nil {
		return err
	}
	who, err := k.person(ctx, application, subject, "")
	if err != nil {
		return err
	}
	if len(who.keys) >= k.opts.MaxPasskeys {
		return errTooMany
	}
	made, err := k.rp.CreateCredential(who, session, given)
	if err != nil {
		return denied(reason(err))
	}
	// Nothing asks for the attestation again, and it may be long.
	made.Attestation = webauthn.CredentialAttestation{}
	err = k.put(ctx, &passkey{App: application, Subject: subject, Label: label, Added: k.opts.Clock(), Credential: *made, id: idOf(made.ID)})
	if errors.Is(err, driver.ErrConflict) {
		return fmt.Errorf("webauthn: %w: the passkey", login.ErrExists)
	}
	return err
}

// reason returns what the library says of an answer.
func reason(err error) string {
	var e *protocol.Error
	if errors.As(err, &e) && e.DevInfo != "" {
		return e.Details + ": " + e.DevInfo
	}
	return err.Error()
}
