package auth_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/auth"
	"github.com/goswale/swale/resn"
)

func TestRevocationArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil, nil)
		ada, session := s.account(t, "ada")
		other, otherSession := s.account(t, "bo")
		token, kept := s.token(t, session), s.token(t, otherSession)
		want(t, s, token, true, "a token that was just issued")
		want(t, s, kept, true, "a token that was just issued")

		if err := s.login.EndSession(t.Context(), "test", session.Session.ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want(t, s, token, false, "a token of a session that was ended, which had been verified before")
		want(t, s, kept, true, "a token of another account")
		if n := s.verifier.State().Revoked; n == 0 {
			t.Error("the state doesn't count what was revoked")
		}
		if _, err := s.login.Exchange(t.Context(), session.Token, audience); err == nil {
			t.Error("a session that was ended still gives tokens")
		}
		again := s.logIn(t, "ada")
		want(t, s, s.token(t, again), true, "a token of the same account's next session")

		if err := s.login.Disable(t.Context(), "test", other.Application, other.Subject); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want(t, s, kept, false, "a token of an account that was disabled")
		_ = ada
	})
}

// A token that was never verified here before is refused just the same.
func TestRevocationIsRememberedForTokensNotSeenYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil, nil)
		_, session := s.account(t, "ada")
		token := s.token(t, session)
		if err := s.login.EndSession(t.Context(), "test", session.Session.ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want(t, s, token, false, "a token of a session that was ended")
		time.Sleep(4 * time.Minute)
		want(t, s, token, false, "the same token, later")
	})
}

func TestRoleChangeReachesRenewedTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil, nil)
		a, session := s.account(t, "ada", "staff")
		token := s.token(t, session)
		if c := want(t, s, token, true, "a token"); !c.Allows("orders:refund") || !c.HasRole("staff") {
			t.Errorf("the token doesn't say what the role gives: %+v", c)
		}
		for i, roles := range [][]string{{}, {"staff"}, {}} {
			before := s.token(t, session)
			want(t, s, before, true, "a token from before a change")
			if err := s.login.SetRoles(t.Context(), "test", a.Application, a.Subject, roles); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			want(t, s, before, false, "a token from before the roles changed")
			// At once, without waiting for the clock to get on.
			c := want(t, s, s.token(t, session), true, "a token from after the roles changed")
			if c == nil || !slices.Equal(c.Roles, roles) && len(c.Roles)+len(roles) > 0 || c.Allows("orders:refund") != (len(roles) > 0) {
				t.Errorf("change %d: the renewed token says %+v, the roles are %q", i, c, roles)
			}
		}
	})
}

func TestStrictScopesFailClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil, &auth.VerifierOptions{Strict: []string{"orders:refund"}})
		_, session := s.account(t, "ada", "staff")
		time.Sleep(2 * time.Second)
		token := s.token(t, session)
		claims := want(t, s, token, true, "a token")
		if err := s.verifier.Fresh(claims); err != nil {
			t.Errorf("while the topic is live: %v", err)
		}
		if mode := s.verifier.State().Mode; mode != "revocations are in force" {
			t.Errorf("mode %q", mode)
		}

		if err := s.publisher.Close(t.Context()); err != nil { // the issuer falls silent
			t.Fatal(err)
		}
		time.Sleep(resn.DefaultLease + time.Second)
		if err := s.verifier.Fresh(claims); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("while nothing is heard: %v, want ErrUnavailable", err)
		}
		want(t, s, token, true, "a token while nothing is heard: it lives for its lifetime")
		if st := s.verifier.State(); st.Live || st.Mode != "tokens live for their lifetime, strict scopes are refused" || st.Reason == "" {
			t.Errorf("the mode isn't shown: %+v", st)
		}

		again, err := resn.NewPublisher(s.bus, "sessions", &resn.PublisherOptions{Unowned: true}) // another epoch
		if err != nil {
			t.Fatal(err)
		}
		s.publisher = again
		synctest.Wait()
		if err := s.verifier.Fresh(claims); !errors.Is(err, auth.ErrToken) {
			t.Errorf("a token from before the gap may have been revoked in it: %v, want ErrToken", err)
		}
		time.Sleep(2 * time.Second)
		renewed := want(t, s, s.token(t, session), true, "a token from after the gap")
		if err := s.verifier.Fresh(renewed); err != nil {
			t.Errorf("a token from after the gap: %v", err)
		}
	})
}

// Only the issuer's own sessions and accounts are believed, and a notice can't
// reach into the future.
func TestForgedNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil, nil)
		a, session := s.account(t, "ada")
		token := s.token(t, session)
		publish := func(e resn.Event) {
			t.Helper()
			e.Topic = "sessions"
			if err := s.bus.Publish(t.Context(), "sessions", e.CloudEvent("/forger")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		publish(resn.Event{Type: resn.Delete, Href: "https://evil.example/sessions/" + session.Session.ID})
		publish(resn.Event{Type: resn.Create, Href: auth.SessionHref(issuer, session.Session.ID)})
		publish(resn.Event{Type: resn.Noop, Href: auth.SessionHref(issuer, session.Session.ID)})
		want(t, s, token, true, "after notices that say nothing about it")
		publish(resn.Event{Type: resn.Update, Href: auth.AccountHref(issuer, a.Application, a.Subject), Time: time.Now().Add(24 * time.Hour)})
		want(t, s, token, false, "after a notice about its account")
		time.Sleep(2 * time.Second)
		want(t, s, s.token(t, session), true, "a token from after a notice that claims to be from tomorrow")
	})
}

// When more is revoked than is remembered, every token has to be renewed: none
// is accepted that may have been revoked.
func TestTooManyRevocationsRefuseEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, nil, &auth.VerifierOptions{MaxTokens: 16})
		_, session := s.account(t, "ada")
		token := s.token(t, session)
		want(t, s, token, true, "a token")
		for range 40 {
			if err := s.login.EndSession(t.Context(), "test", s.logIn(t, "ada").Session.ID); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		want(t, s, token, false, "a token that may have been revoked")
		time.Sleep(time.Second)
		want(t, s, s.token(t, session), true, "one that was issued since")
	})
}

// want verifies a token and says which rule is broken when the outcome isn't
// that.
func want(t *testing.T, s *system, token string, ok bool, what string) *auth.Claims {
	t.Helper()
	c, err := s.verifier.Verify(t.Context(), token)
	switch {
	case ok && err != nil:
		t.Errorf("%s is to be accepted: %v", what, err)
	case !ok && err == nil:
		t.Errorf("%s is to be refused", what)
	case !ok && !errors.Is(err, auth.ErrToken):
		t.Errorf("%s: %v, want ErrToken", what, err)
	}
	return c
}
