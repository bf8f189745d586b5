package system

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// listen opens a TCP port. What is the name of the flag that chooses it.
func listen(ctx context.Context, address, flag string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is in use by another program: stop it, or choose another address with --%s, for example --%s 127.0.0.1:0 for any free port (%w)", address, flag, flag, err)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s (--%s): %w", address, flag, err)
	}
	return l, nil
}

// after returns the address with a port that is n higher; port 0, any, stays
// any.
func after(address string, n int) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address // whoever listens will say what is wrong
	}
	if p, err := strconv.Atoi(port); err == nil && p > 0 {
		port = strconv.Itoa(p + n)
	}
	return net.JoinHostPort(host, port)
}

// baseURL returns where clients on this machine reach a listener.
func baseURL(l net.Listener) string {
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return "http://" + l.Addr().String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// server is one service's HTTP server.
type server struct {
	name string
	http *http.Server
	done chan error
}

// serve starts to serve on l. Request contexts end only when the server is
// closed, not when the program is asked to stop: requests under way finish.
func serve(name string, l net.Listener, h http.Handler, logger *slog.Logger) *server {
	s := &server{name: name, done: make(chan error, 1), http: &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(logger.With("service", name).Handler(), slog.LevelWarn),
	}}
	go func() { s.done <- s.http.Serve(l) }()
	return s
}

// shutdown lets requests under way finish, and waits for the server's end. It
// may be called on nil.
func (s *server) shutdown(ctx context.Context) error {
	if s == nil {
		return nil
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("%s: requests were cut off: %w", s.name, err), s.http.Close())
	}
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("%s: %w", s.name, served))
	}
	return err
}
