package service

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// Environment is what the chassis reads of the process's environment. What a
// service's own settings are is the service's affair; they may be a struct of
// the same kind, or come from the configuration service.
type Environment struct {
	// Listen is the address of the public port. ":0" is any free port.
	Listen string `env:"LISTEN" envDefault:":8080"`
	// AdminListen is that of health, profiles and log level. It has no access
	// control, so it isn't reachable from outside of the machine by default. "off"
	// leaves it out.
	AdminListen string `env:"ADMIN_LISTEN" envDefault:"127.0.0.1:8090"`
	// Advertise is the host and port at which others reach the public port.
	// Default: the address of Listen, and where that has no host, the name of
	// the machine.
	Advertise string `env:"ADVERTISE"`

	// Instance tells this process from others of its service. Default: random.
	Instance string `env:"INSTANCE"`
	// Zone and Region say where it runs.
	Zone   string `env:"ZONE"`
	Region string `env:"REGION"`

	// LogLevel is debug, info, warn or error; it can be changed at the admin port.
	LogLevel slog.Level `env:"LOG_LEVEL" envDefault:"info"`
	// LogFormat is json or text.
	LogFormat string `env:"LOG_FORMAT" envDefault:"json"`

	// DrainDelay and DrainTimeout are those of Drain.
	DrainDelay   time.Duration `env:"DRAIN_DELAY" envDefault:"5s"`
	DrainTimeout time.Duration `env:"DRAIN_TIMEOUT" envDefault:"60s"`
}

// ReadEnvironment reads it from variables in the form of [os.Environ]. Its error
// names every variable that is wrong.
func ReadEnvironment(variables []string) (Environment, error) {
	have := env.ToMap(variables)
	e, err := env.ParseAsWithOptions[Environment](env.Options{Environment: have})
	var errs []error
	if err != nil {
		errs = append(errs, explain(err, have))
	}
	if e.LogFormat != "json" && e.LogFormat != "text" {
		errs = append(errs, fmt.Errorf("LOG_FORMAT is %q; it is json or text", e.LogFormat))
	}
	if e.DrainDelay < 0 {
		errs = append(errs, fmt.Errorf("DRAIN_DELAY is %s; it can't be negative", e.DrainDelay))
	}
	if e.DrainTimeout < 0 || e.DrainTimeout == 0 && err == nil {
		errs = append(errs, fmt.Errorf("DRAIN_TIMEOUT is %s; requests need some time to finish", e.DrainTimeout))
	}
	if len(errs) > 0 {
		return e, fmt.Errorf("environment: %w", errors.Join(errs...))
	}
	return e, nil
}

// logger makes a logger whose level can be changed.
func (e Environment) logger(w io.Writer, level slog.Leveler) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if strings.EqualFold(e.LogFormat, "text") {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

// explain names the variables, where the library names the fields that they are
// for.
func explain(err error, have map[string]string) error {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return err
	}
	for i, err := range all.Errors {
		var parse env.ParseError
		if !errors.As(err, &parse) {
			continue
		}
		if f, ok := reflect.TypeFor[Environment]().FieldByName(parse.Name); ok {
			name := f.Tag.Get("env")
			all.Errors[i] = fmt.Errorf("%s is %q: %w", name, have[name], parse.Err)
		}
	}
	return errors.Join(all.Errors...)
}
