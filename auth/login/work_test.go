package login

import (
	"errors"
	"strings"
	"testing"

	"github.com/goswale/swale/auth/memauth"
)

// How long an answer takes tells no more than the answer: whatever is wrong
// with a login, one password is hashed.
func TestEveryRefusalIsTheSameWork(t *testing.T) {
	s, err := New(memauth.New(), &Options{
		Issuer: "https://login.example", KeyEncryption: [][]byte{make([]byte, 32)}, Hashing: Hashing{MemoryKiB: 8, Passes: 1},
		Applications: map[string]Application{"customers": {}},
	})
	if err != nil {
		t.Fatal(err)
	}
	const password = "correct horse battery"
	for _, name := range []string{"ada", "off"} {
		if _, err := s.CreateAccount(t.Context(), "customers", name, password); err != nil {
			t.Fatal(err)
		}
	}
	off, err := s.byName(t.Context(), "customers", "off")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Disable(t.Context(), "test", "customers", off.Subject); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateAccount(t.Context(), "customers", "invited", ""); err != nil { // hasn't chosen a password yet
		t.Fatal(err)
	}
	for what, c := range map[string]Credentials{
		"a wrong password":                    {Application: "customers", Name: "ada", Password: "wrong"},
		"an account that is disabled":         {Application: "customers", Name: "off", Password: password},
		"a name that isn't there":             {Application: "customers", Name: "nobody", Password: password},
		"an account without a password":       {Application: "customers", Name: "invited", Password: ""},
		"an application that isn't there":     {Application: "nothing", Name: "ada", Password: password},
		"a name that can't be one":            {Application: "customers", Name: "a b", Password: password},
		"a password that is too long to hash": {Application: "customers", Name: "ada", Password: strings.Repeat("x", maxPassword+1)},
	} {
		before := s.hasher.work.Load()
		if _, err := s.Login(t.Context(), c, Origin{}); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %v", what, err)
		}
		if n := s.hasher.work.Load() - before; n != 1 {
			t.Errorf("%s: %d passwords were hashed, want 1", what, n)
		}
	}
}
