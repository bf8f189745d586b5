package main

import (
	"flag"
	"fmt"
	"strings"
)

// flags is a command's flag set. Each flag can be set by the environment too,
// and what is said on the command line wins.
type flags struct {
	*flag.FlagSet
	env     environment
	command string
	about   string
}

func newFlags(env environment, command, about string) *flags {
	f := &flags{flag.NewFlagSet(command, flag.ContinueOnError), env, command, about}
	f.SetOutput(env.stderr)
	f.Usage = f.usage
	return f
}

// variable returns the environment variable of a flag.
func variable(name string) string {
	return "SWALE_" + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(name))
}

// parse reads the environment and then the command line, which must hold
// flags only.
func (f *flags) parse(args []string) error {
	var wrong error
	f.VisitAll(func(fl *flag.Flag) {
		names := []string{variable(fl.Name)}
		if fl.Name == "nats" {
			names = append([]string{"NATS_URL"}, names...)
		}
		for _, name := range names {
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
	if err := f.Parse(args); err != nil {
		if err == flag.ErrHelp { //nolint:errorlint // Parse returns it bare
			return err
		}
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
		also := variable(fl.Name)
		if fl.Name == "nats" {
			also = "NATS_URL"
		}
		if fl.DefValue != "" && fl.DefValue != "false" {
			text += " (default " + fl.DefValue + ")"
		}
		fmt.Fprintf(w, "  %-28s %s [%s]\n", head, text, also)
	})
}
