package resn_test

import (
	"context"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/goswale/swale/bus/driver"
	"github.com/goswale/swale/bus/membus"
	"github.com/goswale/swale/resn"
)

// store is a checkpoint that outlives processes.
type store struct {
	mu   sync.Mutex
	pos  resn.Position
	fail error
}

func newStore() *store { return &store{} }

func (s *store) Load(context.Context) (resn.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pos, s.fail
}

func (s *store) SaveNumbers(_ context.Context, n resn.Numbers) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil {
		s.pos.Numbers = n
	}
	return s.fail
}

func (s *store) SaveWalk(_ context.Context, w resn.Walk) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil && s.pos.Walk.Before(w) {
		s.pos.Walk = w
	}
	return s.fail
}

// inject publishes a message as a foreign program would.
func inject(t *testing.T, broker *membus.Broker, body string) {
	t.Helper()
	if err := broker.Inject(t.Context(), cityTopic, driver.Message{Body: []byte(body)}); err != nil {
		t.Fatal(err)
	}
}

// read reads a resource through the process's client.
func (p *process) read(t *testing.T, href string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, href, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/hal+json, application/json;q=0.9, */*;q=0.1")
	resp, err := p.client.HTTP().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
