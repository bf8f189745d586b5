package service_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/driver"
	"github.com/goswale/swale/discovery/memdiscovery"
	"github.com/goswale/swale/service"
)

func TestOrderOfADrain(t *testing.T) {
	var j journal
	registry := memdiscovery.New(nil)
	defer func() { _ = registry.Shutdown(context.Background()) }()
	arrived, release := make(chan struct{}), make(chan struct{})
	env := environment()
	env.DrainDelay = 300 * time.Millisecond
	s := start(t, service.Options{Environment: env, Setup: func(_ context.Context, s *service.Service) error {
		s.Defer("bus", func(context.Context) error { j.add("bus closed"); return nil })
		s.Go("relay", func(ctx context.Context) error {
			<-ctx.Done()
			j.add("relay ended")
			return ctx.Err()
		})
		s.Check("database", func(context.Context) error { return nil })
		s.Handle(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				close(arrived)
				<-release
				<-service.Draining(r.Context())
				j.add("request finished")
			}
			fmt.Fprint(w, "done")
		}))
		return s.Register(registry, &service.RegisterOptions{Attributes: map[string]string{"a": "b"}})
	}})
	listed, err := registry.List(t.Context(), "orders")
	if err != nil || len(listed) != 1 || listed[0].Zone != "z1" || listed[0].Endpoint("http") != s.Addr().String() {
		t.Fatalf("registered when ready: %+v, %v", listed, err)
	}
	if code, body := get(t, s.admin+"/readyz"); code != 200 || !strings.Contains(body, `"database"`) {
		t.Errorf("ready: %d %s", code, body)
	}
	slow := make(chan string)
	go func() {
		got, err := try(t, http.MethodGet, s.url+"/slow", "", nil)
		slow <- fmt.Sprint(got.text, err)
	}()
	<-arrived
	s.stop()
	eventually(t, "it leaves the registry", func() bool {
		listed, err := registry.List(t.Context(), "orders")
		return err == nil && len(listed) == 0
	})
	j.add("left the registry")
	// Callers that don't know yet are still served, and asked to go elsewhere.
	got, err := try(t, http.MethodGet, s.url+"/", "", nil)
	if err != nil || got.status != 200 || !got.last {
		t.Errorf("while others learn of it: %+v, %v", got, err)
	}
	if code, body := get(t, s.admin+"/readyz"); code != 503 || !strings.Contains(body, "draining") {
		t.Errorf("readiness while it drains: %d %s", code, body)
	}
	if code, _ := get(t, s.admin+"/livez"); code != 200 {
		t.Errorf("liveness while it drains: %d; a killed drain loses requests", code)
	}
	close(release)
	if got := <-slow; got != "done<nil>" {
		t.Errorf("a request under way: %s", got)
	}
	if err := s.wait(); err != nil {
		t.Error(err)
	}
	j.is(t, "left the registry", "request finished", "relay ended", "bus closed")
}

func TestAPartThatEndsEndsTheService(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		end  func() error
		want string
	}{
		{"error", func() error { return broken }, "part relay failed: broken"},
		{"silent", func() error { return nil }, "part relay ended by itself"},
		{"panic", func() error { panic("boom") }, "part relay failed: panic: boom"},
	} {
		t.Run(c.name, func(t *testing.T) {
			go_ := make(chan struct{})
			closed := false
			s := start(t, service.Options{Handler: answer("x"), Setup: func(_ context.Context, s *service.Service) error {
				s.Defer("bus", func(context.Context) error { closed = true; return nil })
				s.Go("relay", func(context.Context) error { <-go_; return c.end() })
				return nil
			}})
			close(go_)
			err := s.wait()
			var part *service.PartError
			if !errors.As(err, &part) || part.Part != "relay" || err.Error() != c.want {
				t.Errorf("Run returned %v, want %s", err, c.want)
			}
			if !closed {
				t.Error("the rest is stopped all the same")
			}
		})
	}
}

func TestStartFails(t *testing.T) {
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var j journal
	setup := func(err error) func(context.Context, *service.Service) error {
		return func(_ context.Context, s *service.Service) error {
			s.Defer("bus", func(context.Context) error { j.add("bus"); return nil })
			s.Defer("store", func(context.Context) error { j.add("store"); return errors.New("no answer") })
			return err
		}
	}
	denies := memdiscovery.New(&memdiscovery.Options{Authorise: func(memdiscovery.Op, driver.Record) error { return errors.New("orders may not") }})
	defer func() { _ = denies.Shutdown(context.Background()) }()
	port := environment()
	port.Listen = taken.Addr().String()
	for _, c := range []struct {
		name string
		opts service.Options
		want []string
	}{
		{"setup", service.Options{Setup: setup(errors.New("dial tcp: refused"))}, []string{"start: dial tcp: refused", "stop store: no answer"}},
		{"no handler", service.Options{Setup: setup(nil)}, []string{"there is no handler", "stop store"}},
		{"port", service.Options{Handler: answer(""), Environment: port}, []string{port.Listen + " is in use", "LISTEN"}},
		{"check", service.Options{Handler: answer(""), StartTimeout: 3 * time.Second, Setup: func(_ context.Context, s *service.Service) error {
			s.Check("database", func(context.Context) error { return errors.New("no such host db") })
			return nil
		}}, []string{"not ready within 3s", "check database: no such host db"}},
		{"slow setup", service.Options{Handler: answer(""), StartTimeout: time.Second, Setup: func(ctx context.Context, _ *service.Service) error {
			<-ctx.Done()
			return ctx.Err()
		}}, []string{"not ready within 1s"}},
		{"registry", service.Options{Handler: answer(""), Setup: func(_ context.Context, s *service.Service) error {
			return s.Register(denies, nil)
		}}, []string{"start: register", "orders may not"}},
		{"panic", service.Options{Setup: func(context.Context, *service.Service) error { panic("nil map") }}, []string{"panic: nil map"}},
		{"name", service.Options{Name: "My Service", Handler: answer("")}, []string{`"My Service"`, "DNS label"}},
		{"nothing", service.Options{}, []string{"nothing would be served"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.opts.Name == "" {
				c.opts.Name = "orders"
			}
			if c.opts.Environment == nil {
				c.opts.Environment = environment()
			}
			c.opts.Logger = slog.New(slog.DiscardHandler)
			err := service.Run(t.Context(), c.opts)
			if err == nil {
				t.Fatal("it must not start")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nmust say: %s", err, want)
				}
			}
		})
	}
	j.is(t, "store", "bus", "store", "bus")
}

func TestWhatDoesNotEndIsNamed(t *testing.T) {
	env := environment()
	env.DrainTimeout = 50 * time.Millisecond
	hold := make(chan struct{})
	defer close(hold)
	entered := make(chan struct{})
	s := start(t, service.Options{Environment: env, StopTimeout: 50 * time.Millisecond, RequestTimeout: -1,
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request) { close(entered); <-hold }),
		Setup: func(_ context.Context, s *service.Service) error {
			s.Defer("stubborn", func(context.Context) error { <-hold; return nil })
			return nil
		}})
	cut := make(chan error)
	go func() { _, err := try(t, http.MethodGet, s.url, "", nil); cut <- err }()
	<-entered
	err := s.end()
	if err == nil || !strings.Contains(err.Error(), "requests were cut off: not finished within 50ms") || !strings.Contains(err.Error(), "stop stubborn: it doesn't end") {
		t.Errorf("Run returned %v", err)
	}
	if <-cut == nil {
		t.Error("a request that was cut off must not look answered")
	}
}

func TestReadiness(t *testing.T) {
	registry := memdiscovery.New(nil)
	defer func() { _ = registry.Shutdown(context.Background()) }()
	well := make(chan error, 1)
	state := error(nil)
	s := start(t, service.Options{Handler: answer("x"), CheckEvery: 2 * time.Millisecond, CheckTimeout: 50 * time.Millisecond,
		Setup: func(_ context.Context, s *service.Service) error {
			s.Check("database", func(context.Context) error {
				select {
				case state = <-well:
				default:
				}
				return state
			})
			hung := make(chan struct{})
			s.Defer("hung check", func(context.Context) error { close(hung); return nil })
			calls := 0
			s.Check("hangs later", func(context.Context) error {
				if calls++; calls > 1 {
					<-hung // whatever its context says
				}
				return nil
			})
			return s.Register(registry, nil)
		}})
	health := func() discovery.Instance {
		listed, err := registry.List(t.Context(), "orders")
		if err != nil || len(listed) != 1 {
			t.Fatalf("%+v, %v", listed, err)
		}
		return listed[0]
	}
	eventually(t, "a check that hangs is a failure", func() bool {
		return s.Ready() != nil && strings.Contains(s.Ready().Error(), "hangs later: no answer within 50ms")
	})
	well <- errors.New("too many connections")
	eventually(t, "the registry is told why", func() bool {
		i := health()
		return i.Health == discovery.Failing && strings.Contains(i.Reason, "too many connections")
	})
	code, body := get(t, s.admin+"/readyz")
	if code != 503 || !strings.Contains(body, "too many connections") || !strings.Contains(body, `"observedUnit": "ms"`) {
		t.Errorf("%d %s", code, body)
	}
	well <- nil
	eventually(t, "that one is well again", func() bool { return !strings.Contains(health().Reason, "connections") })
	if err := s.end(); err != nil {
		t.Error(err)
	}
}

func TestAnInstanceThatCantRegisterEnds(t *testing.T) {
	store := memdiscovery.NewStore()
	registry := store.Connect(nil)
	s := start(t, service.Options{Handler: answer("x"), Setup: func(_ context.Context, s *service.Service) error {
		return s.Register(registry, &service.RegisterOptions{RegisterOptions: discovery.RegisterOptions{TTL: 30 * time.Millisecond, Renew: 10 * time.Millisecond, GiveUp: 50 * time.Millisecond}})
	}})
	store.SetDown(true)
	if err := s.wait(); err == nil || !strings.Contains(err.Error(), "service orders can't register") {
		t.Errorf("Run returned %v", err)
	}
	_ = registry.Shutdown(context.Background())
}

func TestStop(t *testing.T) {
	for _, cause := range []error{nil, errors.New("the lease is lost")} {
		s := start(t, service.Options{Handler: answer("x")})
		s.Stop(cause)
		if err := s.wait(); !errors.Is(err, cause) {
			t.Errorf("Stop(%v): Run returned %v", cause, err)
		}
		late := make(chan struct{})
		s.Defer("late", func(context.Context) error { close(late); return nil })
		<-late
		s.Go("late", func(context.Context) error { t.Error("nothing starts in a service that has ended"); return nil })
	}
}

// TestMainDrainsOnSignals runs a program and stops it as an operator would.
func TestMainDrainsOnSignals(t *testing.T) {
	p := launchProgram(t, "ADMIN_LISTEN=off")
	p.log.find(t, `"msg":"ready"`)
	if code, body := get(t, p.url); code != 200 || body != "hello" {
		t.Errorf("%d %s", code, body)
	}
	p.terminate(t)
	bad := exec.CommandContext(t.Context(), os.Args[0])
	bad.Env = append(os.Environ(), "SERVICE_TEST_PROGRAM=1", "DRAIN_TIMEOUT=soon", "LOG_LEVEL=loud")
	out, err := bad.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), `orders: environment: DRAIN_TIMEOUT is "soon"`) && !strings.Contains(string(out), `LOG_LEVEL is "loud"`) {
		t.Errorf("a bad environment: %v\n%s", err, out)
	}
}

// launched is a process that runs program.
type launched struct {
	cmd *exec.Cmd
	log *lines
	url string
}

func launchProgram(t *testing.T, variables ...string) *launched {
	t.Helper()
	p := &launched{cmd: exec.CommandContext(t.Context(), os.Args[0]), log: new(lines)}
	p.cmd.Env = append(append(os.Environ(), "SERVICE_TEST_PROGRAM=1", "LISTEN=127.0.0.1:0", "INSTANCE=a", "DRAIN_DELAY=1ms"), variables...)
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	p.url = "http://" + p.log.find(t, "listening ")
	return p
}

func (p *launched) terminate(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil || !strings.Contains(p.log.String(), "bus closed") {
		t.Errorf("SIGTERM: %v\n%s", err, p.log)
	}
}
