package natsdiscovery_test

import (
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// patience bounds what must happen in the end, also on a machine that has much else
// to do. Without it a connection has two seconds.
const patience = 90 * time.Second

// startServer starts a server with JetStream that ends with the test, on the port
// or, if it is 0, a free one.
func startServer(t *testing.T, dir string, port int, users ...*server.User) *server.Server {
	t.Helper()
	s, err := serve(dir, port, users...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(s) })
	return s
}

func serve(dir string, port int, users ...*server.User) (*server.Server, error) {
	if port == 0 {
		port = server.RANDOM_PORT
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true, Users: users,
	})
	if err != nil {
		return nil, err
	}
	go s.Start()
	if !s.ReadyForConnections(patience) {
		stop(s)
		return nil, os.ErrDeadlineExceeded
	}
	return s, nil
}

func stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}
