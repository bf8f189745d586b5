package login_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/auth/driver"
	"github.com/goswale/swale/auth/login"
	"github.com/goswale/swale/auth/memauth"
)

const (
	issuer   = "https://login.example"
	password = "correct horse battery"
	orders   = "https://orders.example"
)

// fixture is a service over a store in memory, and what it told the audit log.
type fixture struct {
	*login.Service
	store  driver.Store
	mu     sync.Mutex
	events []login.Event
	mail   []login.Message
}

func open(t *testing.T, change func(*login.Options)) *fixture {
	t.Helper()
	return openOver(t, memauth.New(), change)
}

func openOver(t *testing.T, store driver.Store, change func(*login.Options)) *fixture {
	t.Helper()
	f := &fixture{store: store}
	o := &login.Options{
		Issuer: issuer, KeyEncryption: [][]byte{make([]byte, 32)}, Hashing: login.Hashing{MemoryKiB: 8, Passes: 1},
		Applications: map[string]login.Application{"customers": {
			Audiences: []string{orders}, Scopes: map[string][]string{"": {"orders:read"}},
		}},
		Audit: func(_ context.Context, e login.Event) {
			f.mu.Lock()
			f.events = append(f.events, e)
			f.mu.Unlock()
		},
		Deliver: func(_ context.Context, m login.Message) error {
			f.mu.Lock()
			f.mail = append(f.mail, m)
			f.mu.Unlock()
			return nil
		},
	}
	if change != nil {
		change(o)
	}
	s, err := login.New(f.store, o)
	if err != nil {
		t.Fatal(err)
	}
	f.Service = s
	return f
}

// app changes the rules of the one application.
func app(change func(*login.Application)) func(*login.Options) {
	return func(o *login.Options) {
		a := o.Applications["customers"]
		change(&a)
		o.Applications["customers"] = a
	}
}

func from(address string) login.Origin {
	return login.Origin{Address: netip.MustParseAddr(address), Device: "a test"}
}

func (f *fixture) create(t *testing.T, name string) login.Account {
	t.Helper()
	a, err := f.CreateAccount(t.Context(), "customers", name, password)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (f *fixture) try(t *testing.T, name, secret string, o login.Origin) (*login.Login, error) {
	t.Helper()
	return f.Login(t.Context(), login.Credentials{Application: "customers", Name: name, Password: secret}, o)
}

func (f *fixture) logIn(t *testing.T, name string) *login.Login {
	t.Helper()
	l, err := f.try(t, name, password, from("192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLogin(t *testing.T) {
	f := open(t, nil)
	a := f.create(t, "  Ada@Example.org ")
	l := f.logIn(t, "ADA@example.org")
	if l.Session.Subject != a.Subject || l.Session.Address != "192.0.2.1" || !strings.HasPrefix(l.Token, "sws_") || len(l.Token) < 47 {
		t.Errorf("%+v", l)
	}
	if _, err := f.Exchange(t.Context(), l.Token, orders); err != nil {
		t.Error(err)
	}
	for _, bad := range [][2]string{{"ada@example.org", "wrong"}, {"nobody", password}, {"", password}, {"ada@example.org", ""}, {"a b", "x"}, {"ada@example.org", strings.Repeat("x", 10_000)}} {
		if _, err := f.try(t, bad[0], bad[1], from("192.0.2.1")); !errors.Is(err, login.ErrDenied) {
			t.Errorf("name %q: %v, want ErrDenied", bad[0], err)
		}
	}
	if _, err := f.CreateAccount(t.Context(), "customers", "ada@example.org", password); !errors.Is(err, login.ErrExists) {
		t.Errorf("a taken name: %v, want ErrExists", err)
	}
	if _, err := f.CreateAccount(t.Context(), "riders", "ada@example.org", password); !errors.Is(err, login.ErrNotFound) {
		t.Errorf("an application that isn't there: %v", err)
	}
}

// What is stored lets nobody in, and what is logged neither.
func TestSecretsAreNowhere(t *testing.T) {
	f := open(t, nil)
	a := f.create(t, "ada")
	l := f.logIn(t, "ada")
	token, err := f.Exchange(t.Context(), l.Token, orders)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.try(t, "ada", "a wrong password", from("192.0.2.1"))
	_ = f.StartReset(t.Context(), "customers", "ada", from("192.0.2.1"))
	var all strings.Builder
	for _, kind := range []string{"account", "session", "key", "client", "code", "once"} {
		found, err := f.store.Find(t.Context(), kind, "", "", 1000, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range found {
			fmt.Fprintf(&all, "%s %s %q %s\n", r.ID, r.Unique, r.Keys, r.Data)
		}
	}
	for _, e := range f.events {
		fmt.Fprintf(&all, "%+v\n", e)
	}
	for what, text := range map[string]string{
		"the password": password, "a wrong password": "a wrong password", "the session's secret": l.Token,
		"the token": token.Access, "the device's secret": l.DeviceID, "the reset token": f.mail[0].Token,
	} {
		if strings.Contains(all.String(), text) {
			t.Errorf("%s is stored or logged", what)
		}
	}
	if !strings.Contains(all.String(), a.Subject) {
		t.Fatal("nothing was looked at")
	}
}

// A name that isn't there does the same work as a wrong password: one
// argon2id, and the same answers, also when throttled.
func TestNobodyLearnsWhichAccountsThereAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, nil)
		f.create(t, "ada")
		f.create(t, "off")
		off, err := f.Account(t.Context(), "customers", f.logIn(t, "off").Session.Subject)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Disable(t.Context(), "test", "customers", off.Subject); err != nil {
			t.Fatal(err)
		}
		answers := map[string][]string{}
		for _, name := range []string{"ada", "off", "nobody"} {
			for range 12 {
				_, err := f.try(t, name, "wrong", from("192.0.2."+fmt.Sprint(10+len(answers))))
				answers[name] = append(answers[name], err.Error())
			}
		}
		for _, name := range []string{"off", "nobody"} {
			if !slices.Equal(answers[name], answers["ada"]) {
				t.Errorf("answers for %q are %q, for an account that is there %q", name, answers[name], answers["ada"])
			}
		}
		for _, name := range []string{"ada", "off", "nobody"} {
			if err := f.StartReset(t.Context(), "customers", name, from("192.0.2.9")); err != nil {
				t.Errorf("reset for %q: %v", name, err)
			}
		}
		if len(f.mail) != 1 || f.mail[0].Name != "ada" {
			t.Errorf("mail: %+v", f.mail)
		}
	})
}

func TestGuessingIsThrottledAndLocksNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, nil)
		f.create(t, "ada")
		known := f.logIn(t, "ada")
		guesses, refused := 0, 0
		guess := func(address string) {
			_, err := f.try(t, "ada", "wrong", from(address))
			if errors.Is(err, login.ErrThrottled) {
				refused++
			} else {
				guesses++
			}
		}
		for range 100 {
			guess("198.51.100.1")
		}
		if guesses > 10 || refused < 90 {
			t.Errorf("one address guessed %d times at one account at once", guesses)
		}
		if _, err := f.try(t, "ada", password, from("192.0.2.1")); err != nil {
			t.Errorf("the owner, at another address: %v", err)
		}
		guesses = 0
		for i := range 1000 {
			guess(fmt.Sprintf("203.0.%d.%d", i/250, i%250+1))
		}
		if guesses > 120 {
			t.Errorf("many addresses guessed %d times at one account at once", guesses)
		}
		home := from("192.0.2.1")
		if _, err := f.try(t, "ada", password, home); !errors.Is(err, login.ErrThrottled) {
			t.Errorf("a device that isn't known, while the account is guessed at from everywhere: %v", err)
		}
		home.DeviceID = known.DeviceID
		if _, err := f.try(t, "ada", password, home); err != nil {
			t.Errorf("the owner's device is locked out by somebody else's guesses: %v", err)
		}
		home.DeviceID = "swd_somebody-elses"
		if _, err := f.try(t, "ada", password, home); !errors.Is(err, login.ErrThrottled) {
			t.Errorf("a device id that was made up: %v", err)
		}
		guesses = 0
		for i := range 1000 {
			_, err := f.try(t, fmt.Sprint("user", i), "wrong", from("2001:db8::"+fmt.Sprintf("%x", i+1)))
			if !errors.Is(err, login.ErrThrottled) {
				guesses++
			}
		}
		if guesses > 40 {
			t.Errorf("one network guessed at %d accounts at once", guesses)
		}
		time.Sleep(time.Hour)
		if _, err := f.try(t, "ada", password, from("198.51.100.1")); err != nil {
			t.Errorf("an hour later: %v", err)
		}
	})
}

func TestPasswordRules(t *testing.T) {
	f := open(t, app(func(a *login.Application) {
		a.History = 2
		a.Breached = func(_ context.Context, p string) (bool, error) { return p == "password1234", nil }
	}))
	for name, bad := range map[string]string{"short": "elevenchars", "breached": "password1234", "its own name": "averylongname", "not text": "\xff\xfe12345678901234", "with a zero": "abc\x00defghijklmn", "long": strings.Repeat("x", 257)} {
		if _, err := f.CreateAccount(t.Context(), "customers", "averylongname", bad); !errors.Is(err, login.ErrPassword) {
			t.Errorf("%s: %v, want ErrPassword", name, err)
		}
	}
	f.create(t, "ada")
	l := f.logIn(t, "ada")
	token := l.Token
	old := password
	change := func(next string) error {
		t.Helper()
		fresh, err := f.ChangePassword(t.Context(), token, old, next, from("192.0.2.1"))
		if err == nil {
			old, token = next, fresh
		}
		return err
	}
	for _, step := range []struct {
		next string
		ok   bool
	}{{password, false}, {"another password", true}, {password, false}, {"a third password", true}, {"another password", false}, {password, true}} {
		if err := change(step.next); (err == nil) != step.ok {
			t.Errorf("changing to %q: %v", step.next, err)
		}
	}
	if _, err := f.ChangePassword(t.Context(), token, "wrong", "yet another one", from("192.0.2.1")); !errors.Is(err, login.ErrDenied) {
		t.Errorf("without the old password: %v", err)
	}
	if _, err := f.Exchange(t.Context(), l.Token, orders); !errors.Is(err, login.ErrDenied) {
		t.Errorf("a session's secret from before its password changed: %v", err)
	}
	if _, err := f.Exchange(t.Context(), token, orders); err != nil {
		t.Errorf("the session's new secret: %v", err)
	}
}

func TestHashesAreUpgradedAtLogin(t *testing.T) {
	f := open(t, nil)
	a := f.create(t, "ada")
	hash := func() string {
		t.Helper()
		r, err := f.store.Get(t.Context(), "account", "customers/"+a.Subject, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return string(r.Data)
	}
	if !strings.Contains(hash(), "$argon2id$v=19$m=8,t=1,p=1$") {
		t.Fatal(hash())
	}
	stronger := openOver(t, f.store, func(o *login.Options) { o.Hashing = login.Hashing{MemoryKiB: 16, Passes: 2} })
	if _, err := stronger.try(t, "ada", "wrong", from("192.0.2.1")); err == nil {
		t.Fatal("a wrong password")
	}
	if !strings.Contains(hash(), "m=8,t=1") {
		t.Error("a wrong password upgraded the hash")
	}
	if _, err := stronger.try(t, "ada", password, from("192.0.2.1")); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(hash(), "m=16,t=2") {
		t.Errorf("the hash was not made anew: %s", hash())
	}
	if _, err := stronger.try(t, "ada", password, from("192.0.2.1")); err != nil {
		t.Fatal(err)
	}
}

func TestExpiredPasswordsAndAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, app(func(a *login.Application) { a.MaxAge = 24 * time.Hour }))
		a := f.create(t, "ada")
		l := f.logIn(t, "ada")
		time.Sleep(25 * time.Hour)
		if _, err := f.try(t, "ada", password, from("192.0.2.1")); !errors.Is(err, login.ErrPasswordExpired) {
			t.Errorf("%v, want ErrPasswordExpired", err)
		}
		if _, err := f.try(t, "ada", "wrong", from("192.0.2.1")); !errors.Is(err, login.ErrDenied) {
			t.Errorf("a wrong password, of an account whose password has expired: %v", err)
		}
		if err := f.Expire(t.Context(), "test", "customers", a.Subject, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Exchange(t.Context(), l.Token, orders); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		if _, err := f.Exchange(t.Context(), l.Token, orders); !errors.Is(err, login.ErrDenied) {
			t.Errorf("a session of an account that has expired: %v", err)
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, app(func(a *login.Application) { a.SessionIdle, a.SessionMax = time.Hour, 5*time.Hour }))
		f.create(t, "ada")
		idle, used := f.logIn(t, "ada"), f.logIn(t, "ada")
		ok := func(l *login.Login) bool {
			_, err := f.Exchange(t.Context(), l.Token, orders)
			if err != nil && !errors.Is(err, login.ErrDenied) {
				t.Error(err)
			}
			return err == nil
		}
		time.Sleep(59 * time.Minute)
		if !ok(used) {
			t.Error("a session ended before its time")
		}
		time.Sleep(2 * time.Minute)
		if ok(idle) {
			t.Error("a session that wasn't used for an hour is alive")
		}
		for range 9 {
			if !ok(used) {
				t.Error("a session that is used ended")
			}
			time.Sleep(29 * time.Minute)
		}
		if ok(used) {
			t.Error("a session is older than it may be")
		}
	})
}

func TestSessionsAreListedAndEnded(t *testing.T) {
	f := open(t, nil)
	a := f.create(t, "ada")
	f.create(t, "bo")
	var all []*login.Login
	for range 3 {
		all = append(all, f.logIn(t, "ada"))
	}
	other := f.logIn(t, "bo")
	list, err := f.Sessions(t.Context(), "customers", a.Subject)
	if err != nil || len(list) != 3 {
		t.Fatalf("%d sessions, %v", len(list), err)
	}
	if err := f.Logout(t.Context(), all[0].Token); err != nil {
		t.Error(err)
	}
	if err := f.Logout(t.Context(), all[0].Token); err != nil {
		t.Errorf("logging out twice: %v", err)
	}
	if n, err := f.EndSessions(t.Context(), "admin", "customers", a.Subject); n != 2 || err != nil {
		t.Errorf("%d ended, %v", n, err)
	}
	if _, err := f.Exchange(t.Context(), other.Token, orders); err != nil {
		t.Errorf("somebody else's session: %v", err)
	}
	if err := f.EndSession(t.Context(), "admin", "nothing"); !errors.Is(err, login.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestOneSessionPerDevice(t *testing.T) {
	f := open(t, app(func(a *login.Application) { a.OneSession = true }))
	f.create(t, "ada")
	first := f.logIn(t, "ada")
	phone := from("192.0.2.1")
	phone.Device = "a phone"
	second, err := f.try(t, "ada", password, phone)
	if err != nil {
		t.Fatal(err)
	}
	third := f.logIn(t, "ada")
	for name, c := range map[string]struct {
		l  *login.Login
		ok bool
	}{"the first": {first, false}, "another device's": {second, true}, "the last": {third, true}} {
		if _, err := f.Exchange(t.Context(), c.l.Token, orders); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestResetWorksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, nil)
		f.create(t, "ada")
		l := f.logIn(t, "ada")
		ask := func() string {
			t.Helper()
			if err := f.StartReset(t.Context(), "customers", "ada", from("192.0.2.1")); err != nil {
				t.Fatal(err)
			}
			return f.mail[len(f.mail)-1].Token
		}
		token := ask()
		if err := f.FinishReset(t.Context(), token, "short", from("192.0.2.1")); !errors.Is(err, login.ErrPassword) {
			t.Errorf("a short password: %v", err)
		}
		var group sync.WaitGroup
		var won sync.Map
		for i := range 8 {
			group.Go(func() {
				if f.FinishReset(t.Context(), token, fmt.Sprintf("a new password %d", i), from(fmt.Sprintf("192.0.2.%d", i+10))) == nil {
					won.Store(i, true)
				}
			})
		}
		group.Wait()
		winners := 0
		won.Range(func(any, any) bool { winners++; return true })
		if winners != 1 {
			t.Errorf("the token was used %d times", winners)
		}
		if _, err := f.Exchange(t.Context(), l.Token, orders); !errors.Is(err, login.ErrDenied) {
			t.Errorf("a session from before the reset: %v", err)
		}
		late := ask()
		time.Sleep(31 * time.Minute)
		if err := f.FinishReset(t.Context(), late, "a late password", from("192.0.2.1")); !errors.Is(err, login.ErrDenied) {
			t.Errorf("half an hour later: %v", err)
		}
		if err := f.FinishReset(t.Context(), "swr_made-up", "a new password", from("192.0.2.1")); !errors.Is(err, login.ErrDenied) {
			t.Errorf("a token that was made up: %v", err)
		}
	})
}
