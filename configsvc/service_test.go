package configsvc_test

import (
	"bytes"
	"context"
	"errors"
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

// service is a configuration service on a socket, with a bus, that can go down.
type service struct {
	t      *testing.T
	store  *store.Store
	sealer *ageseal.Sealer
	broker *membus.Broker
	server *httptest.Server
	h      http.Handler
	log    *logBuffer

	down              atomic.Bool
	asked, unmodified atomic.Int64
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

func startService(t *testing.T) *service {
	t.Helper()
	key, err := ageseal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, broker: membus.NewBroker(), log: &logBuffer{}}
	if s.sealer, err = ageseal.New(key); err != nil {
		t.Fatal(err)
	}
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			panic(http.ErrAbortHandler)
		}
		sw := &statusWriter{w, 200}
		s.h.ServeHTTP(sw, r)
		if r.URL.Path == "/compile" {
			s.asked.Add(1)
			if sw.status == http.StatusNotModified {
				s.unmodified.Add(1)
			}
		}
	}))
	t.Cleanup(s.server.Close)
	s.store = store.New(memconfig.New(), &store.Options{Sealer: s.sealer})
	s.h = server.New(s.store, &server.Options{
		BaseURL: s.server.URL, Bus: s.bus(nil), Logger: slog.New(slog.NewTextHandler(s.log, nil)),
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

// bus connects to the broker.
func (s *service) bus(faults *membus.Faults) *bus.Bus {
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

// client returns a client that polls once an hour, unless told otherwise.
func (s *service) client(who string, change func(*configsvc.ClientOptions)) *configsvc.Client {
	s.t.Helper()
	transport := &http.Transport{}
	s.t.Cleanup(transport.CloseIdleConnections)
	start := patience
	if s.down.Load() {
		start = 200 * time.Millisecond
	}
	opts := &configsvc.ClientOptions{
		HTTP: &http.Client{Transport: signed{transport, who}, Timeout: patience}, Bus: s.bus(nil),
		Poll: time.Hour, StartTimeout: start, Logger: slog.New(slog.NewTextHandler(s.log, nil)), Environ: []string{},
	}
	if change != nil {
		change(opts)
	}
	c, err := configsvc.NewClient(s.server.URL, opts)
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

// request sends a request and returns the status and the body.
func (s *service) request(method, path, body string, fields ...string) (int, string) {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, s.server.URL+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	w := httptest.NewRecorder()
	s.h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// write overwrites a key; an empty text deletes it.
func (s *service) write(key, text string) {
	s.t.Helper()
	body := `{"edits":[{"key":"` + key + `","overwrite":true,"value":` + text + `}]}`
	if text == "" {
		body = `{"edits":[{"key":"` + key + `","overwrite":true,"delete":true}]}`
	}
	if status, answer := s.request("POST", "/changes", body); status != http.StatusCreated {
		s.t.Fatalf("write %s: %d %s", key, status, answer)
	}
}

type settings struct {
	Pool    int                `json:"pool" default:"10" check:"min=1,max=100"`
	Timeout configsvc.Duration `json:"timeout" default:"1s" check:"min=10ms"`
	Log     string             `json:"log" default:"info" check:"oneof=debug|info|warn"`
	Hosts   []string           `json:"hosts"`
	DB      struct {
		Host     string `json:"host" default:"localhost"`
		Password string `json:"password"`
	} `json:"db"`
	Even *int `json:"even"`
}

func (s *settings) Validate() error {
	if s.Even != nil && *s.Even%2 != 0 {
		return errors.New("even is odd")
	}
	if s.DB.Password == "hunter2-bad" {
		return errors.New("the password " + s.DB.Password + " is bad")
	}
	return nil
}

func watch[T any](t *testing.T, c *configsvc.Client, keys ...string) *configsvc.Watcher[T] {
	t.Helper()
	w, err := configsvc.Watch[T](t.Context(), c, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// patience bounds a wait for what must happen in the end, also on a machine that
// has much else to do.
const patience = 2 * time.Minute

// eventually waits for what nothing announces.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatal("timed out waiting for " + what)
		}
	}
}
