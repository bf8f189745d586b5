package webauthn

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/goswale/swale/auth/driver"
	"github.com/goswale/swale/auth/login"
)

// Options configures [New].
type Options struct {
	// Origins are those of the pages that people sign in on, such as
	// "https://login.example": https, or http on localhost. Required.
	Origins []string

	// RelyingParty is the domain that passkeys are for: the host of every origin,
	// or one that they are below. It can't be changed later without losing all
	// passkeys. Default the host of the first origin.
	RelyingParty string

	// Name is what devices show. Default RelyingParty.
	Name string

	// VerifyUser asks that the device verifies its user also where the passkey is
	// the second factor. Where it is the only one it always does. Default: the
	// device may.
	VerifyUser bool

	// MaxPasskeys is how many an account may have. Default 20.
	MaxPasskeys int

	// OnRegress hears that a device has counted backwards, which may mean that it
	// was copied. Its owner should be told, and the passkey removed. Default:
	// nobody is told; the sign-in is denied either way.
	OnRegress func(ctx context.Context, r Regress)

	// Clock replaces time.Now. Default time.Now.
	Clock func() time.Time
}

// Regress says that a device has counted its signatures backwards.
type Regress struct {
	Application, Subject string
	Passkey              login.Passkey
	Stored, Given        uint32
}

// life is how long a challenge works.
const life = 5 * time.Minute

// Keys keeps passkeys in login's store. Make one with [New].
type Keys struct {
	store  driver.Store
	opts   Options
	rp     *webauthn.WebAuthn
	verify protocol.UserVerificationRequirement // where a passkey is the second factor
}

var (
	_ login.Passkeys     = (*Keys)(nil)
	_ login.SecondFactor = (*Keys)(nil)
)

// New returns Keys over a store.
func New(store driver.Store, opts *Options) (*Keys, error) {
	if store == nil {
		return nil, errors.New("webauthn: the store is nil")
	}
	if opts == nil || len(opts.Origins) == 0 {
		return nil, errors.New("webauthn: Options.Origins is missing: name the origins of the pages that people sign in on")
	}
	k := &Keys{store: store, opts: *opts, verify: protocol.VerificationPreferred}
	for i, origin := range opts.Origins {
		host, err := originHost(origin)
		if err != nil {
			return nil, err
		}
		if i == 0 && k.opts.RelyingParty == "" {
			k.opts.RelyingParty = host
		}
		if rp := k.opts.RelyingParty; host != rp && !strings.HasSuffix(host, "."+rp) {
			return nil, fmt.Errorf("webauthn: origin %q is not at %q or below it", origin, rp)
		}
	}
	if k.opts.Name == "" {
		k.opts.Name = k.opts.RelyingParty
	}
	if k.opts.MaxPasskeys <= 0 {
		k.opts.MaxPasskeys = 20
	}
	if k.opts.Clock == nil {
		k.opts.Clock = time.Now
	}
	if k.opts.VerifyUser {
		k.verify = protocol.VerificationRequired
	}
	timeout := webauthn.TimeoutConfig{Timeout: life, TimeoutUVD: life} // enforced by the store
	var err error
	k.rp, err = webauthn.New(&webauthn.Config{
		RPID: k.opts.RelyingParty, RPDisplayName: k.opts.Name, RPOrigins: opts.Origins,
		AttestationPreference: protocol.PreferNoAttestation,
		Timeouts:              webauthn.TimeoutsConfig{Login: timeout, Registration: timeout},
	})
	if err != nil {
		return nil, fmt.Errorf("webauthn: %w", err)
	}
	return k, nil
}

// originHost returns the host of an origin that browsers have WebAuthn on.
func originHost(origin string) (string, error) {
	u, err := url.Parse(origin)
	switch {
	case err != nil:
		return "", fmt.Errorf("webauthn: origin: %w", err)
	case u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return "", fmt.Errorf("webauthn: %q is not an origin, such as https://login.example", origin)
	case u.Scheme != "https" && (u.Scheme != "http" || u.Hostname() != "localhost" && !strings.HasSuffix(u.Hostname(), ".localhost")):
		return "", fmt.Errorf("webauthn: origin %q: https is needed, or http on localhost", origin)
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return "", fmt.Errorf("webauthn: origin %q: a passkey is for a name, not for an address", origin)
	}
	return u.Hostname(), nil
}
