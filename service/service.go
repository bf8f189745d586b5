package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"github.com/goswale/swale/discovery"
)

// Service is what Setup is given, and Start returns. Its methods are safe for concurrent use.
type Service struct {
	opts  Options
	log   *slog.Logger
	level *slog.LevelVar // nil when the logger isn't ours
	end   context.CancelCauseFunc
	over  context.Context // ends when the service is asked to

	parts    parts
	health   *health
	draining context.Context // ends when requests should
	drained  context.CancelFunc
	public   net.Listener
	server   *http.Server  // nil until requests are served
	ended    chan struct{} // closed when outcome is known
	outcome  error

	mu           sync.Mutex
	handler      http.Handler
	shown        map[string]func() any
	entries      []entry
	registration []*discovery.Registration
}

// Name returns Options.Name.
func (s *Service) Name() string { return s.opts.Name }

// Version returns Options.Version.
func (s *Service) Version() string { return s.opts.Version }

// Instance returns what tells this process from others of its service.
func (s *Service) Instance() string { return s.opts.Environment.Instance }

// Environment returns what the chassis has read of the environment.
func (s *Service) Environment() Environment { return *s.opts.Environment }

// Logger returns the service's logger, which names service, version and instance
// in every line.
func (s *Service) Logger() *slog.Logger { return s.log }

// Addr returns the address of the public port.
func (s *Service) Addr() net.Addr { return s.public.Addr() }

// Handle sets the handler of the public port. It is for Setup; the last call
// counts.
func (s *Service) Handle(h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
}

// Defer has stop called when the service ends, after requests have finished and
// after everything that was added later. Its context ends after
// Options.StopTimeout. It may be called while the service runs; when that has
// ended already, stop is called at once. It panics if stop is nil, which ends the
// start with an error.
func (s *Service) Defer(name string, stop func(context.Context) error) {
	needs(stop != nil, "Defer", name)
	if err := s.parts.push(name, stop); err != nil {
		ctx, cancel := context.WithTimeout(context.Background(), s.opts.StopTimeout)
		defer cancel()
		if err := safely(ctx, stop); err != nil {
			s.log.Error("stopped", "part", name, "error", err)
		}
	}
}

// Go runs a part of the service until its turn to stop comes, as with Defer:
// then its context ends, and it is waited for. If run returns before, and before
// the context of Run has ended, the service ends, and Run returns an error that
// names the part. It panics if run is nil.
func (s *Service) Go(name string, run func(context.Context) error) {
	needs(run != nil, "Go", name)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	asked := make(chan struct{})
	err := s.parts.push(name, func(wait context.Context) error {
		close(asked)
		stop()
		select {
		case err := <-done:
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		case <-wait.Done():
			return fmt.Errorf("it still works: %w", context.Cause(wait))
		}
	})
	if err != nil {
		stop()
		return
	}
	go func() {
		err := safely(ctx, run)
		select {
		case <-asked:
		case <-s.over.Done(): // it heeds what Run was given, perhaps before Run does
			s.Stop(nil)
		default:
			s.end(&PartError{Part: name, Err: err})
			err = nil // it is told already
		}
		done <- err
	}()
}

// Stop ends the service, which drains first. Run and Wait return cause; nil is
// fine. It doesn't wait.
func (s *Service) Stop(cause error) {
	if cause == nil {
		cause = errStopped
	}
	s.end(cause)
}

// Wait waits until the service has ended and been drained, and returns what went
// wrong, as Run does. Any number of goroutines may wait.
func (s *Service) Wait() error {
	<-s.ended
	return s.outcome
}

var errStopped = errors.New("service: stopped")

// Check adds something that must be well for the service to be ready. check
// returns nil, or what is wrong, in words that may be read by others. It panics if
// check is nil.
func (s *Service) Check(name string, check func(context.Context) error) {
	needs(check != nil, "Check", name)
	s.health.add(name, check)
}

// Show has the admin port show what state returns, as JSON, under
// /state/NAME: the topics that a client follows, the configuration that is
// loaded. Nothing secret. It panics if state is nil.
func (s *Service) Show(name string, state func() any) {
	needs(state != nil, "Show", name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown[name] = state
}

// needs panics where a method was given no function to call.
func needs(given bool, method, name string) {
	if !given {
		panic(fmt.Sprintf("service: %s: the function of %q is nil", method, name)) //nolint:forbidigo // programmer error
	}
}

// entry is a place in a registry that is taken when the service is ready.
type entry struct {
	registry *discovery.Registry
	opts     RegisterOptions
}

// RegisterOptions are the options of Register.
type RegisterOptions struct {
	discovery.RegisterOptions
	// Endpoints are the ways to reach the service besides HTTP at the public
	// port, such as its name on the bus.
	Endpoints []discovery.Endpoint
	// Attributes are what others may want to know.
	Attributes map[string]string
}

// Register has the service entered into a registry when it is ready, and taken
// out first of all when it ends. What the checks find is told there too. An
// instance that can't register for RegisterOptions.GiveUp ends, unless OnGiveUp
// says something else.
func (s *Service) Register(r *discovery.Registry, opts *RegisterOptions) error {
	if r == nil {
		return errors.New("register: the *discovery.Registry is nil")
	}
	e := entry{registry: r}
	if opts != nil {
		e.opts = *opts
	}
	if e.opts.OnGiveUp == nil {
		e.opts.OnGiveUp = func(err error) { s.Stop(fmt.Errorf("service %s can't register: %w", s.opts.Name, err)) }
	}
	i := s.describe(e.opts)
	if err := i.Validate(); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = append(s.entries, e)
	return nil
}

// describe returns the instance as others see it.
func (s *Service) describe(o RegisterOptions) discovery.Instance {
	env := s.opts.Environment
	return discovery.Instance{
		Service: s.opts.Name, Version: s.opts.Version, ID: env.Instance, Zone: env.Zone, Region: env.Region,
		Endpoints:  append([]discovery.Endpoint{{Scheme: "http", Address: env.Advertise}}, o.Endpoints...),
		Attributes: o.Attributes, Health: discovery.Serving,
	}
}

// PartError says that a part of the service ended while it was needed.
type PartError struct {
	// Part is its name.
	Part string
	// Err is what it returned, nil if it just ended.
	Err error
}

func (e *PartError) Error() string {
	if e.Err == nil {
		return "part " + e.Part + " ended by itself"
	}
	return "part " + e.Part + " failed: " + e.Err.Error()
}

// Unwrap returns Err.
func (e *PartError) Unwrap() error { return e.Err }

func panicError(v any) error {
	if err, ok := v.(error); ok {
		return fmt.Errorf("panic: %w", err)
	}
	return fmt.Errorf("panic: %v", v)
}
