package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// flags is a command's flag set. Each flag can be set by the environment too,
// and what is said on the command line wins.
type flags struct {
	*flag.FlagSet
	env     environment
	command string
	about   string
	alone   bool // for one service, which has the variables of every service
}

func newFlags(env environment, command, about string) *flags {
	f := &flags{FlagSet: flag.NewFlagSet(command, flag.ContinueOnError), env: env, command: command, about: about}
	f.SetOutput(env.stderr)
	f.Usage = func() {} // an error is one line; --help is the page
	return f
}

// variable returns the environment variable of a flag.
func variable(name string) string {
	return "SWALE_" + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(name))
}

// variables returns all that set a flag, the last one wins.
func (f *flags) variables(name string) []string {
	own := variable(name)
	switch {
	case name == "nats":
		return []string{"NATS_URL", own}
	case f.alone && (name == "listen" || name == "admin-listen" || name == "log-level"):
		return []string{strings.TrimPrefix(own, "SWALE_"), own}
	}
	return []string{own}
}

// parse reads the environment and then the command line, which must hold
// flags only.
func (f *flags) parse(args []string) error {
	var wrong error
	f.VisitAll(func(fl *flag.Flag) {
		for _, name := range f.variables(fl.Name) {
			if value, ok := f.env.lookup(name); ok && value != "" {
				if err := f.Set(fl.Name, value); err != nil {
					wrong = fmt.Errorf("%w: the environment variable %s is %q: %w", errUsage, name, value, err)
				}
			}
		}
	})
	if wrong != nil {
		return wrong
	}
	f.SetOutput(io.Discard) // what is wrong is in the error
	err := f.Parse(args)
	f.SetOutput(f.env.stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		f.usage()
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if f.NArg() > 0 {
		return fmt.Errorf("%w: %q is not a flag", errUsage, f.Arg(0))
	}
	return nil
}

func (f *flags) usage() {
	w := f.Output()
	fmt.Fprintf(w, "Usage: swale %s [FLAGS]\n\n%s\n\n", f.command, f.about)
	f.VisitAll(func(fl *flag.Flag) {
		kind, text := flag.UnquoteUsage(fl)
		head := "--" + fl.Name
		if kind != "" {
			head += " " + strings.ToUpper(kind)
		}
		if fl.DefValue != "" && fl.DefValue != "false" {
			text += " (default " + fl.DefValue + ")"
		}
		fmt.Fprintf(w, "  %-28s %s [%s]\n", head, text, f.variables(fl.Name)[0])
	})
	if f.alone {
		fmt.Fprintf(w, "\nThe environment says the rest, as to every service on the chassis: %s.\n", strings.Join(chassisVariables(), ", "))
	}
}
