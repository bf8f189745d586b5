package auth_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/auth"
	"github.com/goswale/swale/auth/login"
	"github.com/goswale/swale/auth/memauth"
)

// A key is known to every verifier before it signs, and until the last token
// that it signed has expired: no request fails through many rotations.
func TestKeyRotationRefusesNobody(t *testing.T) {
	for _, algorithm := range []string{auth.EdDSA, auth.ES256} {
		t.Run(algorithm, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := start(t, func(o *login.Options) {
					o.Algorithm = algorithm
					o.RotateEvery, o.RotateLead = 20*time.Minute, 5*time.Minute
				}, nil)
				_, session := s.account(t, "ada")
				ctx, cancel := contextWithCancel(t)
				var group sync.WaitGroup
				group.Go(func() { _ = s.login.Run(ctx) })
				keys := map[string]bool{}
				var recent []string
				for range 6 * 60 { // three hours
					token := s.token(t, session)
					keys[kidOf(t, token)] = true
					recent = append(recent, token)
					if len(recent) > 8 {
						recent = recent[1:]
					}
					for _, one := range recent {
						want(t, s, one, true, "a token that has not expired")
					}
					time.Sleep(30 * time.Second)
				}
				cancel()
				group.Wait()
				if len(keys) < 8 || len(keys) > 12 {
					t.Errorf("%d keys signed in three hours, with one every 20 minutes", len(keys))
				}
				if n := s.net.count("/jwks.json"); n > 60 {
					t.Errorf("the issuer was asked %d times for its keys", n)
				}
			})
		})
	}
}

// A key that is made by hand is published before it signs, too.
func TestARotationByHandGivesNotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, func(o *login.Options) { o.RotateLead = 10 * time.Minute }, nil)
		_, session := s.account(t, "ada")
		before := kidOf(t, s.token(t, session))
		if err := s.login.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if kid := kidOf(t, s.token(t, session)); kid != before {
			t.Error("the new key signs before anybody can know it")
		}
		time.Sleep(11 * time.Minute)
		token := s.token(t, session)
		if kidOf(t, token) == before {
			t.Error("the new key doesn't sign")
		}
		want(t, s, token, true, "a token that the new key has signed")
	})
}

// Several processes turn to the same next key.
func TestProcessesAgreeOnKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memauth.New()
		ctx, cancel := contextWithCancel(t)
		defer cancel()
		var group sync.WaitGroup
		var all []*login.Service
		for range 5 {
			s, err := login.New(store, &login.Options{
				Issuer: issuer, KeyEncryption: [][]byte{make([]byte, 32)}, Hashing: cheap,
				Applications: map[string]login.Application{"customers": {}},
				RotateEvery:  time.Hour, RotateLead: 10 * time.Minute,
			})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, s)
			group.Go(func() { _ = s.Run(ctx) })
		}
		for range 4 {
			time.Sleep(time.Hour)
			synctest.Wait()
			kids := map[string]bool{}
			for _, s := range all {
				if err := s.SetGrants(t.Context(), "test", auth.Grants{Grants: []auth.Grant{{Service: "*", May: []string{"x"}}}}); err != nil {
					t.Fatal(err)
				}
				token, err := s.ServiceToken(t.Context(), "shop", audience)
				if err != nil {
					t.Fatal(err)
				}
				kids[kidOf(t, token.Access)] = true
			}
			if len(kids) != 1 {
				t.Errorf("five processes sign with %d keys at the same time", len(kids))
			}
		}
		cancel()
		group.Wait()
	})
}

func TestARevokedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil, nil)
		_, session := s.account(t, "ada")
		token := s.token(t, session)
		want(t, s, token, true, "a token")
		if err := s.login.RevokeKey(t.Context(), "test", kidOf(t, token)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := s.verifier.Verify(t.Context(), token); !errors.Is(err, auth.ErrToken) {
			t.Errorf("a token that a revoked key has signed, and that had been verified: %v", err)
		}
		next := s.token(t, session)
		if kidOf(t, next) == kidOf(t, token) {
			t.Fatal("the revoked key still signs")
		}
		time.Sleep(6 * time.Second) // an unknown id has the issuer asked not more often
		want(t, s, next, true, "a token that the next key has signed")
	})
}

func TestKeysAreStoredEncrypted(t *testing.T) {
	store := memauth.New()
	open := func(keys ...byte) error {
		var secrets [][]byte
		for _, k := range keys {
			b := make([]byte, 32)
			b[0] = k
			secrets = append(secrets, b)
		}
		s, err := login.New(store, &login.Options{Issuer: issuer, KeyEncryption: secrets, Applications: map[string]login.Application{"x": {}}})
		if err != nil {
			return err
		}
		_, err = s.ServiceToken(t.Context(), "shop", audience)
		return err
	}
	if err := open(1); err != nil {
		t.Fatal(err)
	}
	if err := open(2); err == nil {
		t.Error("keys open under another secret")
	}
	if err := open(2, 1); err != nil {
		t.Errorf("while the secret is being changed: %v", err)
	}
	if err := open(); err == nil {
		t.Error("no secret is accepted")
	}
}
