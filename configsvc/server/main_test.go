package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/configsvc/ageseal"
	"github.com/goswale/swale/configsvc/memconfig"
	"github.com/goswale/swale/configsvc/server"
	"github.com/goswale/swale/configsvc/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is a configuration service with a bus. Requests say who sends them by
// the user of basic authentication.
type service struct {
	t     *testing.T
	h     *server.Handler
	store *store.Store
	bus   *bus.Bus
	log   *lockedBuffer

	mu  sync.Mutex
	now time.Time
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var grants = server.Grants{
	{Who: "*", Action: server.Read},
	{Who: "*", Action: server.Report},
	{Who: "root", Action: server.Write},
	{Who: "root", Action: server.Write, Prefix: "_schemas"},
	{Who: "ada", Action: server.Write, Prefix: "base/order"},
	{Who: "orders", Action: server.Reveal, Prefix: "base"},
}

func start(t *testing.T, change func(*server.Options)) *service {
	t.Helper()
	s := &service{t: t, log: &lockedBuffer{}, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	key, err := ageseal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := ageseal.New(key)
	if err != nil {
		t.Fatal(err)
	}
	s.bus = membus.New(nil)
	t.Cleanup(func() { _ = s.bus.Shutdown(context.Background()) })
	s.store = store.New(memconfig.New(), &store.Options{Sealer: sealer, Clock: s.clock})
	opts := &server.Options{
		BaseURL: "http://config.example/api", Bus: s.bus, Allow: grants.Allow, Clock: s.clock,
		Logger: slog.New(slog.NewTextHandler(s.log, nil)),
		Identify: func(r *http.Request) (string, error) {
			who, _, ok := r.BasicAuth()
			if !ok {
				return "", errors.New("nobody")
			}
			return who, nil
		},
	}
	if change != nil {
		change(opts)
	}
	s.h = server.New(s.store, opts)
	return s
}

func (s *service) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *service) later(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// answer is a response that was read.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) etag() string { return a.header.Get("Etag") }

// ask sends a request. Fields are name, value, name, value….
func (s *service) ask(who, method, path, body string, fields ...string) answer {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, "http://config.example/api"+path, strings.NewReader(body))
	if who != "" {
		r.SetBasicAuth(who, "")
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	w := httptest.NewRecorder()
	s.h.ServeHTTP(w, r)
	text, err := io.ReadAll(w.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{w.Code, w.Header(), string(text)}
}

// expect is ask for one status.
func (s *service) expect(status int, who, method, path, body string, fields ...string) answer {
	s.t.Helper()
	a := s.ask(who, method, path, body, fields...)
	if a.status != status {
		s.t.Fatalf("%s %s by %s: status %d, want %d: %s", method, path, who, a.status, status, a.body)
	}
	return a
}

// put creates or overwrites a key as root.
func (s *service) put(key, value string) answer {
	s.t.Helper()
	condition := []string{"If-None-Match", "*"}
	if a := s.ask("root", "GET", "/keys/"+key, ""); a.status == http.StatusOK {
		condition = []string{"If-Match", a.etag()}
	}
	a := s.ask("root", "PUT", "/keys/"+key, value, condition...)
	if a.status != http.StatusOK && a.status != http.StatusCreated {
		s.t.Fatalf("PUT %s: status %d: %s", key, a.status, a.body)
	}
	return a
}

func decode[T any](t *testing.T, a answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	return v
}
