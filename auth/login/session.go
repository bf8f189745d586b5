package login

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/goswale/swale/auth"
	"github.com/goswale/swale/auth/driver"
	"github.com/goswale/swale/resn"
)

// Origin is where a request came from.
type Origin struct {
	// Address of the client, after whatever proxies are trusted.
	Address netip.Addr
	// Device is a name for people, such as "Firefox on Linux".
	Device string
	// DeviceID is a secret that the client keeps, and that this service gave
	// it: see Login. Empty for a device that is new.
	DeviceID string
}

func (o Origin) text() string {
	if !o.Address.IsValid() {
		return ""
	}
	return o.Address.String()
}

// Credentials are what somebody logs in with.
type Credentials struct {
	Application, Name, Password string
	// Code is the second factor, where one is needed.
	Code string
}

// Session is what may be known of a session.
type Session struct {
	ID          string
	Application string
	Subject     string
	Device      string
	Address     string // from which it was begun
	Begun, Used time.Time
	Ends        time.Time // unless it is used before
}

func (s *session) public() Session {
	return Session{
		ID: s.ID, Application: s.App, Subject: s.Subject, Device: s.Device, Address: s.Address,
		Begun: s.Begun, Used: s.Used, Ends: s.Ends,
	}
}

// Login is a session that has begun.
type Login struct {
	Session Session
	// Token is the session's secret: 256 bits that nobody else has, this
	// service included.
	Token string
	// DeviceID is what the client shows at its next login, so that somebody
	// else's guesses don't slow it down.
	DeviceID string
}

// maxPassword is the longest password that is looked at, in bytes.
const maxPassword = 4096

// Login begins a session. The error is ErrDenied whatever was wrong with the
// credentials, and takes as long; only who has the right password hears that it
// has expired (ErrPasswordExpired) or that a second factor is needed
// (ErrFactor). It wraps ErrThrottled after too many tries.
func (s *Service) Login(ctx context.Context, c Credentials, from Origin) (*Login, error) {
	e := Event{What: "login", Outcome: "denied", Application: c.Application, Address: from.text()}
	done, err := s.login(ctx, c, from, &e)
	if err != nil {
		if e.Reason == "" {
			e.Outcome, e.Reason = "failed", err.Error()
		}
		s.audit(ctx, e)
		return nil, err
	}
	e.Outcome, e.Session = "done", done.Session.ID
	s.audit(ctx, e)
	return done, nil
}

func (s *Service) login(ctx context.Context, c Credentials, from Origin, e *Event) (*Login, error) {
	name, err := normalName(c.Name)
	app, known := s.apps[c.Application]
	if err != nil || !known || len(c.Password) > maxPassword {
		// As long as any other refusal; what was given may be anything, so it
		// isn't logged.
		e.Reason = "malformed name, password or application"
		return nil, s.waste(ctx, from)
	}
	e.Name = name
	a, err := s.byName(ctx, c.Application, name)
	if err != nil {
		return nil, err
	}
	g := guess{account: nameKey(c.Application, name), address: from.Address}
	stored := ""
	if a != nil {
		e.Subject = a.Subject
		stored = a.Hash
		if from.DeviceID != "" && slices.Contains(a.Devices, hashOf(from.DeviceID)) {
			g.device = hashOf(from.DeviceID)
		}
	}
	if wait, ok := s.throttle.allow(g); !ok {
		e.Reason = "throttled"
		return nil, &ThrottledError{wait}
	}
	ok, outdated, err := s.hasher.verify(ctx, c.Password, stored)
	if err != nil {
		return nil, err
	}
	now := s.opts.Clock()
	switch {
	case !ok:
		e.Reason = "no such account, or wrong password"
		return nil, ErrDenied
	case !a.open(now):
		e.Reason = "the account is disabled or has expired"
		return nil, ErrDenied
	}
	s.throttle.forgive(g)
	if app.MaxAge > 0 && now.Sub(a.Chosen) > app.MaxAge {
		e.Reason = "the password has expired"
		return nil, ErrPasswordExpired
	}
	if err := s.factor(ctx, a, c.Code, g, e); err != nil {
		return nil, err
	}
	return s.begin(ctx, app, a, c.Password, outdated, from)
}

// waste takes as long as a wrong password does.
func (s *Service) waste(ctx context.Context, from Origin) error {
	if wait, ok := s.throttle.allow(guess{account: "\x00", address: from.Address}); !ok {
		return &ThrottledError{wait}
	}
	if _, _, err := s.hasher.verify(ctx, "", ""); err != nil {
		return err
	}
	return ErrDenied
}

func (s *Service) factor(ctx context.Context, a *account, code string, g guess, e *Event) error {
	if s.opts.Factor == nil {
		return nil
	}
	required, err := s.opts.Factor.Required(ctx, a.App, a.Subject)
	if err != nil || !required {
		return err
	}
	if code == "" {
		e.Reason = "a second factor is needed"
		return ErrFactor
	}
	g.account += "\x00factor" // six digits are guessed sooner than a password
	if wait, ok := s.throttle.allow(g); !ok {
		e.Reason = "throttled"
		return &ThrottledError{wait}
	}
	ok, err := s.opts.Factor.Verify(ctx, a.App, a.Subject, code)
	if err != nil {
		return err
	}
	if !ok {
		e.Reason = "wrong second factor"
		return ErrDenied
	}
	s.throttle.forgive(g)
	return nil
}

// maxDevices is how many devices an account knows; the oldest is forgotten.
const maxDevices = 16

// begin stores a session, and what the login taught of the account: which
// device it came from, and the password, where it is hashed as it used to be.
func (s *Service) begin(ctx context.Context, app *Application, a *account, password string, outdated bool, from Origin) (*Login, error) {
	deviceID := from.DeviceID
	if deviceID == "" || !slices.Contains(a.Devices, hashOf(deviceID)) {
		deviceID, _ = secret("swd")
	}
	if err := s.learn(ctx, a, password, outdated, hashOf(deviceID)); err != nil {
		// The session begins all the same; the next login teaches it.
		s.opts.Logger.WarnContext(ctx, "a login was not noted in its account", "application", a.App, "subject", a.Subject, "error", err)
	}
	if app.OneSession {
		if _, err := s.endSessionsIf(ctx, a.App, a.Subject, func(o *session) bool { return o.Device == from.Device }); err != nil {
			return nil, err
		}
	}
	now := s.opts.Clock()
	token, hash := secret("sws")
	one := &session{
		ID: newID(), App: a.App, Subject: a.Subject, Device: clip(from.Device, 200), Address: from.text(),
		Begun: now, Used: now, Ends: now.Add(min(app.SessionIdle, app.SessionMax)), Hash: hash,
	}
	if err := s.put(ctx, one.op()); err != nil {
		return nil, err
	}
	return &Login{Session: one.public(), Token: token, DeviceID: deviceID}, nil
}

func (s *Service) learn(ctx context.Context, a *account, password string, outdated bool, device string) error {
	if !outdated && slices.Contains(a.Devices, device) {
		return nil
	}
	hash := ""
	if outdated {
		var err error
		if hash, err = s.hasher.hash(ctx, password); err != nil {
			return err
		}
	}
	was := a.Hash
	return retry(ctx, func() error {
		now, err := s.account(ctx, a.App, a.Subject)
		if err != nil {
			return err
		}
		if hash != "" && now.Hash == was {
			now.Hash = hash
		}
		if !slices.Contains(now.Devices, device) {
			now.Devices = append(now.Devices, device)
			now.Devices = now.Devices[max(0, len(now.Devices)-maxDevices):]
		}
		return s.put(ctx, now.op())
	})
}

func clip(text string, limit int) string {
	text = strings.ToValidUTF8(text, "")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "")
	}
	return text
}

// session returns the session that a secret belongs to and its account, both
// usable, or ErrDenied. It notes that the session was used.
func (s *Service) session(ctx context.Context, token string) (*session, *account, error) {
	if !strings.HasPrefix(token, "sws_") || len(token) > 128 {
		return nil, nil, ErrDenied
	}
	now := s.opts.Clock()
	found, err := s.store.Find(ctx, kindSession, hashOf(token), "", 1, now)
	if err != nil {
		return nil, nil, err
	}
	if len(found) == 0 {
		return nil, nil, ErrDenied
	}
	one, err := decodeSession(found[0])
	if err != nil {
		return nil, nil, err
	}
	a, err := s.account(ctx, one.App, one.Subject)
	if errors.Is(err, ErrNotFound) || err == nil && !a.open(now) || one.Hash != hashOf(token) {
		return nil, nil, ErrDenied
	}
	if err != nil {
		return nil, nil, err
	}
	return one, a, s.touch(ctx, one, now)
}

// touch moves a session's end on, not more often than is worth a write.
func (s *Service) touch(ctx context.Context, one *session, now time.Time) error {
	app, err := s.app(one.App)
	if err != nil {
		return ErrDenied
	}
	if now.Sub(one.Used) < app.SessionIdle/100 {
		return nil
	}
	one.Used = now
	one.Ends = now.Add(app.SessionIdle)
	if last := one.Begun.Add(app.SessionMax); last.Before(one.Ends) {
		one.Ends = last
	}
	err = s.put(ctx, one.op())
	if errors.Is(err, driver.ErrConflict) {
		// Somebody else has touched it, or ended it: see which.
		r, gerr := s.store.Get(ctx, kindSession, one.ID, now)
		if errors.Is(gerr, ErrNotFound) {
			return ErrDenied
		}
		if gerr != nil {
			return gerr
		}
		fresh, derr := decodeSession(r)
		if derr == nil && fresh.Hash != one.Hash {
			return ErrDenied
		}
		return derr
	}
	if err == nil {
		one.version++
	}
	return err
}

// renewSecret gives a session another secret; the old one ends.
func (s *Service) renewSecret(ctx context.Context, id string) (string, error) {
	token, hash := secret("sws")
	err := retry(ctx, func() error {
		r, err := s.store.Get(ctx, kindSession, id, s.opts.Clock())
		if err != nil {
			return err
		}
		one, err := decodeSession(r)
		if err != nil {
			return err
		}
		one.Hash = hash
		return s.put(ctx, one.op())
	})
	return token, err
}

// Sessions returns the sessions of an account, the newest first.
func (s *Service) Sessions(ctx context.Context, application, subject string) ([]Session, error) {
	all, err := s.sessionsOf(ctx, application, subject)
	if err != nil {
		return nil, err
	}
	public := make([]Session, len(all))
	for i, one := range all {
		public[i] = one.public()
	}
	slices.SortStableFunc(public, func(a, b Session) int { return b.Begun.Compare(a.Begun) })
	return public, nil
}

func (s *Service) sessionsOf(ctx context.Context, application, subject string) ([]*session, error) {
	var all []*session
	const page = 100
	for after := ""; ; {
		found, err := s.store.Find(ctx, kindSession, accountID(application, subject), after, page, s.opts.Clock())
		if err != nil {
			return nil, err
		}
		for _, r := range found {
			one, err := decodeSession(r)
			if err != nil {
				return nil, err
			}
			all = append(all, one)
		}
		if len(found) < page {
			return all, nil
		}
		after = found[page-1].ID
	}
}

// EndSession ends a session. Its tokens are refused once the notice arrives.
func (s *Service) EndSession(ctx context.Context, by, id string) error {
	var one *session
	err := retry(ctx, func() error {
		r, err := s.store.Get(ctx, kindSession, id, s.opts.Clock())
		if err != nil {
			return err
		}
		if one, err = decodeSession(r); err != nil {
			return err
		}
		return s.end(ctx, one)
	})
	if err != nil {
		return err
	}
	s.audit(ctx, Event{What: "session ended", Application: one.App, Subject: one.Subject, Session: id, By: by})
	return nil
}

func (s *Service) end(ctx context.Context, one *session) error {
	o := one.op()
	o.Delete = true
	return s.write(ctx, []driver.Op{o}, resn.Delete, auth.SessionHref(s.opts.Issuer, one.ID))
}

// Logout ends the session that a secret belongs to. A secret that isn't known
// is no error: what was asked for is so.
func (s *Service) Logout(ctx context.Context, token string) error {
	one, _, err := s.session(ctx, token)
	if errors.Is(err, ErrDenied) {
		return nil
	}
	if err != nil {
		return err
	}
	err = s.EndSession(ctx, "", one.ID)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// EndSessions ends every session of an account and returns how many there
// were.
func (s *Service) EndSessions(ctx context.Context, by, application, subject string) (int, error) {
	n, err := s.endSessions(ctx, application, subject, "")
	if err != nil {
		return n, err
	}
	s.audit(ctx, Event{What: "sessions ended", Application: application, Subject: subject, By: by, Reason: fmt.Sprintf("%d of them", n)})
	return n, nil
}

// endSessions ends every session of an account but one.
func (s *Service) endSessions(ctx context.Context, application, subject, but string) (int, error) {
	return s.endSessionsIf(ctx, application, subject, func(one *session) bool { return one.ID != but })
}

func (s *Service) endSessionsIf(ctx context.Context, application, subject string, which func(*session) bool) (int, error) {
	all, err := s.sessionsOf(ctx, application, subject)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, one := range all {
		if !which(one) {
			continue
		}
		err := retry(ctx, func() error {
			err := s.end(ctx, one)
			if errors.Is(err, driver.ErrConflict) {
				r, gerr := s.store.Get(ctx, kindSession, one.ID, s.opts.Clock())
				if errors.Is(gerr, ErrNotFound) {
					return nil
				}
				if gerr != nil {
					return gerr
				}
				if one, gerr = decodeSession(r); gerr != nil {
					return gerr
				}
			}
			return err
		})
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
