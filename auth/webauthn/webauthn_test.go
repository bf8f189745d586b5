package webauthn_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/goswale/swale/auth/driver"
	"github.com/goswale/swale/auth/login"
	"github.com/goswale/swale/auth/memauth"
	"github.com/goswale/swale/auth/webauthn"
)

const (
	app    = "customers"
	ada    = "7"
	bo     = "8"
	origin = "https://login.example"
	rp     = "login.example"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// together is a store whose readers of a challenge wait for each other.
type together struct {
	*memauth.Store
	meet sync.WaitGroup
	few  atomic.Int32
}

func (s *together) Get(ctx context.Context, kind, id string, now time.Time) (driver.Record, error) {
	r, err := s.Store.Get(ctx, kind, id, now)
	if kind == "passkeychallenge" && s.few.Add(-1) >= 0 {
		s.meet.Done()
		s.meet.Wait()
	}
	return r, err
}

// fixture is Keys over a store, and a clock.
type fixture struct {
	*webauthn.Keys
	store   *together
	now     time.Time
	regress []webauthn.Regress
}

func open(t *testing.T, change func(*webauthn.Options)) *fixture {
	t.Helper()
	f := &fixture{store: &together{Store: memauth.New()}, now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	o := &webauthn.Options{
		Origins: []string{origin}, Clock: func() time.Time { return f.now },
		OnRegress: func(_ context.Context, r webauthn.Regress) { f.regress = append(f.regress, r) },
	}
	if change != nil {
		change(o)
	}
	var err error
	if f.Keys, err = webauthn.New(f.store, o); err != nil {
		t.Fatal(err)
	}
	return f
}

// add gives an account a passkey on a new device.
func (f *fixture) add(t *testing.T, subject string) *device {
	t.Helper()
	d := newDevice(t)
	options, err := f.Offer(t.Context(), app, subject, "name of "+subject, "session")
	if err := f.Add(t.Context(), app, subject, "session", "a test", d.create(t, ask(t, options, err))); err != nil {
		t.Fatal(err)
	}
	return d
}

// alone asks for whichever passkey.
func (f *fixture) alone(t *testing.T) question {
	t.Helper()
	options, err := f.Challenge(t.Context(), app, "", "browser")
	return ask(t, options, err)
}

func (f *fixture) second(t *testing.T, subject string) question {
	t.Helper()
	options, err := f.Challenge(t.Context(), app, subject, "browser")
	return ask(t, options, err)
}

func (f *fixture) signIn(t *testing.T, answer []byte) (string, error) {
	t.Helper()
	return f.SignIn(t.Context(), app, "browser", answer)
}

func (f *fixture) verify(t *testing.T, subject, binding string, answer []byte) bool {
	t.Helper()
	ok, err := f.Verify(t.Context(), app, subject, binding+" "+string(answer))
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestAPasskeyIsEnough(t *testing.T) {
	f := open(t, nil)
	d, other := f.add(t, ada), f.add(t, bo)
	for range 2 {
		for device, want := range map[*device]string{d: ada, other: bo} {
			q := f.alone(t)
			if q.PublicKey.Verify != "required" || q.PublicKey.RPID != rp || len(q.PublicKey.Allow) > 0 {
				t.Fatalf("who isn't known yet is asked %+v", q)
			}
			if got, err := f.signIn(t, device.get(t, q)); err != nil || got != want {
				t.Errorf("the passkey of %s signs in %q, %v", want, got, err)
			}
		}
	}
	all, err := f.List(t.Context(), app, ada)
	if err != nil || len(all) != 1 || all[0].Label != "a test" || !all[0].Used.Equal(f.now) {
		t.Errorf("%+v, %v", all, err)
	}
	if err := f.Remove(t.Context(), app, bo, all[0].ID); !errors.Is(err, login.ErrNotFound) {
		t.Errorf("somebody else's passkey is removed: %v", err)
	}
	if err := f.Remove(t.Context(), app, ada, all[0].ID); err != nil {
		t.Fatal(err)
	}
	if got, err := f.signIn(t, d.get(t, f.alone(t))); !errors.Is(err, login.ErrDenied) {
		t.Errorf("a passkey that was removed signs in %q, %v", got, err)
	}
}

func TestAPasskeyIsASecondFactor(t *testing.T) {
	f := open(t, nil)
	if required, err := f.Required(t.Context(), app, ada); required || err != nil {
		t.Errorf("an account without a passkey is asked for one: %v", err)
	}
	d := f.add(t, ada)
	if required, err := f.Required(t.Context(), app, ada); !required || err != nil {
		t.Errorf("an account with a passkey isn't asked for it: %v", err)
	}
	q := f.second(t, ada)
	if len(q.PublicKey.Allow) != 1 || q.PublicKey.Allow[0].ID != b64(d.id) || q.PublicKey.Verify != "preferred" {
		t.Errorf("asked %+v", q)
	}
	d.verified = false // the password has done that
	if !f.verify(t, ada, "browser", d.get(t, q)) {
		t.Error("the account's own passkey isn't accepted")
	}
	for name, code := range map[string]string{"nothing": "", "six digits": "000000", "no answer": "browser ", "no JSON": "browser {", "null": "browser null", "an empty object": "browser {}"} {
		if ok, err := f.Verify(t.Context(), app, ada, code); ok || err != nil {
			t.Errorf("%s as a code: %t, %v", name, ok, err)
		}
	}
	if _, err := f.Challenge(t.Context(), app, bo, "browser"); !errors.Is(err, login.ErrDenied) {
		t.Errorf("an account without passkeys is given a challenge: %v", err)
	}
}

// What an attacker may do to an answer on its way. Each case is one that would be
// accepted but for the one thing.
func TestWhatIsNotAccepted(t *testing.T) {
	f := open(t, nil)
	mine, others := f.add(t, ada), f.add(t, bo)
	stranger := newDevice(t)

	alone := map[string]func() error{
		"an answer that was used": func() error {
			answer := mine.get(t, f.alone(t))
			if _, err := f.signIn(t, answer); err != nil {
				t.Error(err)
			}
			_, err := f.signIn(t, answer)
			return err
		},
		"another answer to a challenge that was answered": func() error {
			q := f.alone(t)
			if _, err := f.signIn(t, mine.get(t, q)); err != nil {
				t.Error(err)
			}
			_, err := f.signIn(t, others.get(t, q))
			return err
		},
		"a challenge that was answered wrongly before": func() error {
			q := f.alone(t)
			_, _ = f.signIn(t, stranger.get(t, q))
			_, err := f.signIn(t, mine.get(t, q))
			return err
		},
		"a challenge that nobody gave": func() error {
			q := f.alone(t)
			q.PublicKey.Challenge = b64(make([]byte, 32))
			_, err := f.signIn(t, mine.get(t, q))
			return err
		},
		"a challenge that is too old": func() error {
			q := f.alone(t)
			f.now = f.now.Add(6 * time.Minute)
			_, err := f.signIn(t, mine.get(t, q))
			return err
		},
		"a challenge of another browser": func() error {
			_, err := f.SignIn(t.Context(), app, "another", mine.get(t, f.alone(t)))
			return err
		},
		"a challenge of no browser": func() error {
			_, err := f.SignIn(t.Context(), app, "", mine.get(t, f.alone(t)))
			return err
		},
		"a challenge of another application": func() error {
			_, err := f.SignIn(t.Context(), "staff", "browser", mine.get(t, f.alone(t)))
			return err
		},
		"a challenge of another application, by a passkey of this one": func() error {
			d := newDevice(t)
			options, err := f.Offer(t.Context(), "staff", ada, "ada", "session")
			if err := f.Add(t.Context(), "staff", ada, "session", "", d.create(t, ask(t, options, err))); err != nil {
				t.Fatal(err)
			}
			_, err = f.SignIn(t.Context(), "staff", "browser", d.get(t, f.alone(t)))
			return err
		},
		"a passkey of another application": func() error {
			options, err := f.Challenge(t.Context(), "staff", "", "browser")
			_, err = f.SignIn(t.Context(), "staff", "browser", mine.get(t, ask(t, options, err)))
			return err
		},
		"the challenge of a second factor as the only one": func() error {
			_, err := f.signIn(t, mine.get(t, f.second(t, ada)))
			return err
		},
		"the challenge of an offer": func() error {
			options, err := f.Offer(t.Context(), app, ada, "ada", "browser")
			_, err = f.signIn(t, mine.get(t, ask(t, options, err)))
			return err
		},
		"a page on another origin": func() error {
			mine.origin = "https://login.example.evil"
			defer func() { mine.origin = origin }()
			_, err := f.signIn(t, mine.get(t, f.alone(t)))
			return err
		},
		"a page on a subdomain": func() error {
			mine.origin = "https://evil.login.example"
			defer func() { mine.origin = origin }()
			_, err := f.signIn(t, mine.get(t, f.alone(t)))
			return err
		},
		"the origin without TLS": func() error {
			mine.origin = "http://login.example"
			defer func() { mine.origin = origin }()
			_, err := f.signIn(t, mine.get(t, f.alone(t)))
			return err
		},
		"another relying party": func() error {
			mine.rp = "evil.example"
			defer func() { mine.rp = rp }()
			_, err := f.signIn(t, mine.get(t, f.alone(t)))
			return err
		},
		"a device that hasn't verified its user": func() error {
			mine.verified = false
			defer func() { mine.verified = true }()
			_, err := f.signIn(t, mine.get(t, f.alone(t)))
			return err
		},
		"a device that nobody has touched": func() error {
			mine.present = false
			defer func() { mine.present = true }()
			_, err := f.signIn(t, mine.get(t, f.alone(t)))
			return err
		},
		"a passkey that nobody has": func() error {
			stranger.handle = mine.handle
			_, err := f.signIn(t, stranger.get(t, f.alone(t)))
			return err
		},
		"another key under the passkey's name": func() error {
			forged := newDevice(t)
			forged.id, forged.handle, forged.count = mine.id, mine.handle, mine.count+10
			_, err := f.signIn(t, forged.get(t, f.alone(t)))
			return err
		},
		"a passkey that says it is somebody else's": func() error {
			swapped := *mine
			swapped.handle = others.handle
			_, err := f.signIn(t, swapped.get(t, f.alone(t)))
			return err
		},
		"a passkey that doesn't say whose it is": func() error {
			silent := *mine
			silent.handle = nil
			_, err := f.signIn(t, silent.get(t, f.alone(t)))
			return err
		},
		"a signature of something else": func() error {
			q := f.alone(t)
			answer := mine.get(t, q)
			var parts map[string]any
			if err := json.Unmarshal(answer, &parts); err != nil {
				t.Fatal(err)
			}
			mine.count++
			parts["response"].(map[string]any)["authenticatorData"] = b64(mine.data(nil))
			answer, _ = json.Marshal(parts)
			_, err := f.signIn(t, answer)
			return err
		},
	}
	for name, attack := range alone {
		if err := attack(); !errors.Is(err, login.ErrDenied) {
			t.Errorf("alone: %s: %v, want ErrDenied", name, err)
		}
		mine.count += 5 // what was refused may have counted
	}

	second := map[string]func() bool{
		"somebody else's passkey": func() bool { return f.verify(t, ada, "browser", others.get(t, f.second(t, ada))) },
		"somebody else's passkey that says it is this one's": func() bool {
			swapped := *others
			swapped.handle = mine.handle
			return f.verify(t, ada, "browser", swapped.get(t, f.second(t, ada)))
		},
		"somebody else's challenge": func() bool { return f.verify(t, ada, "browser", mine.get(t, f.second(t, bo))) },
		"another browser":           func() bool { return f.verify(t, ada, "another", mine.get(t, f.second(t, ada))) },
		"a challenge that was for the passkey alone": func() bool {
			return f.verify(t, ada, "browser", mine.get(t, f.alone(t)))
		},
		"the challenge of an offer": func() bool {
			options, err := f.Offer(t.Context(), app, ada, "ada", "browser")
			return f.verify(t, ada, "browser", mine.get(t, ask(t, options, err)))
		},
		"an answer that was used": func() bool {
			answer := mine.get(t, f.second(t, ada))
			if !f.verify(t, ada, "browser", answer) {
				t.Error("the first time it isn't accepted")
			}
			return f.verify(t, ada, "browser", answer)
		},
		"another origin": func() bool {
			mine.origin = "https://evil.example"
			defer func() { mine.origin = origin }()
			return f.verify(t, ada, "browser", mine.get(t, f.second(t, ada)))
		},
	}
	for name, attack := range second {
		if attack() {
			t.Errorf("as a second factor: %s is accepted", name)
		}
		mine.count += 5
	}
	if got, err := f.signIn(t, mine.get(t, f.alone(t))); err != nil || got != ada {
		t.Errorf("after all that, the owner: %q, %v", got, err)
	}
	if len(f.regress) > 0 {
		t.Errorf("regress was reported: %+v", f.regress)
	}
}

func TestWhatIsNotAdded(t *testing.T) {
	f := open(t, func(o *webauthn.Options) { o.MaxPasskeys = 2 })
	offer := func() question {
		t.Helper()
		options, err := f.Offer(t.Context(), app, ada, "ada", "session")
		return ask(t, options, err)
	}
	add := func(binding string, answer []byte) error {
		return f.Add(t.Context(), app, ada, binding, "", answer)
	}
	for name, attack := range map[string]func() error{
		"nothing":         func() error { return add("session", nil) },
		"another session": func() error { return add("another", newDevice(t).create(t, offer())) },
		"another account": func() error {
			return f.Add(t.Context(), app, bo, "session", "", newDevice(t).create(t, offer()))
		},
		"an old challenge": func() error {
			q := offer()
			f.now = f.now.Add(6 * time.Minute)
			return add("session", newDevice(t).create(t, q))
		},
		"another origin": func() error {
			d := newDevice(t)
			d.origin = "https://evil.example"
			return add("session", d.create(t, offer()))
		},
		"another relying party": func() error {
			d := newDevice(t)
			d.rp = "evil.example"
			return add("session", d.create(t, offer()))
		},
		"a challenge for signing in": func() error {
			options, err := f.Challenge(t.Context(), app, "", "session")
			return add("session", newDevice(t).create(t, ask(t, options, err)))
		},
	} {
		if err := attack(); !errors.Is(err, login.ErrDenied) {
			t.Errorf("%s: %v, want ErrDenied", name, err)
		}
	}
	d := newDevice(t)
	first := d.create(t, offer())
	if err := add("session", first); err != nil {
		t.Fatal(err)
	}
	if err := add("session", first); !errors.Is(err, login.ErrDenied) {
		t.Errorf("the same answer again: %v", err)
	}
	if q := offer(); len(q.PublicKey.Exclude) != 1 || q.PublicKey.Exclude[0].ID != b64(d.id) {
		t.Errorf("a device isn't told that it has a passkey already: %+v", q)
	}
	// Somebody takes over the id of a passkey that is another's.
	thief := newDevice(t)
	thief.id = d.id
	options, err := f.Offer(t.Context(), app, bo, "bo", "session")
	if err := f.Add(t.Context(), app, bo, "session", "", thief.create(t, ask(t, options, err))); !errors.Is(err, login.ErrExists) {
		t.Errorf("an id that is taken: %v, want ErrExists", err)
	}
	late := offer()
	f.add(t, ada)
	if err := add("session", newDevice(t).create(t, late)); !errors.Is(err, login.ErrDenied) {
		t.Errorf("one more than an account may have: %v", err)
	}
	if _, err := f.Offer(t.Context(), app, ada, "ada", "session"); !errors.Is(err, login.ErrDenied) {
		t.Errorf("an offer of one more than an account may have: %v", err)
	}
	if _, err := f.Offer(t.Context(), app, bo, "bo", ""); err == nil {
		t.Error("a challenge that is bound to nothing is given")
	}
}

// A device that counts backwards is reported and not let in, as is a copy of it.
func TestADeviceThatCountsBackwards(t *testing.T) {
	f := open(t, nil)
	d := f.add(t, ada)
	d.count = 9
	copied := *d
	if _, err := f.signIn(t, d.get(t, f.alone(t))); err != nil { // counts 10
		t.Fatal(err)
	}
	if _, err := f.signIn(t, copied.get(t, f.alone(t))); !errors.Is(err, login.ErrDenied) {
		t.Errorf("the copy, which counts 10 again: %v", err)
	}
	if len(f.regress) != 1 || f.regress[0].Subject != ada || f.regress[0].Stored != 10 || f.regress[0].Given != 10 || f.regress[0].Passkey.Label != "a test" {
		t.Errorf("reported %+v", f.regress)
	}
	copied.count = 3
	if f.verify(t, ada, "browser", copied.get(t, f.second(t, ada))) || len(f.regress) != 2 {
		t.Errorf("as a second factor: reported %+v", f.regress)
	}
	if _, err := f.signIn(t, d.get(t, f.alone(t))); err != nil {
		t.Errorf("the device itself, which counts 11: %v", err)
	}
	synced := f.add(t, bo)
	for range 2 {
		q := f.alone(t)
		synced.count = ^uint32(0) // the next is 0: it doesn't count
		if _, err := f.signIn(t, synced.get(t, q)); err != nil {
			t.Errorf("a passkey that doesn't count: %v", err)
		}
	}
}

func TestVerifyingTheUserCanBeRequired(t *testing.T) {
	f := open(t, func(o *webauthn.Options) { o.VerifyUser = true })
	options, err := f.Offer(t.Context(), app, ada, "ada", "session")
	q := ask(t, options, err)
	lazy := newDevice(t)
	lazy.verified = false
	if q.PublicKey.Selection.UserVerification != "required" {
		t.Errorf("asked %+v", q)
	}
	if err := f.Add(t.Context(), app, ada, "session", "", lazy.create(t, q)); !errors.Is(err, login.ErrDenied) {
		t.Errorf("a device that doesn't verify its user is added: %v", err)
	}
	d := f.add(t, ada)
	d.verified = false
	if f.verify(t, ada, "browser", d.get(t, f.second(t, ada))) {
		t.Error("a second factor whose user wasn't verified is accepted")
	}
	d.verified = true
	if !f.verify(t, ada, "browser", d.get(t, f.second(t, ada))) {
		t.Error("one whose user was is not")
	}
}

// One answer signs in once, however many bring it at a time.
func TestAnAnswerWorksOnceForAll(t *testing.T) {
	f := open(t, nil)
	d := f.add(t, ada)
	d.count = ^uint32(0) // one that counts would be given away by that
	answer := d.get(t, f.alone(t))
	var in atomic.Int32
	var all sync.WaitGroup
	const many = 8
	f.store.meet.Add(many)
	f.store.few.Store(many)
	for range many {
		all.Go(func() {
			if _, err := f.SignIn(context.Background(), app, "browser", answer); err == nil {
				in.Add(1)
			} else if !errors.Is(err, login.ErrDenied) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if in.Load() != 1 {
		t.Errorf("%d were signed in by one answer", in.Load())
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]*webauthn.Options{
		"none":                {},
		"nil":                 nil,
		"no TLS":              {Origins: []string{"http://login.example"}},
		"a path":              {Origins: []string{"https://login.example/x"}},
		"an address":          {Origins: []string{"https://192.0.2.1"}},
		"an IPv6 address":     {Origins: []string{"https://[::1]"}},
		"no host":             {Origins: []string{"login.example"}},
		"two unrelated":       {Origins: []string{"https://login.example", "https://login.other"}},
		"a party beside":      {Origins: []string{origin}, RelyingParty: "other.example"},
		"a party that begins": {Origins: []string{"https://notlogin.example"}, RelyingParty: rp},
	} {
		if _, err := webauthn.New(memauth.New(), o); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for name, o := range map[string]*webauthn.Options{
		"localhost":        {Origins: []string{"http://localhost:8080"}},
		"two of one party": {Origins: []string{"https://a.login.example", "https://b.login.example:8443"}, RelyingParty: rp},
	} {
		if _, err := webauthn.New(memauth.New(), o); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The store holds nothing that signs anybody in, and nothing that says who a
// device's handle is.
func TestNothingStoredIsSecret(t *testing.T) {
	f := open(t, nil)
	const subject = "a subject that is long enough"
	d := f.add(t, subject)
	if strings.Contains(string(d.handle), subject) || len(d.handle) != 32 {
		t.Errorf("the device knows its account as %q", d.handle)
	}
	f.alone(t)
	records, err := f.store.Find(t.Context(), "passkeychallenge", "", "", 10, f.now)
	if err != nil || len(records) != 1 {
		t.Fatalf("%d challenges are pending, %v", len(records), err)
	}
	if strings.Contains(string(records[0].Data), `"browser"`) {
		t.Errorf("the binding is stored: %s", records[0].Data)
	}
}
