// Package totp is a second factor for package login: codes of six digits from
// an app on the user's device (RFC 6238).
//
//	factor, err := totp.New(store, &totp.Options{Issuer: "Swale", Key: key})
//	service, err := login.New(store, &login.Options{Factor: factor, …})
//
// An account gets it in two steps: [Factor.Enrol] gives the URL that the app
// reads as a QR code, and [Factor.Confirm] takes the first code, which shows that
// the app has it. From then on login asks for a code. Recovery codes, each of
// which works once, are for who has lost the device.
//
// Secrets are stored encrypted, recovery codes hashed. A code is accepted once,
// and one step of 30 s early or late. A Factor is safe for concurrent use, by any
// number of processes.
package totp

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/goswale/swale/auth/driver"
	"github.com/goswale/swale/auth/login"
)

const (
	kind     = "totp"
	step     = 30 * time.Second
	recovery = 10 // codes
)

// Options configures a [Factor].
type Options struct {
	// Issuer is what the app shows beside the account's name. Required.
	Issuer string
	// Key are 32 secret bytes under which secrets are stored (AES-256-GCM).
	// Required.
	Key []byte
	// Clock replaces time.Now. Default time.Now.
	Clock func() time.Time
}

// Factor keeps the secrets of accounts in login's store.
type Factor struct {
	store  driver.Store
	issuer string
	sealer cipher.AEAD
	clock  func() time.Time
}

var _ login.SecondFactor = (*Factor)(nil)

// New returns a Factor over a store.
func New(store driver.Store, opts *Options) (*Factor, error) {
	if store == nil {
		return nil, errors.New("totp: the store is nil")
	}
	if opts == nil || opts.Issuer == "" || strings.Contains(opts.Issuer, ":") {
		return nil, errors.New("totp: Options.Issuer is missing, or has a colon")
	}
	if len(opts.Key) != 32 {
		return nil, fmt.Errorf("totp: Options.Key has %d bytes, 32 are needed", len(opts.Key))
	}
	block, err := aes.NewCipher(opts.Key)
	if err != nil {
		return nil, err
	}
	sealer, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	f := &Factor{store: store, issuer: opts.Issuer, sealer: sealer, clock: opts.Clock}
	if f.clock == nil {
		f.clock = time.Now
	}
	return f, nil
}

// enrolment is what is stored of an account.
type enrolment struct {
	Sealed    []byte   `json:"sealed"`
	Confirmed bool     `json:"confirmed"`
	Last      uint64   `json:"last"` // the step whose code was accepted last
	Recovery  []string `json:"recovery,omitempty"`

	version int64
	secret  string
}

// ErrCode says that a code isn't right, or was used before.
var ErrCode = errors.New("totp: the code is not accepted")

func id(application, subject string) string { return application + "/" + subject }

// Enrol begins to give an account the factor, and returns the URL that an app
// reads. It takes effect with Confirm; until then, and if it is never
// confirmed, nothing changes for the account. It replaces an enrolment that was
// begun and not confirmed, and refuses an account that has the factor: see
// Remove.
func (f *Factor) Enrol(ctx context.Context, application, subject, name string) (url string, err error) {
	e, err := f.get(ctx, application, subject)
	if err != nil {
		return "", err
	}
	if e.Confirmed {
		return "", errors.New("totp: the account has it already: remove it first")
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: f.issuer, AccountName: name, Period: uint(step / time.Second), SecretSize: 20})
	if err != nil {
		return "", fmt.Errorf("totp: %w", err)
	}
	next := &enrolment{version: e.version, Sealed: f.sealer.Seal(nil, nil, []byte(key.Secret()), []byte(id(application, subject)))} //nolint:gosec // it makes a random nonce by itself
	return key.URL(), f.put(ctx, application, subject, next)
}

// Confirm takes the first code and puts the factor into force. It returns
// recovery codes, which are shown once and not known here afterwards.
func (f *Factor) Confirm(ctx context.Context, application, subject, code string) (recoveryCodes []string, err error) {
	e, err := f.get(ctx, application, subject)
	if err != nil {
		return nil, err
	}
	if e.version == 0 || e.Confirmed || !f.matches(e, code) {
		return nil, ErrCode
	}
	e.Confirmed, e.Recovery = true, nil
	for range recovery {
		var b [10]byte
		_, _ = rand.Read(b[:]) // never fails
		text := strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
		recoveryCodes = append(recoveryCodes, text[:8]+"-"+text[8:])
		e.Recovery = append(e.Recovery, hash(text))
	}
	if err := f.put(ctx, application, subject, e); err != nil {
		return nil, err
	}
	return recoveryCodes, nil
}

// Remove takes the factor from an account: for its owner, who has just given a
// code, or for an administrator.
func (f *Factor) Remove(ctx context.Context, application, subject string) error {
	e, err := f.get(ctx, application, subject)
	if err != nil || e.version == 0 {
		return err
	}
	op := driver.Op{Record: driver.Record{Kind: kind, ID: id(application, subject), Version: e.version}, Delete: true}
	return f.store.Write(ctx, []driver.Op{op}, nil, f.clock())
}

// Required implements [login.SecondFactor].
func (f *Factor) Required(ctx context.Context, application, subject string) (bool, error) {
	e, err := f.get(ctx, application, subject)
	return err == nil && e.Confirmed, err
}

// Verify implements [login.SecondFactor]. It takes a code of the app or a
// recovery code; either works once.
func (f *Factor) Verify(ctx context.Context, application, subject, code string) (bool, error) {
	e, err := f.get(ctx, application, subject)
	if err != nil || !e.Confirmed {
		return false, err
	}
	if !f.matches(e, code) && !e.spend(code) {
		return false, nil
	}
	// Whoever stores it first has used the code.
	err = f.put(ctx, application, subject, e)
	if errors.Is(err, driver.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// matches reports whether a code is that of now, or of a step beside, and notes
// which. A step that is not after the last one doesn't count any more.
func (f *Factor) matches(e *enrolment, code string) bool {
	code = strings.ReplaceAll(strings.TrimSpace(code), " ", "")
	now := uint64(f.clock().Unix()) / uint64(step/time.Second)
	for _, at := range []uint64{now, now - 1, now + 1} {
		want, err := hotp.GenerateCodeCustom(e.secret, at, hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && at > e.Last && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			e.Last = at
			return true
		}
	}
	return false
}

// spend takes a recovery code out.
func (e *enrolment) spend(code string) bool {
	sum := hash(strings.ToLower(strings.ReplaceAll(strings.TrimSpace(code), "-", "")))
	i := slices.Index(e.Recovery, sum)
	if i < 0 {
		return false
	}
	e.Recovery = slices.Delete(e.Recovery, i, i+1)
	return true
}

// hash needs no work: a recovery code has 80 bits.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func (f *Factor) get(ctx context.Context, application, subject string) (*enrolment, error) {
	r, err := f.store.Get(ctx, kind, id(application, subject), f.clock())
	if errors.Is(err, driver.ErrNotFound) {
		return &enrolment{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("totp: %w", err)
	}
	e := &enrolment{version: r.Version}
	if err := json.Unmarshal(r.Data, e); err != nil {
		return nil, fmt.Errorf("totp: what is stored: %w", err)
	}
	plain, err := f.sealer.Open(nil, nil, e.Sealed, []byte(id(application, subject)))
	if err != nil {
		return nil, errors.New("totp: what is stored doesn't open with Options.Key")
	}
	e.secret = string(plain)
	return e, nil
}

func (f *Factor) put(ctx context.Context, application, subject string, e *enrolment) error {
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("totp: %w", err)
	}
	op := driver.Op{Record: driver.Record{Kind: kind, ID: id(application, subject), Version: e.version, Data: data}}
	if err := f.store.Write(ctx, []driver.Op{op}, nil, f.clock()); err != nil {
		return fmt.Errorf("totp: %w", err)
	}
	return nil
}
