// Package ownertest runs a service that is made with package owner, for its tests:
// at a port, with a bus and a relay, and with an ear on what it announces.
package ownertest

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goswale/swale/bus"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/reference-services/internal/owner"
	"github.com/goswale/swale/reference-services/restaurants"
)

// Service is the service under test.
type Service interface {
	Handler() http.Handler
	Run(ctx context.Context) error
}

// New makes the service under test.
type New func(ctx context.Context, db *sql.DB, b *bus.Bus, opts *owner.Options) (Service, error)

// Patience bounds a wait for what must happen in the end, also on a machine that
// has much else to do.
const Patience = 2 * time.Minute

// API is a running service, and what it announced.
type API struct {
	URL string // without a slash at the end
	Bus *bus.Bus

	mu      sync.Mutex
	notices []bus.Event
	heard   chan struct{} // is closed when there is another notice
}

// Start runs a service at a database of its own.
func Start(t *testing.T, topic string, open New) *API {
	t.Helper()
	return StartAt(t, topic, open, filepath.Join(t.TempDir(), topic+".db"))
}

// StartAt runs a service at the database at path.
func StartAt(t *testing.T, topic string, open New, path string) *API {
	t.Helper()
	a := &API{Bus: membus.New(nil), heard: make(chan struct{})}
	db, err := restaurants.OpenDB(path)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	a.URL = "http://" + server.Listener.Addr().String()
	_, err = a.Bus.Broadcast(t.Context(), topic, bus.BroadcastHandler{Event: func(e bus.Event) {
		if e.Type == "resn.watermark" {
			return
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.notices = append(a.notices, e)
		close(a.heard)
		a.heard = make(chan struct{})
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := open(t.Context(), db, a.Bus, &owner.Options{BaseURL: a.URL})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = s.Handler()
	server.Start()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		server.Close()
		stop()
		if err := <-done; err != nil {
			t.Errorf("the relay ended with %v", err)
		}
		if err := a.Bus.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// Answer is a response whose body was read.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Do sends a request. The url may be a path; a body is JSON unless the header says
// otherwise.
func (a *API) Do(t *testing.T, method, url, body string, header ...string) Answer {
	t.Helper()
	if strings.HasPrefix(url, "/") {
		url = a.URL + url
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return Answer{resp.StatusCode, resp.Header, string(text)}
}

// Make posts to a collection and returns the URL and ETag of what was made.
func (a *API) Make(t *testing.T, collection, body string) (url, tag string) {
	t.Helper()
	made := a.Do(t, http.MethodPost, collection, body)
	url, tag = made.Header.Get("Location"), made.Header.Get("Etag")
	if made.Status != http.StatusCreated || url == "" || tag == "" {
		t.Fatalf("POST %s gave %d %s; want 201 with Location and ETag", collection, made.Status, made.Body)
	}
	return url, tag
}

// Announced waits for a number of notices and returns them all, each as its type,
// path and ETag.
func (a *API) Announced(t *testing.T, n int) []string {
	t.Helper()
	deadline := time.After(Patience)
	for {
		a.mu.Lock()
		got := make([]string, len(a.notices))
		for i, e := range a.notices {
			got[i] = fmt.Sprintf("%s %s %s", strings.TrimPrefix(e.Type, "resn."), strings.TrimPrefix(e.Subject, a.URL), e.Extension("etag"))
		}
		heard := a.heard
		a.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-heard:
		case <-deadline:
			t.Fatalf("waited %v for %d notices, got %q", Patience, n, got)
		}
	}
}
