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
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goswale/swale/discovery"
	"github.com/goswale/swale/discovery/driver"
	"github.com/goswale/swale/discovery/memdiscovery"
	"github.com/goswale/swale/service"
)

// TestOrderOfADrain is in time of its own, in which the delay of a drain is over
// when the test says so.
func TestOrderOfADrain(t *testing.T) { synctest.Test(t, orderOfADrain) }

func orderOfADrain(t *testing.T) {
	var j journal
	registry := memdiscovery.New(nil)
	defer func() { _ = registry.Shutdown(context.Background()) }()
	release := make(chan struct{})
	env := environment()
	env.DrainDelay = 20 * time.Second
	opts := service.Options{Environment: env, Setup: func(_ context.Context, s *service.Service) error {
		s.Defer("bus", func(context.Context) error { j.add("bus closed"); return nil })
		s.Go("relay", func(ctx context.Context) error {
			<-ctx.Done()
			j.add("relay ended")
			return ctx.Err()
		})
		s.Check("database", func(context.Context) error { return nil })
		s.Handle(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-release
				<-service.Draining(r.Context())
				j.add("request finished")
			}
			fmt.Fprint(w, "done")
		}))
		return s.Register(registry, &service.RegisterOptions{Attributes: map[string]string{"a": "b"}})
	}}
	client := wired(t, &opts)
	s := start(t, opts)
	ask := func(url string) reply {
		t.Helper()
		got, err := try(t, client, http.MethodGet, url, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	listed, err := registry.List(t.Context(), "orders")
	if err != nil || len(listed) != 1 || listed[0].Zone != "z1" || listed[0].Endpoint("http") != s.Addr().String() {
		t.Fatalf("registered when ready: %+v, %v", listed, err)
	}
	if got := ask(s.admin + "/readyz"); got.status != 200 || !strings.Contains(got.text, `"database"`) {
		t.Errorf("ready: %+v", got)
	}
	slow := make(chan string)
	go func() {
		got, err := try(t, client, http.MethodGet, s.url+"/slow", "", nil)
		slow <- fmt.Sprint(got.text, err)
	}()
	synctest.Wait() // it has arrived
	s.stop()
	synctest.Wait()
	if listed, err := registry.List(t.Context(), "orders"); err != nil || len(listed) != 0 {
		t.Errorf("it leaves the registry first: %+v, %v", listed, err)
	}
	j.add("left the registry")
	close(release)
	time.Sleep(env.DrainDelay - time.Second)
	// Callers that don't know yet are still served, and asked to go elsewhere.
	if got := ask(s.url); got.status != 200 || !got.last {
		t.Errorf("while others learn of it: %+v", got)
	}
	if got := ask(s.admin + "/readyz"); got.status != 503 || !strings.Contains(got.text, "draining") {
		t.Errorf("readiness while it drains: %+v", got)
	}
	if got := ask(s.admin + "/livez"); got.status != 200 {
		t.Errorf("liveness while it drains: %+v; a killed drain loses requests", got)
	}
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

// TestAPartThatEndsWithTheContextOfRun is about parts that heed what Run was given
// and not what they are given: they don't end by themselves, however soon they are.
func TestAPartThatEndsWithTheContextOfRun(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct{ own, want error }{{nil, nil}, {context.Canceled, nil}, {broken, broken}} {
		asked := &untold{Context: t.Context(), done: make(chan struct{})}
		s := launchUntil(asked, t, sync.OnceFunc(func() { close(asked.done) }), service.Options{
			Handler: answer("x"),
			Setup: func(_ context.Context, s *service.Service) error {
				s.Go("relay", func(context.Context) error { <-asked.done; return c.own })
				return nil
			},
		})
		s.log.find(t, "msg=ready ")
		if err := s.end(); !errors.Is(err, c.want) {
			t.Errorf("a part returned %v, Run %v, want %v", c.own, err, c.want)
		}
	}
}

// untold is a context whose end is seen by who looks, and told to nobody yet.
type untold struct {
	context.Context
	done chan struct{}
}

func (u *untold) Done() <-chan struct{}               { return u.done }
func (u *untold) AfterFunc(func()) (stop func() bool) { return func() bool { return true } }

func (u *untold) Err() error {
	select {
	case <-u.done:
		return context.Canceled
	default:
		return nil
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
			fails := func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				err := service.Run(ctx, c.opts)
				if err == nil {
					t.Fatal("it must not start, and has until it was stopped")
				}
				for _, want := range c.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%v\nmust say: %s", err, want)
					}
				}
			}
			if c.opts.StartTimeout == 0 {
				fails(t)
				return
			}
			// In time of its own nothing is late but what the case holds up.
			synctest.Test(t, func(t *testing.T) {
				wired(t, &c.opts)
				fails(t)
			})
		})
	}
	j.is(t, "store", "bus", "store", "bus")
}

// TestStartHangs is about what heeds no context: it is left behind, and named.
func TestStartHangs(t *testing.T) {
	for name, want := range map[string][]string{
		"Setup":                 {"Setup doesn't return: not ready within 30s", "opened is the cellar", "Options.StartTimeout"},
		"entering the registry": {"entering the registry doesn't return: not ready within 30s", "store answers"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hung := make(chan struct{})
				registry := memdiscovery.New(&memdiscovery.Options{Authorise: func(memdiscovery.Op, driver.Record) error { <-hung; return errors.New("too late") }})
				opts := service.Options{
					Name: "orders", Environment: environment(), Handler: answer(""), StartTimeout: 30 * time.Second, Logger: slog.New(slog.DiscardHandler),
					Setup: func(_ context.Context, s *service.Service) error {
						if name != "Setup" {
							return s.Register(registry, nil)
						}
						s.Defer("cellar", func(context.Context) error { return nil })
						<-hung
						return nil
					},
				}
				wired(t, &opts)
				err := service.Run(t.Context(), opts)
				close(hung)
				if err == nil {
					t.Fatal("it must not start")
				}
				for _, want := range want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%v\nmust say: %s", err, want)
					}
				}
				if err := registry.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
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
	go func() { _, err := try(t, http.DefaultClient, http.MethodGet, s.url, "", nil); cut <- err }()
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
	var hang atomic.Bool
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
			s.Check("hangs later", func(context.Context) error {
				if hang.Load() {
					<-hung // whatever its context says
				}
				return nil
			})
			return s.Register(registry, nil)
		}})
	health := func() (i discovery.Instance) {
		eventually(t, "it is registered", func() bool { // its lease ends while the process stands still
			listed, err := registry.List(t.Context(), "orders")
			if err != nil {
				t.Fatal(err)
			}
			if len(listed) == 1 {
				i = listed[0]
			}
			return len(listed) == 1
		})
		return i
	}
	hang.Store(true)
	eventually(t, "a check that hangs is a failure", func() bool {
		return s.Ready() != nil && strings.Contains(s.Ready().Error(), "hangs later: no answer within 50ms")
	})
	well <- errors.New("too many connections")
	eventually(t, "the registry is told why", func() bool {
		i := health()
		return i.Health == discovery.Failing && strings.Contains(i.Reason, "too many connections")
	})
	// On a busy machine that check too may have no answer within 50 ms, for once.
	eventually(t, "readiness says so", func() bool {
		code, body := get(t, s.admin+"/readyz")
		return code == 503 && strings.Contains(body, "too many connections") && strings.Contains(body, `"observedUnit": "ms"`)
	})
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
