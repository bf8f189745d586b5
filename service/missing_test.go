package service_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/goswale/swale/service"
)

// What a program forgot to give ends the start with an error that names it.
func TestWhatIsMissingIsNamed(t *testing.T) {
	for want, opts := range map[string]service.Options{
		"service: Options.Wrap[0] is nil":                   {Handler: http.NotFoundHandler(), Wrap: []func(http.Handler) http.Handler{nil}},
		"register: the *discovery.Registry is nil":          {Setup: func(_ context.Context, s *service.Service) error { return s.Register(nil, nil) }},
		`service: Go: the function of "relay" is nil`:       {Setup: func(_ context.Context, s *service.Service) error { s.Go("relay", nil); return nil }},
		`service: Check: the function of "database" is nil`: {Setup: func(_ context.Context, s *service.Service) error { s.Check("database", nil); return nil }},
		`service: Defer: the function of "bus" is nil`:      {Setup: func(_ context.Context, s *service.Service) error { s.Defer("bus", nil); return nil }},
		`service: Show: the function of "topics" is nil`:    {Setup: func(_ context.Context, s *service.Service) error { s.Show("topics", nil); return nil }},
	} {
		opts.Name = "orders"
		opts.Environment = &service.Environment{Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0"}
		if err := service.Run(t.Context(), opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Run: %v, want … %s", err, want)
		}
	}
	defer func() {
		if got, want := recover(), "service: Idempotent: the store is nil; NewMemoryIdempotency makes one"; got != want {
			t.Errorf("panic %v, want %s", got, want)
		}
	}()
	service.Idempotent(nil, nil)
}
