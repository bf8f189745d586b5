package rows

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/goswale/swale/auth"
	"github.com/goswale/swale/auth/login"
	"github.com/goswale/swale/auth/memauth"
	"github.com/goswale/swale/benchmarks/internal/ratio"
	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

const (
	authIssuer   = "https://login.example"
	authAudience = "https://orders.example"
	authPassword = "correct horse battery"
)

func authRows() []ratio.Row {
	rows := []ratio.Row{
		{
			Name: "auth.verify_first.vs_ed25519", Unit: "x", Bound: ratio.AtMost(1.2),
			Note: "p50 of a token that wasn't seen before verified, all claims checked, against the bare check of such a token's signature, in turns",
			Open: openVerifyFirst,
		},
		verifyCached("auth.verify_cached.ns", "ns", ratio.AtMost(600), ratio.PerOp),
		verifyCached("auth.verify_cached.allocs", "allocs", ratio.AtMost(1), ratio.Allocs),
		{
			Name: "auth.login.share_of_argon2id", Unit: "x", Bound: ratio.AtLeast(0.9),
			Note: "argon2id of 19 MiB in two passes, against a whole login with the same parameters",
			Open: openLogin,
		},
	}
	return append(rows, revocationRows()...)
}

// authSystem is a login service, and as many verifiers as are wanted.
type authSystem struct {
	closing
	publisher *resn.Publisher
	login     *login.Service
	verifiers []*auth.Verifier
	account   login.Account
}

// authOptions are those of a login service, without what announces its changes.
func authOptions() *login.Options {
	return &login.Options{
		Issuer: authIssuer, KeyEncryption: [][]byte{make([]byte, 32)}, Hashing: cheapHashing,
		Applications: map[string]login.Application{"customers": {
			Audiences: []string{authAudience}, Scopes: map[string][]string{"": {"orders:read", "orders:write"}},
		}},
	}
}

// inProcess calls a handler.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, req)
	resp := w.Result()
	resp.Request = req
	return resp, nil
}

// newAuthSystem announces on one bus and verifies on the other; they lead to
// one broker.
func newAuthSystem(ctx context.Context, from, to *bus.Bus, verifiers int, hashing login.Hashing) (s *authSystem, err error) {
	s = &authSystem{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.publisher, err = resn.NewPublisher(from, "sessions", &resn.PublisherOptions{Unowned: true}); err != nil {
		return nil, err
	}
	s.add(func() { _ = s.publisher.Close(context.WithoutCancel(ctx)) })
	opts := authOptions()
	opts.Publisher, opts.Hashing = s.publisher, hashing
	if s.login, err = login.New(memauth.New(), opts); err != nil {
		return nil, err
	}
	if s.account, err = s.login.CreateAccount(ctx, "customers", "ada", authPassword, "courier"); err != nil {
		return nil, err
	}
	for range verifiers {
		if err := s.verifier(ctx, to, nil); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *authSystem) verifier(ctx context.Context, b *bus.Bus, opts *auth.VerifierOptions) error {
	o := auth.VerifierOptions{}
	if opts != nil {
		o = *opts
	}
	o.Transport = inProcess{s.login.Handler(nil)}
	v, err := auth.NewVerifier(b, authIssuer, authAudience, &o)
	if err != nil {
		return err
	}
	s.add(func() { _ = v.Close(context.WithoutCancel(ctx)) })
	s.verifiers = append(s.verifiers, v)
	return v.Ready(ctx)
}

// newLocalSystem is a system on a bus in memory.
func newLocalSystem(ctx context.Context, verifiers int, hashing login.Hashing) (*authSystem, error) {
	b := membus.New(nil)
	s, err := newAuthSystem(ctx, b, b, verifiers, hashing)
	if err != nil {
		_ = b.Shutdown(ctx)
		return nil, err
	}
	// Last opened is first closed.
	inner := s.closing
	s.closing = closing{}
	s.add(func() { _ = b.Shutdown(context.WithoutCancel(ctx)) })
	s.add(inner.close)
	return s, nil
}

func (s *authSystem) session(ctx context.Context) (*login.Login, error) {
	return s.login.Login(ctx, login.Credentials{Application: "customers", Name: "ada", Password: authPassword},
		login.Origin{Address: netip.MustParseAddr("192.0.2.1")})
}

// cheapHashing is for figures that aren't about passwords.
var cheapHashing = login.Hashing{MemoryKiB: 8, Passes: 1}

// openVerifyFirst verifies tokens of a ring that is longer than what the
// verifier remembers, so that each is new to it.
func openVerifyFirst(ctx context.Context) (round func() (float64, error), closer func(), err error) {
	s, err := newLocalSystem(ctx, 0, cheapHashing)
	if err != nil {
		return nil, nil, err
	}
	closer = s.close
	if err := s.verifier(ctx, nil, &auth.VerifierOptions{MaxTokens: 16}); err != nil {
		closer()
		return nil, nil, err
	}
	v := s.verifiers[0]
	session, err := s.session(ctx)
	if err != nil {
		closer()
		return nil, nil, err
	}
	tokens := make([]string, 512)
	for i := range tokens {
		t, err := s.login.Exchange(ctx, session.Token, authAudience)
		if err != nil {
			closer()
			return nil, nil, err
		}
		tokens[i] = t.Access
	}
	signed, err := s.signatures(ctx, tokens)
	if err != nil {
		closer()
		return nil, nil, err
	}
	i, j := 0, 0
	ours := func() error {
		i++
		_, err := v.Verify(ctx, tokens[i%len(tokens)])
		return err
	}
	bare := func() error {
		j++
		one := &signed[j%len(signed)]
		if !ed25519.Verify(one.public, one.text, one.signature) {
			return errors.New("the signature isn't right")
		}
		return nil
	}
	versus := ratio.Quantile(0.5, 1000, ours, bare)
	return func() (float64, error) {
		before := v.State()
		got, err := versus()
		if after := v.State(); after.Cached-before.Cached > (after.Verified-before.Verified)/100 {
			return 0, fmt.Errorf("%d tokens were remembered, %d verified", after.Cached-before.Cached, after.Verified-before.Verified)
		}
		return got, err
	}, closer, nil
}

// signature is what of a token is signed, with what, and by whom.
type signature struct {
	public          ed25519.PublicKey
	text, signature []byte
}

// signatures takes tokens apart. How long a check takes depends on the bytes, and
// on whether the processor has just seen the same ones: the bare check has the
// bytes of every token.
func (s *authSystem) signatures(ctx context.Context, tokens []string) ([]signature, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, authIssuer+"/jwks.json", nil)
	if err != nil {
		return nil, err
	}
	resp, err := inProcess{s.login.Handler(nil)}.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var set struct{ Keys []auth.JWK }
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil {
		return nil, err
	}
	if len(set.Keys) == 0 {
		return nil, errors.New("the issuer has no key")
	}
	public, _, err := set.Keys[0].Public()
	if err != nil {
		return nil, err
	}
	key, ok := public.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("the issuer's key is a %T", public)
	}
	all := make([]signature, len(tokens))
	for i, token := range tokens {
		dot := strings.LastIndexByte(token, '.')
		sum, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
		if err != nil {
			return nil, err
		}
		all[i] = signature{key, []byte(token[:dot]), sum}
	}
	return all, nil
}

func verifyCached(name, unit string, bound ratio.Bound, measure func(ratio.Op) (float64, error)) ratio.Row {
	return ratio.Row{
		Name: name, Unit: unit, Bound: bound, Note: "a token that was verified before, with revocations known",
		Open: func(ctx context.Context) (func() (float64, error), func(), error) {
			s, err := newLocalSystem(ctx, 1, cheapHashing)
			if err != nil {
				return nil, nil, err
			}
			closer := s.close
			ended, err := s.session(ctx)
			if err == nil {
				err = s.login.EndSession(ctx, "", ended.Session.ID)
			}
			session, serr := s.session(ctx)
			if err = errors.Join(err, serr); err != nil {
				closer()
				return nil, nil, err
			}
			t, err := s.login.Exchange(ctx, session.Token, authAudience)
			if err != nil {
				closer()
				return nil, nil, err
			}
			op := func() error { _, err := s.verifiers[0].Verify(ctx, t.Access); return err }
			return func() (float64, error) { return measure(op) }, closer, op()
		},
	}
}

func openLogin(ctx context.Context) (round func() (float64, error), closer func(), err error) {
	s, err := newLocalSystem(ctx, 0, login.Hashing{})
	if err != nil {
		return nil, nil, err
	}
	closer = s.close
	salt := make([]byte, 16)
	hash := func() error {
		argon2.IDKey([]byte(authPassword), salt, 2, 19<<10, 1, 32)
		return nil
	}
	whole := func() error { _, err := s.session(ctx); return err }
	return ratio.Versus(hash, whole), closer, whole()
}
