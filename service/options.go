package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/goswale/swale/discovery"
)

// Options say what runs, and how. Name and one of Handler and Setup are needed.
type Options struct {
	// Name is the service's name, under which others find it: a DNS label.
	Name string
	// Version tells what was built. Default: the main module's version.
	Version string
	// Handler answers at the public port. Setup may give one too.
	Handler http.Handler
	// Setup opens what the service needs. Its context ends when the start is
	// called off; what it opens must outlive it and is closed by Service.Defer.
	Setup func(ctx context.Context, s *Service) error

	// Environment replaces what the process's environment says.
	Environment *Environment
	// Listener and AdminListener are ports that are open already, in the place of
	// those that the environment names: passed on by who started the process, or
	// chosen by flags. The service closes them. Their address still needs
	// Environment.Advertise when others can't reach it.
	Listener, AdminListener net.Listener
	// Logger replaces the one that writes to standard error. LogLevel is its
	// level, if the admin port shall be able to change it.
	Logger   *slog.Logger
	LogLevel *slog.LevelVar

	// StartTimeout bounds the start: Setup, the wait for the first round of checks
	// that passes, and the entry into registries. What doesn't heed the end of its
	// context is left behind, and named. Default 1 min.
	StartTimeout time.Duration
	// CheckEvery is the time between rounds of checks, CheckTimeout that which
	// one check has. Default 5 s and 2 s.
	CheckEvery, CheckTimeout time.Duration
	// StopTimeout is what parts have to end in, together, after requests have.
	// Default 10 s.
	StopTimeout time.Duration

	// RequestTimeout is the deadline of a request whose caller didn't ask for a
	// sooner one. Default 30 s, negative for none.
	RequestTimeout time.Duration
	// MaxBody bounds a request's body, in bytes. Default 1 MiB, negative for
	// no bound.
	MaxBody int64
	// Callers bounds how much each caller may ask for at once.
	Callers CallerLimit

	// Metrics answers at /metrics of the admin port, if it isn't nil.
	Metrics http.Handler
	// Wrap goes around the handler, inside of everything that the chassis does
	// itself but the deadline and the limits: for authentication, tracing and
	// the like. The first one is the outermost.
	Wrap []func(http.Handler) http.Handler
	// Begin is asked for each request's context before anything else is done with
	// the request, and Observe is told, with that context, when it has been
	// answered: for traces and metrics.
	Begin   func(*http.Request) context.Context
	Observe func(context.Context, Exchange)
	// LogAttrs are put on each line that is logged with a context, such as the trace
	// it belongs to.
	LogAttrs func(context.Context) []slog.Attr
}

func (o *Options) complete() error {
	if !discovery.ValidService(o.Name) {
		return fmt.Errorf("service: Options.Name is %q; a service's name is a DNS label, such as restaurants", o.Name)
	}
	if o.Handler == nil && o.Setup == nil {
		return errors.New("service: neither Options.Handler nor Options.Setup is there: nothing would be served")
	}
	if i := slices.IndexFunc(o.Wrap, func(wrap func(http.Handler) http.Handler) bool { return wrap == nil }); i >= 0 {
		return fmt.Errorf("service: Options.Wrap[%d] is nil", i)
	}
	if o.Version == "" {
		o.Version = "unknown"
		if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
			o.Version = info.Main.Version
		}
	}
	if o.Environment == nil {
		e, err := ReadEnvironment(os.Environ())
		if err != nil {
			return err
		}
		o.Environment = &e
	}
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&o.StartTimeout, time.Minute},
		{&o.CheckEvery, 5 * time.Second},
		{&o.CheckTimeout, 2 * time.Second},
		{&o.StopTimeout, 10 * time.Second},
		{&o.RequestTimeout, 30 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	if o.MaxBody == 0 {
		o.MaxBody = 1 << 20
	}
	return nil
}
