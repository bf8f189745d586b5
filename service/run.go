package service

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/goswale/swale/discovery"
)

// Main runs a service as a program: SIGINT and SIGTERM drain it, a second one
// ends it at once. It exits with 0 after a drain that was asked for, with 1
// otherwise, and says why on standard error.
func Main(opts Options) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := Run(ctx, opts)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", opts.Name, err)
		os.Exit(1)
	}
}

// Run runs a service until ctx ends or Service.Stop is called, drains it, and
// returns what went wrong: nil when ctx ended and everything stopped in time.
// The package documentation describes the order.
func Run(ctx context.Context, opts Options) error {
	if err := opts.complete(); err != nil {
		return err
	}
	running, end := context.WithCancelCause(ctx)
	defer end(nil)
	s := prepare(opts, end)
	started := time.Now()
	err := s.start(running)
	if err == nil {
		s.log.Info("ready", "address", s.public.Addr().String(), "took", time.Since(started))
		watching, stop := context.WithCancel(running)
		watched := make(chan struct{})
		go func() { s.watch(watching); close(watched) }()
		<-running.Done()
		stop()
		<-watched
	} else {
		err = fmt.Errorf("start: %w", err)
	}
	if cause := context.Cause(running); cause != nil && ctx.Err() == nil && !errors.Is(cause, errStopped) && err == nil {
		err = cause
	}
	return errors.Join(err, s.drain(context.WithoutCancel(ctx), err))
}

// prepare makes a service of which nothing runs yet.
func prepare(opts Options, end context.CancelCauseFunc) *Service {
	env := *opts.Environment
	if env.Instance == "" {
		env.Instance = strings.ToLower(rand.Text()[:10])
	}
	opts.Environment = &env
	s := &Service{
		opts: opts, log: opts.Logger, end: end, handler: opts.Handler,
		health: &health{timeout: opts.CheckTimeout}, draining: make(chan struct{}), shown: make(map[string]func() any),
	}
	if s.log == nil {
		s.level = new(slog.LevelVar)
		s.log = env.logger(os.Stderr, s.level)
	}
	s.log = s.log.With("service", opts.Name, "version", opts.Version, "instance", env.Instance)
	return s
}

// start does everything up to the point where others may call.
func (s *Service) start(running context.Context) error {
	ctx, cancel := context.WithTimeoutCause(running, s.opts.StartTimeout, fmt.Errorf("not ready within %s", s.opts.StartTimeout))
	defer cancel()
	if err := s.listen(ctx); err != nil {
		return err
	}
	if s.opts.Setup != nil {
		if err := safely(ctx, func(ctx context.Context) error { return s.opts.Setup(ctx, s) }); err != nil {
			return errors.Join(err, causeOf(ctx, err))
		}
	}
	s.mu.Lock()
	handler := s.handler
	s.mu.Unlock()
	if handler == nil {
		return errors.New("there is no handler: set Options.Handler, or call Service.Handle in Setup")
	}
	if err := s.await(ctx); err != nil {
		return err
	}
	s.health.enter(serving)
	s.serve(handler)
	return s.register(ctx)
}

// causeOf returns why ctx ended, if err doesn't say so.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return cause
	}
	return nil
}

// listen opens both ports, so that one in use is told of before anything else
// is opened. The admin port answers at once; the public one lets connections
// wait until the service is ready.
func (s *Service) listen(ctx context.Context) error {
	env := s.opts.Environment
	var err error
	if env.AdminListen != "off" {
		admin, err := listen(ctx, env.AdminListen, "ADMIN_LISTEN")
		if err != nil {
			return err
		}
		s.serveAdmin(admin)
	}
	if s.public, err = listen(ctx, env.Listen, "LISTEN"); err != nil {
		return err
	}
	s.Defer("public port", func(context.Context) error {
		if err := s.public.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	if env.Advertise == "" {
		env.Advertise, err = reachable(s.public.Addr())
	}
	return err
}

func listen(ctx context.Context, address, variable string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is in use by another program; stop that, or choose another address by the environment variable %s, for example 127.0.0.1:0 for any free port: %w", address, variable, err)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s, which the environment variable %s sets: %w", address, variable, err)
	}
	return l, nil
}

// reachable returns how others reach a listener that may listen everywhere.
func reachable(addr net.Addr) (string, error) {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
		return addr.String(), nil
	}
	if host, err = os.Hostname(); err != nil {
		return "", fmt.Errorf("find out how others reach this machine (ADVERTISE says it): %w", err)
	}
	return net.JoinHostPort(host, port), nil
}

// await asks the checks until all pass.
func (s *Service) await(ctx context.Context) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, s.opts.CheckEvery) {
		s.health.round(ctx)
		err := s.health.passing()
		if err == nil && ctx.Err() == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(wait):
		}
	}
}

// serve answers at the public port.
func (s *Service) serve(handler http.Handler) {
	s.server = &http.Server{
		Handler:           s.chain(handler),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.server.Serve(s.public); !errors.Is(err, http.ErrServerClosed) {
			s.end(&PartError{Part: "public port", Err: err})
		}
	}()
	s.Defer("server", func(context.Context) error { <-done; return nil })
}

// finish lets requests under way end.
func (s *Service) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.opts.Environment.DrainTimeout, fmt.Errorf("not finished within %s", s.opts.Environment.DrainTimeout))
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		return fmt.Errorf("requests were cut off: %w", errors.Join(context.Cause(ctx), s.server.Close()))
	}
	return nil
}

// register enters the service into its registries.
func (s *Service) register(ctx context.Context) error {
	s.mu.Lock()
	entries := s.entries
	s.mu.Unlock()
	for _, e := range entries {
		g, err := e.registry.Register(ctx, s.describe(e.opts), &e.opts.RegisterOptions)
		if err != nil {
			return fmt.Errorf("register: %w", err)
		}
		s.mu.Lock()
		s.registration = append(s.registration, g)
		s.mu.Unlock()
	}
	return nil
}

// tell tells the registries what the checks say: why it doesn't serve, or
// nothing.
func (s *Service) tell(ctx context.Context, why string) {
	h := discovery.Serving
	if why != "" {
		h = discovery.Failing
		s.log.Warn("not ready", "reason", why)
	} else {
		s.log.Info("ready again")
	}
	s.mu.Lock()
	registered := s.registration
	s.mu.Unlock()
	for _, g := range registered {
		if err := g.SetHealth(ctx, h, why); err != nil && ctx.Err() == nil {
			s.log.Warn("the registry wasn't told", "error", err) // it is told with the next renewal
		}
	}
}

// drain ends everything in the order of the package documentation. ctx has no
// end; failed is why the service ends, if it does so on its own.
func (s *Service) drain(ctx context.Context, failed error) error {
	began := time.Now()
	env := s.opts.Environment
	s.health.enter(draining)
	s.log.Info("draining", "delay", env.DrainDelay, "timeout", env.DrainTimeout, "cause", failed)
	errs := []error{s.deregister(ctx)}
	if s.server != nil {
		s.server.SetKeepAlivesEnabled(false)
		<-time.After(env.DrainDelay)
		close(s.draining)
		errs = append(errs, s.finish(ctx))
	}
	stopping, cancel := context.WithTimeoutCause(ctx, s.opts.StopTimeout, fmt.Errorf("not within %s", s.opts.StopTimeout))
	defer cancel()
	errs = append(errs, s.parts.stop(stopping, s.log))
	err := errors.Join(errs...)
	s.log.Info("stopped", "took", time.Since(began), "error", err)
	return err
}

func (s *Service) deregister(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.StopTimeout)
	defer cancel()
	s.mu.Lock()
	registered := s.registration
	s.mu.Unlock()
	var errs []error
	for _, g := range registered {
		if err := g.Deregister(ctx); err != nil {
			errs = append(errs, fmt.Errorf("leave the registry: %w", err))
		}
	}
	return errors.Join(errs...)
}
