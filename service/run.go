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
	s, err := start(ctx, ctx, opts)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { s.Stop(nil) })()
	return s.Wait()
}

// Start starts a service and returns it when it is ready, for programs in which
// several run: each is stopped by [Service.Stop] and waited for by
// [Service.Wait], in the program's order. ctx is the start's alone: ending it calls
// the start off. When a start fails, what was started has been stopped again.
func Start(ctx context.Context, opts Options) (*Service, error) {
	return start(ctx, context.Background(), opts)
}

// start is Start for a service that is asked to end by the end of over, too.
func start(ctx, over context.Context, opts Options) (*Service, error) {
	if err := opts.complete(); err != nil {
		return nil, errors.Join(err, opts.close())
	}
	running, end := context.WithCancelCause(context.WithoutCancel(ctx))
	s := prepare(opts, end)
	s.over = over
	callOff := context.AfterFunc(ctx, func() { end(context.Cause(ctx)) })
	began := time.Now()
	err := s.start(running)
	callOff()
	if err != nil {
		err = fmt.Errorf("start: %w", err)
		err = errors.Join(err, s.drain(context.WithoutCancel(ctx), err))
		end(nil)
		return nil, errors.Join(err, opts.close())
	}
	s.log.Info("ready", "address", s.public.Addr().String(), "took", time.Since(began))
	go func() {
		defer close(s.ended)
		s.watch(running)
		err = context.Cause(running)
		if errors.Is(err, errStopped) || ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
			err = nil // asked to, perhaps just as it was ready
		}
		s.outcome = errors.Join(err, s.drain(context.WithoutCancel(running), err))
	}()
	return s, nil
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
		health: &health{timeout: opts.CheckTimeout},
		ended:  make(chan struct{}), level: opts.LogLevel, shown: make(map[string]func() any),
	}
	s.draining, s.drained = context.WithCancel(context.Background())
	if s.log == nil {
		if s.level == nil {
			s.level = new(slog.LevelVar)
			s.level.Set(env.LogLevel)
		}
		s.log = env.logger(os.Stderr, s.level)
	}
	if opts.LogAttrs != nil {
		s.log = slog.New(attributed{s.log.Handler(), opts.LogAttrs})
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
		advice := "what Setup calls must heed its context, or have longer by Options.StartTimeout"
		if err := s.within(ctx, "Setup", advice, func(ctx context.Context) error { return s.opts.Setup(ctx, s) }); err != nil {
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
	return s.within(ctx, "entering the registry", "see whether its store answers", s.register)
}

// within does a part of the start. One that doesn't heed the end of ctx is left
// behind, and named.
func (s *Service) within(ctx context.Context, part, advice string, do func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- safely(ctx, do) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(grace):
		return fmt.Errorf("%s doesn't return: %w; the last thing that was opened is the %s; %s", part, context.Cause(ctx), s.parts.last(), advice)
	}
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
	admin := s.opts.AdminListener
	if admin == nil && env.AdminListen != "off" {
		if admin, err = listen(ctx, env.AdminListen, "ADMIN_LISTEN"); err != nil {
			return err
		}
	}
	if admin != nil {
		s.serveAdmin(admin)
	}
	if s.public = s.opts.Listener; s.public == nil {
		if s.public, err = listen(ctx, env.Listen, "LISTEN"); err != nil {
			return err
		}
	}
	s.Defer("public port", func(context.Context) error { return closed(s.public) })
	if env.Advertise == "" {
		env.Advertise, err = reachable(s.public.Addr())
	}
	return err
}

// close closes the ports that were given, however far the start has come.
func (o *Options) close() error { return errors.Join(closed(o.Listener), closed(o.AdminListener)) }

// closed closes a listener, unless that is done.
func closed(l net.Listener) error {
	if l == nil {
		return nil
	}
	if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
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
		if ctx.Err() != nil { // nobody waits for it any more
			return s.deregister(context.WithoutCancel(ctx))
		}
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
	defer s.drained()
	if s.server != nil {
		s.server.SetKeepAlivesEnabled(false)
		<-time.After(env.DrainDelay)
		s.drained()
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
