package service_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/goswale/swale/service"
)

// port opens a port for a service that is given one.
func port(t *testing.T) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Several services run in one process, each with an end of its own.
func TestServicesInOneProcess(t *testing.T) {
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	var level slog.LevelVar
	gone := make(chan struct{})
	open := func(name string, setup func(context.Context, *service.Service) error) (*service.Service, string, string) {
		public, admin := port(t), port(t)
		env := environment()
		env.Listen, env.AdminListen = "nowhere", "nowhere"
		s, err := service.Start(t.Context(), service.Options{
			Name: name, Environment: env, Handler: answer(name), Listener: public, AdminListener: admin,
			Logger: slog.New(slog.DiscardHandler), LogLevel: &level, Setup: setup,
		})
		if err != nil {
			t.Fatal(err)
		}
		return s, "http://" + public.Addr().String(), "http://" + admin.Addr().String()
	}
	one, oneURL, oneAdmin := open("one", nil)
	two, twoURL, _ := open("two", func(_ context.Context, s *service.Service) error {
		s.Go("relay", func(context.Context) error { <-gone; return nil })
		return nil
	})
	for want, url := range map[string]string{"one": oneURL, "two": twoURL} {
		if code, body := get(t, url); code != 200 || body != want {
			t.Errorf("%s answers %d %s", want, code, body)
		}
	}
	if code, _ := do(t, http.MethodPut, oneAdmin+"/loglevel", "debug", nil); code != 200 || level.Level() != slog.LevelDebug {
		t.Errorf("a level that was given can be changed: %d, %s", code, level.Level())
	}
	one.Stop(nil)
	if err := one.Wait(); err != nil {
		t.Errorf("one ended with %v", err)
	}
	if _, err := try(t, http.DefaultClient, http.MethodGet, oneURL, "", nil); err == nil {
		t.Error("a service that has ended still answers; the port that it was given is its to close")
	}
	if code, _ := get(t, twoURL); code != 200 {
		t.Errorf("the end of one is none of two's business, which answers %d", code)
	}
	close(gone)
	var part *service.PartError
	if err := two.Wait(); !errors.As(err, &part) || part.Part != "relay" {
		t.Errorf("two ended with %v, and must name the part that did", err)
	}
}

// What was given is closed, and what was opened stopped, when a start fails or is
// called off.
func TestAStartThatIsCalledOff(t *testing.T) {
	for _, name := range []string{"orders", "no name"} {
		var j journal
		ctx, cancel := context.WithCancel(t.Context())
		public, admin := port(t), port(t)
		_, err := service.Start(ctx, service.Options{
			Name: name, Environment: environment(), Listener: public, AdminListener: admin, Logger: slog.New(slog.DiscardHandler),
			Setup: func(ctx context.Context, s *service.Service) error {
				s.Defer("bus", func(context.Context) error { j.add("bus closed"); return nil })
				s.Handle(answer("x"))
				cancel()
				<-ctx.Done()
				return nil
			},
		})
		cancel()
		if name == "orders" {
			j.is(t, "bus closed")
			if !errors.Is(err, context.Canceled) {
				t.Errorf("it returned %v", err)
			}
		} else if err == nil || !strings.Contains(err.Error(), "DNS label") {
			t.Errorf("it returned %v", err)
		}
		for _, l := range []net.Listener{public, admin} {
			if c, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String()); err == nil {
				_ = c.Close()
				t.Errorf("%s: %s is still open", name, l.Addr())
			}
		}
	}
}
