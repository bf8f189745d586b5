package servertest

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/configsvc"
	"github.com/goswale/swale/configsvc/ageseal"
	"github.com/goswale/swale/configsvc/memconfig"
	"github.com/goswale/swale/configsvc/server"
	"github.com/goswale/swale/configsvc/store"
)

// patience bounds what must happen in the end.
const patience = 2 * time.Minute

// Service is a configuration service in memory, on a socket and with a bus, that can
// go down: for tests of what reads configuration. Who asks is who Basic
// authentication says. Everybody may read, write and report, and "trusted" may see
// secrets. It ends with the test.
type Service struct {
	// URL is where it is.
	URL string
	// Sealer seals its secrets.
	Sealer *ageseal.Sealer
	// Asked and Unmodified count the questions for a configuration, and those that
	// were answered by 304.
	Asked, Unmodified atomic.Int64

	t      *testing.T
	broker *membus.Broker
	h      http.Handler
	log    logBuffer
	down   atomic.Bool
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Start starts one.
func Start(t *testing.T) *Service {
	t.Helper()
	key, err := ageseal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	s := &Service{t: t, broker: membus.NewBroker()}
	if s.Sealer, err = ageseal.New(key); err != nil {
		t.Fatal(err)
	}
	socket := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			panic(http.ErrAbortHandler)
		}
		sw := &statusWriter{w, 200}
		s.h.ServeHTTP(sw, r)
		if r.URL.Path == "/compile" {
			s.Asked.Add(1)
			if sw.status == http.StatusNotModified {
				s.Unmodified.Add(1)
			}
		}
	}))
	t.Cleanup(socket.Close)
	s.URL = socket.URL
	s.h = server.New(store.New(memconfig.New(), &store.Options{Sealer: s.Sealer}), &server.Options{
		BaseURL: s.URL, Bus: s.Bus(nil), Logger: s.Logger(),
		Identify: func(r *http.Request) (string, error) {
			if who, _, ok := r.BasicAuth(); ok {
				return who, nil
			}
			return "anybody", nil
		},
		Allow: server.Grants{
			{Who: "*", Action: server.Read}, {Who: "*", Action: server.Report}, {Who: "*", Action: server.Write}, {Who: "trusted", Action: server.Reveal},
		}.Allow,
	})
	return s
}

// SetDown has it answer nobody, or again.
func (s *Service) SetDown(down bool) { s.down.Store(down) }

// Logger is the service's, and its clients': what it is told is in Log.
func (s *Service) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(&s.log, nil)) }

// Log returns what was logged.
func (s *Service) Log() string { return s.log.String() }

// Bus connects to the service's bus, whose faults, if any, are the caller's.
func (s *Service) Bus(faults *membus.Faults) *bus.Bus {
	s.t.Helper()
	var opts *membus.Options
	if faults != nil {
		opts = &membus.Options{Faults: faults}
	}
	b := s.broker.Connect(opts)
	s.t.Cleanup(func() { _ = b.Shutdown(context.Background()) })
	return b
}

type signed struct {
	http.RoundTripper
	who string
}

func (s signed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.SetBasicAuth(s.who, "")
	return s.RoundTripper.RoundTrip(r)
}

// Client returns a client of somebody that hears of changes by the bus and polls once
// an hour, unless change says otherwise.
func (s *Service) Client(who string, change func(*configsvc.ClientOptions)) *configsvc.Client {
	s.t.Helper()
	transport := &http.Transport{}
	s.t.Cleanup(transport.CloseIdleConnections)
	start := patience
	if s.down.Load() {
		start = 200 * time.Millisecond
	}
	opts := &configsvc.ClientOptions{
		HTTP: &http.Client{Transport: signed{transport, who}, Timeout: patience}, Bus: s.Bus(nil),
		Poll: time.Hour, StartTimeout: start, Logger: s.Logger(), Environ: []string{},
	}
	if change != nil {
		change(opts)
	}
	c, err := configsvc.NewClient(s.URL, opts)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			s.t.Errorf("Close: %v", err)
		}
	})
	return c
}

// Request sends a request, also while the service is down, and returns the status and
// the body.
func (s *Service) Request(method, path, body string, fields ...string) (int, string) {
	s.t.Helper()
	r := httptest.NewRequestWithContext(context.WithoutCancel(s.t.Context()), method, s.URL+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	w := httptest.NewRecorder()
	s.h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// Write overwrites a key; an empty text deletes it.
func (s *Service) Write(key, text string) {
	s.t.Helper()
	body := `{"edits":[{"key":"` + key + `","overwrite":true,"value":` + text + `}]}`
	if text == "" {
		body = `{"edits":[{"key":"` + key + `","overwrite":true,"delete":true}]}`
	}
	if status, answer := s.Request("POST", "/changes", body); status != http.StatusCreated {
		s.t.Fatalf("write %s: %d %s", key, status, answer)
	}
}
