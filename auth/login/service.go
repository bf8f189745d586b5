package login

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/goswale/swale/auth/driver"
	"github.com/goswale/swale/resn"
)

// Options configures a [Service].
type Options struct {
	// Issuer is the service's identifier: its public URL, absolute, without a
	// slash at the end. Required.
	Issuer string

	// Applications are the namespaces of accounts, by name: 1 to 32 of a-z,
	// 0-9 and "-". Required: at least one.
	Applications map[string]Application

	// KeyEncryption are 32-byte secrets under which signing keys are stored
	// (AES-256-GCM). The first encrypts, all decrypt, so that it can be
	// changed. Required; keep it where the database's backups are not.
	KeyEncryption [][]byte

	// Publisher announces changes on the topic of Topic, for stores that
	// don't announce in their own transactions. Without either, verifiers hear
	// of no revocation.
	Publisher *resn.Publisher

	// Topic is the one that changes are announced on. Default "sessions".
	Topic string

	// Algorithm that tokens are signed with, EdDSA or ES256. Default EdDSA.
	Algorithm string

	// RotateEvery is how long a key signs. Default 30 days. Its successor is
	// published RotateLead before it signs, and it stays published for as
	// long as a token lives. Default lead 1 h.
	RotateEvery, RotateLead time.Duration

	// Hashing are the parameters of argon2id.
	Hashing Hashing

	// Deliver takes a one-time token to the owner of an account, by mail or
	// however the application reaches people. Without it passwords can't be
	// reset.
	Deliver func(ctx context.Context, m Message) error

	// Factor, if set, asks for a second factor at login.
	Factor SecondFactor

	// Passkeys, if set, lets people sign in with a passkey and nothing else.
	// If Factor is one too, those who have a passkey are asked for it when they
	// sign in by password; if only Factor is one, it never replaces the
	// password.
	Passkeys Passkeys

	// Audit hears of every security event. It must not block for long.
	// Default: events go to Logger.
	Audit func(ctx context.Context, e Event)

	// Logger. Default: nothing is logged.
	Logger *slog.Logger

	// Clock replaces time.Now. Default time.Now.
	Clock func() time.Time
}

// Message is what is delivered to the owner of an account.
type Message struct {
	Application, Subject, Name string
	// Kind is what the token is for: "reset".
	Kind string
	// Token works once, until Expires.
	Token   string
	Expires time.Time
}

// SecondFactor is a second proof of who is logging in, such as a code from a
// device.
type SecondFactor interface {
	// Required reports whether an account has to give one.
	Required(ctx context.Context, application, subject string) (bool, error)
	// Verify checks what was given. A code is accepted once.
	Verify(ctx context.Context, application, subject, code string) (bool, error)
}

// Service issues sessions and tokens. Make one with [New], keep its keys fresh
// with [Service.Run], and serve [Service.Handler].
type Service struct {
	opts     Options
	store    driver.Store
	apps     map[string]*Application
	hasher   *hasher
	throttle *throttle
	keys     keyring
}

// New returns a Service over a store.
func New(store driver.Store, opts *Options) (*Service, error) {
	if store == nil {
		return nil, errors.New("login: the store is nil; memauth.New makes one")
	}
	if opts == nil {
		return nil, errors.New("login: options are missing: name at least Issuer, Applications and KeyEncryption")
	}
	s := &Service{opts: *opts, store: store, apps: make(map[string]*Application)}
	if err := s.setDefaults(); err != nil {
		return nil, err
	}
	for name, app := range opts.Applications {
		if !validName(name, 32) {
			return nil, fmt.Errorf("login: application %q: a name has 1 to 32 of a-z, 0-9 and \"-\"", name)
		}
		app.setDefaults()
		s.apps[name] = &app
	}
	s.hasher = newHasher(s.opts.Hashing)
	s.throttle = newThrottle(s.opts.Clock)
	var err error
	s.keys, err = newKeyring(s)
	return s, err
}

func (s *Service) setDefaults() error {
	o := &s.opts
	u, err := url.Parse(o.Issuer)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.HasSuffix(o.Issuer, "/") || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("login: issuer %q: an absolute http or https URL is needed, without query and without a slash at the end", o.Issuer)
	}
	if len(o.Applications) == 0 {
		return errors.New("login: no applications: name at least one in Options.Applications")
	}
	if o.Topic == "" {
		o.Topic = "sessions"
	}
	o.RotateEvery = orDefault(o.RotateEvery, 30*24*time.Hour)
	o.RotateLead = orDefault(o.RotateLead, time.Hour)
	if o.RotateLead >= o.RotateEvery {
		return fmt.Errorf("login: a key that signs for %s can't be published %s ahead", o.RotateEvery, o.RotateLead)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return nil
}

func validName(s string, limit int) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= limit
}

// Errors that callers can do something about.
var (
	// ErrDenied says that a login, or the proof of who is asking, wasn't
	// accepted. It is the same whatever was wrong, so that nobody learns which
	// accounts there are.
	ErrDenied = errors.New("login: denied")
	// ErrThrottled is wrapped by *ThrottledError.
	ErrThrottled = errors.New("login: too many tries")
	// ErrPasswordExpired says that the password was right and has to be
	// changed.
	ErrPasswordExpired = errors.New("login: the password has expired")
	// ErrFactor says that the password was right and a second factor is
	// needed.
	ErrFactor = errors.New("login: a second factor is needed")
	// ErrNotFound says that there is no such account, session or client.
	ErrNotFound = driver.ErrNotFound
	// ErrExists says that the name is taken.
	ErrExists = driver.ErrExists
)

// ThrottledError says when to try again.
type ThrottledError struct{ Wait time.Duration }

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("%v: try again in %s", ErrThrottled, e.Wait.Round(time.Second))
}

// Unwrap returns ErrThrottled.
func (e *ThrottledError) Unwrap() error { return ErrThrottled }

func (s *Service) app(name string) (*Application, error) {
	app, ok := s.apps[name]
	if !ok {
		return nil, fmt.Errorf("%w: application %q", ErrNotFound, name)
	}
	return app, nil
}

// write stores ops, and announces that what is at href has changed.
func (s *Service) write(ctx context.Context, ops []driver.Op, kind, href string) error {
	now := s.opts.Clock()
	if s.store.Announces() {
		return s.store.Write(ctx, ops, []driver.Announcement{{Href: href, Type: kind, Time: now}}, now)
	}
	if s.opts.Publisher == nil {
		return s.store.Write(ctx, ops, nil, now)
	}
	err := s.opts.Publisher.Change(ctx, href, func(ctx context.Context) (string, string, error) {
		return kind, "", s.store.Write(ctx, ops, nil, now)
	})
	if errors.Is(err, resn.ErrNotAnnounced) {
		// The change stands. The publisher has begun another epoch, at which
		// verifiers take it that something was missed.
		s.opts.Logger.ErrorContext(ctx, "a change was not announced", "href", href, "error", err)
		return nil
	}
	return err
}

// put stores ops that nobody needs to hear of.
func (s *Service) put(ctx context.Context, ops ...driver.Op) error {
	return s.store.Write(ctx, ops, nil, s.opts.Clock())
}

// tries is how often a change is tried again when somebody else was faster.
const tries = 8

// retry runs f until it doesn't end in a conflict.
func retry(ctx context.Context, f func() error) error {
	var err error
	for range tries {
		if err = f(); !errors.Is(err, driver.ErrConflict) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// Run keeps the keys in rotation and deletes what has expired, until ctx ends.
// Every process of the service runs it.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		if err := s.keys.turn(ctx); err != nil && ctx.Err() == nil {
			s.opts.Logger.ErrorContext(ctx, "signing keys can't be kept in rotation", "error", err)
		}
		if _, err := s.store.Sweep(ctx, 1000, s.opts.Clock()); err != nil && ctx.Err() == nil {
			s.opts.Logger.WarnContext(ctx, "expired records can't be deleted", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
