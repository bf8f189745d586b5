package auth_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/auth"
	"github.com/goswale/swale/resn"
)

// Whoever is told of a revocation finds the tokens that it concerns refused
// already, and no others named.
func TestWhoeverIsToldOfARevocationFindsItInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []auth.Revocation
		refused := map[string]bool{}
		var s *system
		var mine, others string
		s = start(t, nil, &auth.VerifierOptions{OnRevoked: func(r auth.Revocation) {
			told = append(told, r)
			for _, token := range []string{mine, others} {
				_, err := s.verifier.Verify(context.Background(), token) // the test's may have ended
				refused[token] = err != nil
			}
		}})
		_, session := s.account(t, "ada")
		other, otherSession := s.account(t, "bo")
		mine, others = s.token(t, session), s.token(t, otherSession)
		myClaims := want(t, s, mine, true, "a token that was just issued")
		otherClaims := want(t, s, others, true, "a token that was just issued")
		if len(told) > 0 {
			t.Fatalf("told of %+v, and nothing was revoked", told)
		}

		steps := []struct {
			what       string
			do         func(context.Context) error
			mine, them bool // concerned by it
		}{
			{"the end of a session", func(ctx context.Context) error {
				return s.login.EndSession(ctx, "test", session.Session.ID)
			}, true, false},
			{"a role that is taken", func(ctx context.Context) error {
				return s.login.SetRoles(ctx, "test", other.Application, other.Subject, []string{"staff"})
			}, false, true},
		}
		for _, step := range steps {
			told = nil
			if err := step.do(t.Context()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if len(told) != 1 {
				t.Fatalf("%s: told of %+v, want one", step.what, told)
			}
			if got := told[0].Concerns(myClaims); got != step.mine {
				t.Errorf("%s: %+v concerns the first token: %t", step.what, told[0], got)
			}
			if got := told[0].Concerns(otherClaims); got != step.them {
				t.Errorf("%s: %+v concerns the second token: %t", step.what, told[0], got)
			}
			if step.mine && !refused[mine] || step.them && !refused[others] {
				t.Errorf("%s: the token was still accepted when OnRevoked was called", step.what)
			}
		}
		if refused[others] != true || told[0].Concerns(want(t, s, s.token(t, otherSession), true, "a renewed token")) {
			t.Errorf("%+v concerns a token that was issued after it", told[0])
		}
	})
}

// Notices that refuse nothing aren't told of, and one about nobody is about
// nobody.
func TestWhatRefusesNothingIsNotARevocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []auth.Revocation
		s := start(t, nil, &auth.VerifierOptions{OnRevoked: func(r auth.Revocation) { told = append(told, r) }})
		_, session := s.account(t, "ada")
		claims := want(t, s, s.token(t, session), true, "a token")
		for _, e := range []resn.Event{
			{Type: resn.Create, Href: auth.SessionHref(issuer, session.Session.ID)},
			{Type: resn.Noop, Href: auth.SessionHref(issuer, session.Session.ID)},
			{Type: resn.Update, Href: issuer + "/jwks.json"},
			{Type: resn.Delete, Href: "https://evil.example/sessions/" + session.Session.ID},
			{Type: resn.Delete, Href: issuer + auth.AccountPath},
			{Type: resn.Delete, Href: issuer + auth.SessionPath},
		} {
			e.Topic = "sessions"
			if err := s.bus.Publish(t.Context(), "sessions", e.CloudEvent("/login")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if slices.ContainsFunc(told, func(r auth.Revocation) bool { return r.Concerns(claims) || r.Concerns(nil) }) {
			t.Errorf("told of %+v, which concern %+v", told, claims)
		}
	})
}

func TestWhenTooMuchIsRevokedEverybodyIsConcerned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		everybody := 0
		var claims *auth.Claims
		s := start(t, nil, &auth.VerifierOptions{MaxTokens: 4, OnRevoked: func(r auth.Revocation) {
			if r.Everybody {
				everybody++
				if !r.Concerns(claims) {
					t.Errorf("%+v doesn't concern %+v", r, claims)
				}
			}
		}})
		_, session := s.account(t, "ada")
		claims = want(t, s, s.token(t, session), true, "a token")
		for range 5 {
			if err := s.login.EndSession(t.Context(), "test", s.logIn(t, "ada").Session.ID); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if everybody != 1 {
			t.Errorf("told %d times that everybody has to renew, want once", everybody)
		}
	})
}

// A handler that streams ends a stream when the session behind it ends.
func ExampleVerifierOptions_onRevoked() {
	type stream struct {
		claims *auth.Claims
		end    context.CancelFunc
	}
	ctx, end := context.WithCancel(context.Background())
	defer end()
	open := []stream{{&auth.Claims{Session: "s1", IssuedAt: time.Now()}, end}} // behind a mutex, and kept by the handler

	opts := &auth.VerifierOptions{OnRevoked: func(r auth.Revocation) {
		for _, one := range open {
			if r.Concerns(one.claims) {
				one.end()
			}
		}
	}}
	opts.OnRevoked(auth.Revocation{Session: "s1", Until: time.Now().Add(time.Hour)}) // a verifier does so
	fmt.Println(ctx.Err())
	// Output: context canceled
}
