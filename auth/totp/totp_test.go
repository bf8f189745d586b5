package totp_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	otplib "github.com/pquerna/otp/totp"
	"go.uber.org/goleak"

	"github.com/goswale/swale/auth/login"
	"github.com/goswale/swale/auth/memauth"
	"github.com/goswale/swale/auth/totp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// device is an account with the factor, and a clock.
type device struct {
	factor *totp.Factor
	store  *memauth.Store
	secret string
	now    time.Time
}

func open(t *testing.T) *device {
	t.Helper()
	d := &device{store: memauth.New(), now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	var err error
	d.factor, err = totp.New(d.store, &totp.Options{Issuer: "Swale", Key: make([]byte, 32), Clock: func() time.Time { return d.now }})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *device) enrol(t *testing.T) {
	t.Helper()
	text, err := d.factor.Enrol(t.Context(), "customers", "7", "ada")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "otpauth" || u.Query().Get("issuer") != "Swale" {
		t.Fatalf("%q, %v", text, err)
	}
	d.secret = u.Query().Get("secret")
}

func (d *device) code(t *testing.T, at time.Time) string {
	t.Helper()
	code, err := otplib.GenerateCode(d.secret, at)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func (d *device) verify(t *testing.T, code string) bool {
	t.Helper()
	ok, err := d.factor.Verify(t.Context(), "customers", "7", code)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func (d *device) required(t *testing.T) bool {
	t.Helper()
	ok, err := d.factor.Required(t.Context(), "customers", "7")
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestItIsInForceOnceItWasConfirmed(t *testing.T) {
	d := open(t)
	if d.required(t) || d.verify(t, "000000") {
		t.Error("an account that wasn't enrolled has the factor")
	}
	d.enrol(t)
	if d.required(t) || d.verify(t, d.code(t, d.now)) {
		t.Error("an enrolment that wasn't confirmed is in force: a mistyped secret would lock its owner out")
	}
	if _, err := d.factor.Confirm(t.Context(), "customers", "7", "000000"); !errors.Is(err, totp.ErrCode) {
		t.Errorf("a wrong first code: %v", err)
	}
	d.enrol(t) // begins anew
	codes, err := d.factor.Confirm(t.Context(), "customers", "7", d.code(t, d.now))
	if err != nil || len(codes) != 10 || !d.required(t) {
		t.Fatalf("%q, %v", codes, err)
	}
	if _, err := d.factor.Enrol(t.Context(), "customers", "7", "ada"); err == nil {
		t.Error("whoever has the session can replace the factor of an account that has one")
	}
	if err := d.factor.Remove(t.Context(), "customers", "7"); err != nil || d.required(t) {
		t.Errorf("after it was removed: %v", err)
	}
}

func TestACodeWorksOnce(t *testing.T) {
	d := open(t)
	d.enrol(t)
	first := d.code(t, d.now)
	recovery, err := d.factor.Confirm(t.Context(), "customers", "7", first)
	if err != nil {
		t.Fatal(err)
	}
	if d.verify(t, first) {
		t.Error("the code that confirmed it works again")
	}
	d.now = d.now.Add(time.Minute)
	code := d.code(t, d.now)
	var won atomic.Int32
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			if ok, _ := d.factor.Verify(t.Context(), "customers", "7", code); ok {
				won.Add(1)
			}
		})
	}
	group.Wait()
	if n := won.Load(); n != 1 {
		t.Errorf("%d of 16 used the same code", n)
	}
	if d.verify(t, d.code(t, d.now.Add(-30*time.Second))) {
		t.Error("a code from before the last one is accepted")
	}
	d.now = d.now.Add(10 * time.Minute)
	for what, c := range map[string]struct {
		code string
		ok   bool
	}{
		"from two steps ago":  {d.code(t, d.now.Add(-time.Minute)), false},
		"two steps too early": {d.code(t, d.now.Add(time.Minute)), false},
		"nothing":             {"", false},
	} {
		if d.verify(t, c.code) != c.ok {
			t.Errorf("a code %s: accepted is %v", what, !c.ok)
		}
	}
	late := d.code(t, d.now.Add(-30*time.Second))
	if !d.verify(t, late[:3]+" "+late[3:]) {
		t.Error("a code of the step before, written in two parts, is refused")
	}
	if !d.verify(t, strings.ToUpper(recovery[4])) || d.verify(t, recovery[4]) || d.verify(t, "aaaaaaaa-aaaaaaaa") {
		t.Error("a recovery code is to work once, and one that was made up never")
	}
}

func TestSecretsAreStoredEncrypted(t *testing.T) {
	d := open(t)
	d.enrol(t)
	recovery, err := d.factor.Confirm(t.Context(), "customers", "7", d.code(t, d.now))
	if err != nil {
		t.Fatal(err)
	}
	all, err := d.store.Find(t.Context(), "totp", "", "", 10, d.now)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	if text := string(all[0].Data); strings.Contains(text, d.secret) || strings.Contains(text, strings.ReplaceAll(recovery[0], "-", "")) {
		t.Errorf("a secret is stored as it is: %s", text)
	}
	other := make([]byte, 32)
	other[0] = 1
	f, err := totp.New(d.store, &totp.Options{Issuer: "Swale", Key: other})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Required(t.Context(), "customers", "7"); err == nil {
		t.Error("with another key the account has no factor, which lets everybody in who has the password")
	}
}

// With login: the password alone doesn't do.
func Example() {
	ctx := context.Background()
	store := memauth.New()
	factor, err := totp.New(store, &totp.Options{Issuer: "Swale", Key: make([]byte, 32)})
	if err != nil {
		fmt.Println(err)
		return
	}
	service, err := login.New(store, &login.Options{
		Issuer: "https://login.example", KeyEncryption: [][]byte{make([]byte, 32)}, Factor: factor,
		Applications: map[string]login.Application{"staff": {}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	account, _ := service.CreateAccount(ctx, "staff", "ada", "correct horse battery")
	address, _ := factor.Enrol(ctx, "staff", account.Subject, "ada")
	u, _ := url.Parse(address)
	code, _ := otplib.GenerateCode(u.Query().Get("secret"), time.Now())
	_, _ = factor.Confirm(ctx, "staff", account.Subject, code)

	_, err = service.Login(ctx, login.Credentials{Application: "staff", Name: "ada", Password: "correct horse battery"},
		login.Origin{Address: netip.MustParseAddr("192.0.2.1")})
	fmt.Println(err)
	// Output: login: a second factor is needed
}
