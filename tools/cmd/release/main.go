// Release plans, proves and tags the releases of the workspace's modules.
//
// Usage:
//
//	release plan                     what changed since the last tags, and the next versions
//	release check                    change notes and versions agree
//	release rehearse [-cold] [-modcache DIR] [MODULE…]
//	                                 pack, build from a file proxy, fetch as a stranger would
//	release tidy [-get QUERY]… [MODULE…]
//	                                 go mod tidy, with siblings from the tree
//	release promote                  move the notes under [Unreleased] to the next versions
//	release tag [-n]                 create the annotated tags; -n only prints them
//
// MODULE is a module's folder, like bus/natsbus; none means all. The command
// runs in any folder of the workspace and exits 1 when something stands against
// a release, 2 when it is called wrongly.
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
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// errUsage is wrapped by every error about the command line itself.
var errUsage = errors.New("see `go doc ./tools/cmd/release`")

// run carries out one subcommand in the workspace that it is called in.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("a subcommand is missing: %s; %w", strings.Join(names(), ", "), errUsage)
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(ctx, call{args: args[1:], out: out, progress: progress})
		}
	}
	return fmt.Errorf("unknown subcommand %q, there are %s; %w", args[0], strings.Join(names(), ", "), errUsage)
}

// call is one invocation of a subcommand.
type call struct {
	args          []string
	out, progress io.Writer
}

// command is one subcommand.
type command struct {
	name string
	run  func(context.Context, call) error
}

func commands() []command {
	return []command{{"plan", plan}, {"check", check}, {"rehearse", rehearse}, {"tidy", tidy}, {"promote", promote}, {"tag", tag}}
}

func names() []string {
	var all []string
	for _, c := range commands() {
		all = append(all, c.name)
	}
	return all
}

// flags returns an empty flag set that reports errors to the caller.
func (c call) flags(name string) *flag.FlagSet {
	f := flag.NewFlagSet("release "+name, flag.ContinueOnError)
	f.SetOutput(c.progress)
	return f
}
