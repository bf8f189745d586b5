package service_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/memdiscovery"
	"github.com/goswale/swale/service"
)

// A service is ready when its checks pass; it leaves the registry before it stops
// to answer, and what was opened first is closed last.
func ExampleRun() {
	registry := memdiscovery.New(nil) // a program has natsdiscovery or etcddiscovery here
	defer func() { _ = registry.Shutdown(context.Background()) }()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	environment, err := service.ReadEnvironment([]string{"LISTEN=127.0.0.1:0", "ADMIN_LISTEN=off", "DRAIN_DELAY=10ms"})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = service.Run(ctx, service.Options{
		Name: "restaurants", Version: "1.4.0", Environment: &environment, Logger: slog.New(slog.DiscardHandler),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }),
		Setup: func(_ context.Context, s *service.Service) error {
			s.Defer("bus", func(context.Context) error { fmt.Println("bus closed"); return nil })
			s.Go("relay", func(ctx context.Context) error {
				<-ctx.Done()
				fmt.Println("relay ended")
				return nil
			})
			s.Check("database", func(context.Context) error { return nil })
			s.Go("visitor", func(ctx context.Context) error { // somebody who finds it, calls it, and stops it
				watching, found := context.WithCancel(ctx)
				err := registry.Watch(watching, "restaurants", func(v discovery.View) {
					if len(v.Instances) == 1 {
						found()
					}
				})
				fmt.Println("found:", err)
				resp, err := http.Get("http://" + s.Addr().String())
				if err != nil {
					return err
				}
				fmt.Println(resp.Status)
				stop()
				<-ctx.Done()
				return resp.Body.Close()
			})
			return s.Register(registry, &service.RegisterOptions{RegisterOptions: discovery.RegisterOptions{TTL: time.Minute}})
		},
	})
	fmt.Println("error:", err)
	// Output:
	// found: context canceled
	// 200 OK
	// relay ended
	// bus closed
	// error: <nil>
}

// A client that got no answer sends the same request with the same key again. The
// order is made once.
func ExampleIdempotent() {
	orders := 0
	h := service.Idempotent(service.NewMemoryIdempotency(0), nil)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		orders++
		w.WriteHeader(http.StatusCreated)
	}))
	for range 3 {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "/orders", http.NoBody)
		if err != nil {
			fmt.Println(err)
			return
		}
		r.Header.Set(service.IdempotencyKeyHeader, "8e03978e-40d5-43dd-bc93-6894a57f9324")
		w := &discard{header: make(http.Header)}
		h.ServeHTTP(w, r)
		fmt.Println(w.status, w.header.Get("Idempotent-Replayed") == "true")
	}
	fmt.Println(orders, "order")
	// Output:
	// 201 false
	// 201 true
	// 201 true
	// 1 order
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
