package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/goswale/swale/auth/authcmd"
	"github.com/goswale/swale/configsvc/configcmd"
	"github.com/goswale/swale/discovery/rules/rulescmd"
)

func main() {
	// The first signal asks to stop; a second one ends the program at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	env := environment{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, lookup: os.LookupEnv}
	os.Exit(run(ctx, env, os.Args[1:]))
}

// environment is what a command sees of the world.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	lookup         func(name string) (string, bool)
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// command is one subcommand.
type command struct {
	name    string
	summary string
	run     func(ctx context.Context, env environment, args []string) error
}

func commands() []command {
	return []command{
		{"up", "run the whole reference system in this process", runUp},
		{"demo", "measure: swale demo n+1", runDemo},
		{"restaurants", "run the domain service alone, on a bus that runs elsewhere", runRestaurants},
		{"storefront", "run the edge service alone, on a bus that runs elsewhere", runStorefront},
		{"new", "make a service of your own: swale new domain menus", runNew},
		{"config", "read, write and explain configuration: swale config explain", external(func(ctx context.Context, env environment, args []string) int {
			return configcmd.Main(ctx, args, env.stdin, env.stdout, env.stderr)
		})},
		{"auth", "say what services may do, and why: swale auth explain", external(func(ctx context.Context, env environment, args []string) int {
			return authcmd.Main(ctx, args, env.stdout, env.stderr)
		})},
		{"rules", "check rules, and say which one decides: swale rules explain", external(func(ctx context.Context, env environment, args []string) int {
			return rulescmd.Main(ctx, args, env.stdin, env.stdout, env.stderr)
		})},
		{"version", "print the version", runVersion},
		{"help", "print this", runHelp},
	}
}

// exitError is the error of a command that has said itself what went wrong.
type exitError int

func (c exitError) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// external makes a command of one that a module brings.
func external(main func(ctx context.Context, env environment, args []string) int) func(context.Context, environment, []string) error {
	return func(ctx context.Context, env environment, args []string) error {
		if code := main(ctx, env, args); code != exitOK {
			return exitError(code)
		}
		return nil
	}
}

// errUsage is wrapped by errors about how the program was called.
var errUsage = errors.New("usage")

func run(ctx context.Context, env environment, args []string) int {
	if len(args) == 0 {
		_ = runHelp(ctx, environment{stdout: env.stderr}, nil)
		return exitUsage
	}
	if args[0] == "help" && len(args) > 1 {
		args = []string{args[1], "--help"}
	}
	name := args[0]
	switch name {
	case "-h", "-help", "--help":
		name = "help"
	case "-v", "-version", "--version":
		name = "version"
	}
	for _, c := range commands() {
		if c.name != name {
			continue
		}
		err := c.run(ctx, env, args[1:])
		var code exitError
		switch {
		case errors.As(err, &code):
			return int(code)
		case err == nil, errors.Is(err, flag.ErrHelp):
			return exitOK
		case errors.Is(err, errUsage):
			what := strings.TrimPrefix(err.Error(), errUsage.Error()+": ")
			fmt.Fprintf(env.stderr, "swale %s: %s\nTry: swale %s --help\n", c.name, what, c.name)
			return exitUsage
		}
		fmt.Fprintf(env.stderr, "swale %s: %v\n", c.name, err)
		return exitFailed
	}
	fmt.Fprintf(env.stderr, "swale: there is no command %q. Try: swale help\n", name)
	return exitUsage
}

func runHelp(_ context.Context, env environment, _ []string) error {
	fmt.Fprint(env.stdout, "Swale: hypermedia services whose clients may cache everything and never serve\na stale answer after a change.\n\nUsage: swale COMMAND [FLAGS]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(env.stdout, "  %-12s %s\n", c.name, c.summary)
	}
	fmt.Fprint(env.stdout, "\nEvery command explains its flags with --help. Each flag can also be set by an\nenvironment variable: --some-flag by SWALE_SOME_FLAG, and --nats by NATS_URL too.\n")
	return nil
}
