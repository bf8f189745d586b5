package service_test

import (
	"context"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/goswale/swale/service"
)

func TestMain(m *testing.M) {
	if os.Getenv("SERVICE_TEST_PROGRAM") != "" {
		program()
		return
	}
	goleak.VerifyTestMain(m)
}

// program is what TestMainDrainsOnSignals runs in a process of its own.
func program() {
	service.Main(service.Options{Name: "orders", Version: "1", Setup: func(_ context.Context, s *service.Service) error {
		s.Handle(answer("hello"))
		s.Defer("bus", func(context.Context) error { println("bus closed"); return nil })
		println("listening", s.Addr().String())
		return nil
	}})
}
