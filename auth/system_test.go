package auth_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/goswale/swale/auth"
	"github.com/goswale/swale/auth/login"
	"github.com/goswale/swale/auth/memauth"
	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

const (
	issuer   = "https://login.example"
	audience = "https://orders.example"
	password = "correct horse battery"
)

// here is an http.RoundTripper that calls a handler, so that a system fits into
// a synctest bubble.
type here struct {
	mu      sync.Mutex
	handler http.Handler
	asked   map[string]int
	down    bool
}

func (h *here) RoundTrip(req *http.Request) (*http.Response, error) {
	h.mu.Lock()
	if h.asked == nil {
		h.asked = map[string]int{}
	}
	h.asked[req.URL.Path]++
	handler, down := h.handler, h.down
	h.mu.Unlock()
	if down {
		return nil, http.ErrServerClosed
	}
	w := httptest.NewRecorder()
	in := req.Clone(req.Context())
	in.RequestURI = req.URL.RequestURI()
	in.RemoteAddr = "192.0.2.1:1234"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	handler.ServeHTTP(w, in)
	resp := w.Result()
	resp.Request = req
	return resp, nil
}

func (h *here) count(path string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked[path]
}

// system is a login service, a verifier, and a bus between them. It runs in a
// synctest bubble.
type system struct {
	bus       *bus.Bus
	publisher *resn.Publisher
	login     *login.Service
	net       *here
	verifier  *auth.Verifier
}

// cheap is an argon2id that tests can afford.
var cheap = login.Hashing{MemoryKiB: 8, Passes: 1}

func start(t *testing.T, change func(*login.Options), opts *auth.VerifierOptions) *system {
	t.Helper()
	s := &system{bus: membus.New(nil), net: &here{}}
	var err error
	if s.publisher, err = resn.NewPublisher(s.bus, "sessions", &resn.PublisherOptions{Unowned: true}); err != nil {
		t.Fatal(err)
	}
	o := &login.Options{
		Issuer: issuer, KeyEncryption: [][]byte{make([]byte, 32)}, Hashing: cheap, Publisher: s.publisher,
		Applications: map[string]login.Application{"customers": {
			Audiences: []string{audience},
			Scopes:    map[string][]string{"": {"orders:read"}, "staff": {"orders:*"}},
		}},
	}
	if change != nil {
		change(o)
	}
	if s.login, err = login.New(memauth.New(), o); err != nil {
		t.Fatal(err)
	}
	s.net.handler = s.login.Handler(nil)
	s.verifier = s.verify(t, opts)
	t.Cleanup(func() {
		ctx := context.Background() // the test's has ended
		_ = s.verifier.Close(ctx)
		_ = s.publisher.Close(ctx)
		_ = s.bus.Shutdown(ctx)
	})
	if err := s.verifier.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // the first watermark
	synctest.Wait()
	return s
}

// verify returns one more verifier.
func (s *system) verify(t *testing.T, opts *auth.VerifierOptions) *auth.Verifier {
	t.Helper()
	o := auth.VerifierOptions{}
	if opts != nil {
		o = *opts
	}
	o.Transport = s.net
	v, err := auth.NewVerifier(s.bus, issuer, audience, &o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// account creates an account and logs in to it.
func (s *system) account(t *testing.T, name string, roles ...string) (login.Account, *login.Login) {
	t.Helper()
	a, err := s.login.CreateAccount(t.Context(), "customers", name, password, roles...)
	if err != nil {
		t.Fatal(err)
	}
	return a, s.logIn(t, name)
}

func (s *system) logIn(t *testing.T, name string) *login.Login {
	t.Helper()
	l, err := s.login.Login(t.Context(), login.Credentials{Application: "customers", Name: name, Password: password},
		login.Origin{Address: netip.MustParseAddr("192.0.2.7"), Device: "a test"})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (s *system) token(t *testing.T, l *login.Login, scopes ...string) string {
	t.Helper()
	token, err := s.login.Exchange(t.Context(), l.Token, audience, scopes...)
	if err != nil {
		t.Fatal(err)
	}
	return token.Access
}

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}

func kidOf(t *testing.T, token string) string {
	t.Helper()
	parsed, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	kid, _ := parsed.Header["kid"].(string)
	return kid
}
